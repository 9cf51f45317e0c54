"""A SimPy world that advances with the controller's clock instead of jumping ahead."""

from __future__ import annotations

import asyncio
from math import inf

import simpy
from simpy.events import Timeout

from deploy.clock import Clock


class RealTime:
    """Lets a SimPy environment's events happen when the clock says so.

    Args:
        clock: whose seconds are the environment's.

    Attributes:
        env: at time 0 when this object is made.
    """

    def __init__(self, clock: Clock) -> None:
        self.env = simpy.Environment()
        self._clock = clock
        self._start = clock.time()
        self._changed = asyncio.Event()

    def catch_up(self) -> None:
        """Let all happen that is due; before anything is added, so that it begins now."""
        now = self._clock.time() - self._start
        if now > self.env.now:
            self.env.run(until=now)
        self._changed.set()

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of the environment."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.catch_up()
        timeout = Timeout(self.env, seconds)
        assert timeout.callbacks is not None
        timeout.callbacks.append(lambda _: _finish(over))
        await over

    async def run(self) -> None:
        """Advance the environment until cancelled."""
        while True:
            self.catch_up()
            self._changed.clear()
            ahead = self.env.peek() - (self._clock.time() - self._start)
            timeout = None if ahead == inf else max(0.0, ahead) / self._clock.speed_up
            try:
                # Not `wait_for`: before Python 3.12 it swallows a cancellation at times.
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            except TimeoutError:
                continue


def _finish(over: asyncio.Future[None]) -> None:
    if not over.done():  # whoever waited may have been cancelled
        over.set_result(None)
