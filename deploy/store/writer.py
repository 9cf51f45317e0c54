"""One thread writes to the store, in order; whoever asked is told when it is durable.

What piled up while a transaction was being committed goes into the next one together (group
commit), so that a burst of events costs few writes to the disk.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from deploy.store.fence import StoreLostError
from deploy.store.records import Change
from deploy.store.store import Store

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_MOST_AT_ONCE: Final = 200
_HOPELESS: Final = (DataError, IntegrityError, ProgrammingError)
"""The database is well, and will never take this."""

_LOGGER = logging.getLogger(__name__)


class StoreUnavailableError(Exception):
    """The store does not take anything at the moment."""


class _Entry:
    __slots__ = ("changes", "done", "may_fail")

    def __init__(
        self, changes: Sequence[Change], may_fail: bool, done: asyncio.Future[None]
    ) -> None:
        self.changes, self.may_fail, self.done = changes, may_fail, done


class Writer:
    """Writes in the background; used from one event loop.

    Args:
        store: what to write to.
        on_lost: called in the writer's thread when another controller has taken the store over.
            Nothing is written after that, and no future is done: nobody may act on what is not
            in the store.

    Attributes:
        failing: the store does not take what it is given; it is tried again and again.
    """

    def __init__(self, store: Store, on_lost: Callable[[StoreLostError], None]) -> None:
        self.failing = False
        self._on_lost = on_lost
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._entries: deque[_Entry] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def write(self, changes: Sequence[Change], *, may_fail: bool = False) -> asyncio.Future[None]:
        """Ask for changes; the future is done when they are durable.

        Futures are done in the order in which they were asked for.

        Args:
            changes: all or none of them.
            may_fail: give up at the first failure, and say so: `StoreUnavailableError`.
                Otherwise they are tried until they succeed, and what was asked later waits.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        if may_fail and self.failing:
            done.set_exception(StoreUnavailableError())
            return done
        with self._wake:
            self._entries.append(_Entry(changes, may_fail, done))
            self._wake.notify()
        return done

    async def close(self) -> None:
        """Write what was asked for, and end."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    # -- the thread -------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._write_all()
        except StoreLostError as error:
            self.failing = True
            self._on_lost(error)

    def _write_all(self) -> None:
        while True:
            with self._wake:
                while not self._entries and not self._closing:
                    self._wake.wait()
                if not self._entries:
                    return
                size = min(len(self._entries), _MOST_AT_ONCE)
                batch = [self._entries.popleft() for _ in range(size)]
            try:
                self._store.apply([change for entry in batch for change in entry.changes])
            except StoreLostError:
                raise
            except Exception:  # one of them may be at fault: each on its own
                for entry in batch:
                    self._write_alone(entry)
            else:
                self.failing = False
                self._loop.call_soon_threadsafe(_succeed, batch)

    def _write_alone(self, entry: _Entry) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                self._store.apply(entry.changes)
            except _HOPELESS as error:
                _LOGGER.exception("the store cannot hold %s", entry.changes)
                self._loop.call_soon_threadsafe(_fail, entry, error)
                return
            except SQLAlchemyError as error:
                self.failing = True
                reason = " ".join(str(error).split())[:300]
                if entry.may_fail or self._closing:
                    _LOGGER.error("the store refused: %s", reason)
                    failure: Exception = StoreUnavailableError(reason)
                    self._loop.call_soon_threadsafe(_fail, entry, failure)
                    return
                _LOGGER.error("the store does not answer, trying again in %g s: %s", pause, reason)
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                self.failing = False
                self._loop.call_soon_threadsafe(_succeed, [entry])
                return


def _succeed(batch: Sequence[_Entry]) -> None:
    for entry in batch:
        if not entry.done.done():
            entry.done.set_result(None)


def _fail(entry: _Entry, error: Exception) -> None:
    if not entry.done.done():
        entry.done.set_exception(error)
