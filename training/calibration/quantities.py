"""The texts that stand for moments and CPU counts in event logs and their exports."""

from __future__ import annotations

import math
from datetime import datetime


def parse_moment(text: str) -> float:
    """Seconds of a moment given as seconds since the epoch or in ISO 8601.

    An ISO moment without a time zone is taken as local time. Empty is not a number
    (it did not happen).

    Raises:
        ValueError: the text is neither.
    """
    text = text.strip()
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()


def parse_cpus(text: str) -> float:
    """CPUs of ``2``, ``0.5`` or Kubernetes' ``500m``.

    Raises:
        ValueError: the text is no count of CPUs above 0.
    """
    text = text.strip()
    cpus = float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    if not 0 < cpus < math.inf:
        raise ValueError(f"{text!r} is not a number of CPUs above 0")
    return cpus
