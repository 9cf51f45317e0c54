"""Moments and durations as text: all forms that logs and tables hold, read and written here.

Written are the forms that the existing system's tools read. An event log's ``time`` is local time
without an offset, ``2026-11-30 14:30:29.643842``; a table's times tell their offset from UTC,
``2026-11-30 14:23:27.735227+01:00``; a duration is a timedelta as pandas writes it,
``0 days 00:00:04.737676``. Read are these, ISO 8601, and plain seconds (since the epoch).

Local time without an offset is that of the machine that reads it. In the hour that a clock change
repeats it stands for the first of the two moments: a log's ``time_epoch`` tells which it was.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timezone, tzinfo
from decimal import Decimal
from typing import Final

_MICRO: Final = 10**6
_DAY_S: Final = 86400
_NOT_A_TIME: Final = frozenset(("", "NaT"))
_TIMEDELTA: Final = re.compile(
    r"(?P<days>-?\d+) days?(?: (?P<plus>[+-]?)(?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d(?:\.\d+)?))?"
)


def parse_moment(text: str) -> float:
    """Seconds since the epoch of a moment in any form that is read, see above.

    Empty (or pandas' ``NaT``) is not a number: it did not happen.

    Raises:
        ValueError: the text is in none of the forms.
    """
    text = text.strip()
    if text in _NOT_A_TIME:
        return math.nan
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        whole = moment.replace(microsecond=0).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a time: give YYYY-MM-DD HH:MM:SS or seconds since the epoch"
        ) from None
    return float(Decimal(int(whole)) + Decimal(moment.microsecond) / _MICRO)


def parse_duration(text: str) -> float:
    """Seconds of a duration as pandas writes it, or in plain seconds; empty is not a number.

    Raises:
        ValueError: the text is neither.
    """
    text = text.strip()
    if text in _NOT_A_TIME:
        return math.nan
    match = _TIMEDELTA.fullmatch(text)
    if match is None:
        return float(text)
    days, hours, minutes = (Decimal(match[name] or 0) for name in ("days", "h", "m"))
    rest = hours * 3600 + minutes * 60 + Decimal(match["s"] or 0)
    return float(days * _DAY_S + (-rest if match["plus"] == "-" else rest))


def microseconds(moment: float) -> int:
    """A moment or a duration in whole microseconds: those that its six decimals show."""
    return int(Decimal(f"{moment:.6f}").scaleb(6))


def epoch_text(moment: float) -> str:
    """Seconds since the epoch with six decimals, exactly."""
    return f"{moment:.6f}"


def local_text(moment: float) -> str:
    """A moment as local time without an offset, as the existing system's event log has it."""
    return _text(moment, None)


def text_with_offset(moment: float, zone: tzinfo = UTC) -> str:
    """A moment as time in a zone, with its offset from UTC; empty if it is not a number."""
    return "" if math.isnan(moment) else _text(moment, zone)


def local_offset(moment: float) -> tzinfo:
    """The offset from UTC that local time has at a moment."""
    offset = datetime.fromtimestamp(math.floor(moment)).astimezone().utcoffset()
    assert offset is not None
    return timezone(offset)


def duration_text(seconds: float) -> str:
    """A duration as pandas writes a timedelta; empty if it is not a number."""
    if math.isnan(seconds):
        return ""
    whole, micro = divmod(microseconds(seconds), _MICRO)
    days, rest = divmod(whole, _DAY_S)
    hours, minutes = divmod(rest // 60, 60)
    sign = "+" if days < 0 else ""
    return f"{days} days {sign}{hours:02d}:{minutes:02d}:{rest % 60:02d}.{micro:06d}"


def _text(moment: float, zone: tzinfo | None) -> str:
    seconds, micro = divmod(microseconds(moment), _MICRO)
    date = datetime.fromtimestamp(seconds, zone).replace(microsecond=micro)
    return date.isoformat(" ", "microseconds")
