"""One look at the controller a second, shared by all who watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

MOST_WATCHERS: Final = 64
LOOK_S: Final = 1.0


class FullError(Exception):
    """There are as many watchers as are taken."""


class Feed:
    """Server-sent events of the cluster's state.

    The controller is asked once a second however many watch, and not at all while nobody does.
    A slow watcher misses states: it is given the latest one when it is ready for it.

    Args:
        look: gives the state as JSON; whatever it raises is told to the watchers in words.
        period_s: time between two looks, seconds.
        most: watchers at once.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[str]],
        period_s: float = LOOK_S,
        most: int = MOST_WATCHERS,
    ) -> None:
        self._look, self._period_s, self._most = look, period_s, most
        self._watchers = 0
        self._latest = ""
        self._number = 0
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def watch(self) -> AsyncGenerator[str, None]:
        """A stream of events, until the watcher leaves.

        Raises:
            FullError: too many watch.
        """
        if self._watchers >= self._most:
            raise FullError(f"{self._most} pages are open already: close one of them")
        return self._events()

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _events(self) -> AsyncGenerator[str, None]:
        self._watchers += 1
        try:
            if self._task is None or self._task.done():
                self._latest = ""  # it is old
                self._task = asyncio.create_task(self._keep_looking(), name="live page")
            if self._latest:
                yield self._latest
            seen = self._number
            while True:
                async with self._news:
                    while self._number == seen:
                        await self._news.wait()
                    seen, event = self._number, self._latest
                yield event
        finally:
            self._watchers -= 1

    async def _keep_looking(self) -> None:
        while self._watchers:
            try:
                event = f"event: cluster\ndata: {await self._look()}\n\n"
            except Exception as error:  # the page tells that it is out of date, and why
                event = f"event: away\ndata: {json.dumps(str(error))}\n\n"
            async with self._news:
                self._latest, self._number = event, self._number + 1
                self._news.notify_all()
            await asyncio.sleep(self._period_s)
