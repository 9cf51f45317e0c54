"""The moments at which an algorithm of the existing system looks at the cluster."""

from __future__ import annotations

from math import ceil, floor
from typing import Final

from agents.idle import TIME_TOLERANCE_S

LOOK_S: Final = 1.0
"""From one look to the next, seconds (``--call-interval`` of the existing system)."""


class Looks:
    """Looks every `LOOK_S` seconds from a start; nobody need be woken for one that does nothing.

    Args:
        start_s: the first look comes a second later.
    """

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self._done = 0

    def due(self, now: float) -> int:
        """How many looks there were since this was asked, the one of this moment included."""
        n = floor((now - self._start_s + TIME_TOLERANCE_S) / LOOK_S)
        due, self._done = n - self._done, n
        return due

    @property
    def last(self) -> float:
        """When the last look was of those that were due, seconds; the start before the first."""
        return self._start_s + LOOK_S * self._done

    def next(self) -> float:
        """When the first look comes that was not due yet, seconds."""
        return self._start_s + LOOK_S * (self._done + 1)

    def first_from(self, time_s: float) -> float:
        """When the first look comes at or after a time, of those that were not due yet."""
        n = ceil((time_s - self._start_s - TIME_TOLERANCE_S) / LOOK_S)
        return self._start_s + LOOK_S * max(n, self._done + 1)
