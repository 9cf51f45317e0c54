"""A logger that strangers can make write must not fill the disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable


class BoundedRate(logging.Filter):
    """Lets through so many lines in a period; the first one of the next tells how many were not.

    Args:
        lines: how many.
        period_s: seconds.
        clock: seconds, monotonic.
    """

    def __init__(
        self, lines: int = 10, period_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._lines, self._period_s, self._clock = lines, period_s, clock
        self._began, self._passed, self._dropped = clock(), 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        now = self._clock()
        if now - self._began >= self._period_s:
            if self._dropped:
                record.msg = f"{record.getMessage()} ({self._dropped} lines were left out before)"
                record.args = ()
            self._began, self._passed, self._dropped = now, 0, 0
        self._passed += 1
        if self._passed <= self._lines:
            return True
        self._dropped += 1
        return False
