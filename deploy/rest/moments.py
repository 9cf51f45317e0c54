"""Dates and times that clients give."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, BeforeValidator

_LIKE_A_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")


def _no_number(given: object) -> object:
    """A number alone is no date here, though pydantic would take it for seconds."""
    if not isinstance(given, str) or _LIKE_A_DATE.match(given) is None:
        raise ValueError("give a date and a time, as 2026-11-30T12:00:00Z")
    return given


Moment = Annotated[datetime, BeforeValidator(_no_number)]
AwareMoment = Annotated[AwareDatetime, BeforeValidator(_no_number)]
"""One with an offset from UTC."""
