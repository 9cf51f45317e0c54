"""Whether the object storage answers: while it does not, nothing is handed out.

The storage may be slow, hang for ever (a network file system) or be away for a night. Every call of
it is made in a thread of its own, a few at a time; nobody waits for a thread that does not return.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from deploy.storage.base import ObjectStorage, StorageError, StorageUnavailableError
from deploy.system.in_background import in_background

T = TypeVar("T")

MOST_CALLS: Final = 8
"""Calls of the storage at a time."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Looking:
    """How often the storage is looked at, seconds of the wall's clock.

    Attributes:
        interval_s: between two looks while all is well, and the longest pause while it is not.
        first_pause_s: until the next look when it did not answer; doubles each time.
        timeout_s: how long an answer may take.
    """

    interval_s: float = 15.0
    first_pause_s: float = 1.0
    timeout_s: float = 5.0


class StorageWatch:
    """Looks at the storage from time to time, and at once when it is suspected.

    Args:
        storage: what is watched.
        looking: how often.
        away: called with the reason when it does not answer any more.
        back: called when it answers again.

    Attributes:
        reason: why it cannot be used; empty while it can, or has not been looked at.
        looked: set when it has been looked at for the first time.
    """

    def __init__(
        self,
        storage: ObjectStorage,
        looking: Looking,
        *,
        away: Callable[[str], object],
        back: Callable[[], object],
    ) -> None:
        self.reason = ""
        self.looked = asyncio.Event()
        self._storage, self._looking = storage, looking
        self._away, self._back = away, back
        self._well = asyncio.Event()
        self._well.set()
        self._asked = asyncio.Event()
        self._curious: list[asyncio.Future[str]] = []
        self._probe: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(MOST_CALLS)
        self._calls: set[asyncio.Task[object]] = set()

    async def run(self) -> None:
        """Look, until cancelled."""
        pause = self._looking.first_pause_s
        while True:
            self._asked.clear()
            curious, self._curious = self._curious, []
            self._take(await self._look())
            for each in curious:
                if not each.done():
                    each.set_result(self.reason)
            longest = self._looking.interval_s
            pause = min(2 * pause, longest) if self.reason else self._looking.first_pause_s
            try:
                async with asyncio.timeout(pause if self.reason else longest):
                    await self._asked.wait()
            except TimeoutError:
                pass

    async def look(self) -> str:
        """Look now: why the storage cannot be used, empty if it can."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._curious.append(answer)
        self._asked.set()
        return await answer

    def suspect(self) -> None:
        """Something went wrong with it: look soon."""
        if not self.reason:
            self._asked.set()

    async def wait_until_well(self) -> None:
        """Wait until it answers."""
        await self._well.wait()

    async def call(self, call: Callable[[], T], timeout_s: float | None = None) -> T:
        """Call the storage.

        Args:
            call: a method of the storage with its arguments.
            timeout_s: how long it may take; as long as a look by default.

        Raises:
            StorageUnavailableError: it did not answer in time, or too many calls are under way.
            StorageError: as the call raises it.
        """
        patience_s = self._looking.timeout_s if timeout_s is None else timeout_s
        task: asyncio.Task[T] = asyncio.create_task(self._in_slot(call))
        self._calls.add(task)
        task.add_done_callback(self._called)
        done, _ = await asyncio.wait([task], timeout=patience_s)
        if not done:
            self.suspect()
            raise StorageUnavailableError(
                f"the object storage at {self._storage.url} has not answered within "
                f"{patience_s:g} s"
            )
        try:
            return task.result()
        except StorageUnavailableError:
            self.suspect()
            raise

    async def close(self) -> None:
        """Wait for nothing any more."""
        tasks = [*self._calls, *([] if self._probe is None else [self._probe])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _in_slot(self, call: Callable[[], T]) -> T:
        async with self._slots:
            return await in_background(call)

    def _called(self, task: asyncio.Task[T]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may have gone

    async def _look(self) -> str:
        """One probe at a time: one that hangs is waited for again, not joined by a second."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(in_background(self._storage.check))
        timeout_s = self._looking.timeout_s
        done, _ = await asyncio.wait([self._probe], timeout=timeout_s)
        if not done:
            return f"no answer within {timeout_s:g} s from {self._storage.url}"
        error = self._probe.exception()
        if error is None:
            return ""
        if not isinstance(error, StorageError):
            _LOGGER.error("looking at the storage failed", exc_info=error)
        return str(error) or type(error).__name__

    def _take(self, reason: str) -> None:
        before, self.reason = self.reason, reason
        if reason and not before:
            self._well.clear()
            self._away(reason)
        elif before and not reason:
            self._well.set()
            self._back()
        self.looked.set()
