"""The controller's clock: seconds since the epoch that may pass faster than the wall's.

Only the simulated manager asks for another speed than 1: to try a day's scenario live in minutes,
its workers, the scheduler and every timeout must agree on what a second is.
"""

from __future__ import annotations

import asyncio
import time
from math import inf

from env.errors import ConfigError


class Clock:
    """A clock that starts at the wall's time and runs `speed_up` times as fast.

    It follows the monotonic clock, so that a correction of the wall's time never makes a
    duration negative.

    Args:
        speed_up: seconds of this clock in one second of the wall's.

    Raises:
        ConfigError: the factor is not above 0.
    """

    def __init__(self, speed_up: float = 1.0) -> None:
        if not 0 < speed_up < inf:
            raise ConfigError(f"a clock's speed-up must be a number above 0 (got {speed_up:g})")
        self.speed_up = speed_up
        self._start = time.time()
        self._monotonic_start = time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._start + (time.monotonic() - self._monotonic_start) * self.speed_up

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of this clock."""
        await asyncio.sleep(seconds / self.speed_up)
