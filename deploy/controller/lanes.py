"""Events that take time to judge, without losing their order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable


class Lanes:
    """What happens in one lane happens one after the other; lanes do not wait for each other.

    A caller that goes away (its call has timed out) breaks nothing off; one that asks again for
    what is under way waits for the same thing.
    """

    def __init__(self) -> None:
        self._latest: dict[str, asyncio.Task[None]] = {}
        self._under_way: dict[tuple[str, Hashable], asyncio.Task[None]] = {}

    async def run(self, lane: str, what: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work when all that came before it in the lane is done.

        Args:
            lane: whose turn it is.
            what: names the work: asked for again before it is done, it is done once.
            work: may raise, which every caller sees.
        """
        task = self._under_way.get((lane, what))
        if task is None:
            task = asyncio.create_task(_after(self._latest.get(lane), work), name=f"lane {lane}")
            self._latest[lane] = self._under_way[lane, what] = task

            def done(task: asyncio.Task[None]) -> None:
                del self._under_way[lane, what]
                if self._latest.get(lane) is task:
                    del self._latest[lane]
                if not task.cancelled():
                    task.exception()  # it may be that nobody is left to see it

            task.add_done_callback(done)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Break off what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _after(before: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
    if before is not None:
        await asyncio.wait([before])
    await work()
