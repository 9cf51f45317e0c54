"""Carries out the orders to spawn and to stop: a cloud may be slow, fail late or never answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from deploy.managers.base import ManagerError, SpawnError, SpawnOrder, WorkerManager

SPAWN_TIMEOUT_S: Final = 60.0
"""How long a cloud may take to accept an order (not to boot the worker), seconds."""
STOP_TIMEOUT_S: Final = 120.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0

_LOGGER = logging.getLogger(__name__)


class Workforce:
    """One task for each order under way.

    Args:
        manager: the cloud.
        spawn_refused: called with worker id and reason; nothing of the worker is left.
        spawn_unclear: as above, but something may be left.
        stopped: called with the worker id when nothing is left of the worker.
        spawn_timeout_s: see `SPAWN_TIMEOUT_S`.
        stop_timeout_s: for each try.
        first_pause_s: before a stop that failed is tried again; doubles up to a minute.
    """

    def __init__(
        self,
        manager: WorkerManager,
        *,
        spawn_refused: Callable[[str, str], None],
        spawn_unclear: Callable[[str, str], None],
        stopped: Callable[[str], None],
        spawn_timeout_s: float = SPAWN_TIMEOUT_S,
        stop_timeout_s: float = STOP_TIMEOUT_S,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._manager = manager
        self._spawn_refused, self._spawn_unclear = spawn_refused, spawn_unclear
        self._stopped = stopped
        self._spawn_timeout_s, self._stop_timeout_s = spawn_timeout_s, stop_timeout_s
        self._first_pause_s = first_pause_s
        self._spawns: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, asyncio.Task[None]] = {}

    def spawn(self, order: SpawnOrder) -> None:
        """Order a worker."""
        self._begin(self._spawns, order.worker_id, self._spawn(order))

    def stop(self, worker_id: str) -> None:
        """End a worker, however often it takes; a second order changes nothing."""
        if worker_id not in self._stops:
            self._begin(self._stops, worker_id, self._stop(worker_id))

    async def wait_for_stops(self, timeout_s: float) -> None:
        """Wait until all workers that were ordered to end are gone, or so many seconds."""
        if self._stops:
            await asyncio.wait(self._stops.values(), timeout=timeout_s)

    async def close(self) -> None:
        """Break off what is under way; a later life of the controller finds what is left."""
        tasks = [*self._spawns.values(), *self._stops.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(
        self,
        tasks: dict[str, asyncio.Task[None]],
        worker_id: str,
        work: Coroutine[Any, Any, None],
    ) -> None:
        task = asyncio.create_task(work, name=f"order for {worker_id}")
        tasks[worker_id] = task
        task.add_done_callback(lambda _: tasks.pop(worker_id, None))

    async def _spawn(self, order: SpawnOrder) -> None:
        worker_id = order.worker_id
        try:
            async with asyncio.timeout(self._spawn_timeout_s):
                await self._manager.spawn(order)
        except SpawnError as error:
            self._spawn_refused(worker_id, str(error))
        except TimeoutError:
            self._spawn_unclear(worker_id, f"no answer within {self._spawn_timeout_s:g} s")
        except Exception as error:
            _LOGGER.exception("spawning %s failed in an unforeseen way", order.name)
            self._spawn_unclear(worker_id, repr(error)[:300])

    async def _stop(self, worker_id: str) -> None:
        spawn = self._spawns.get(worker_id)
        if spawn is not None:
            spawn.cancel()
            await asyncio.wait([spawn])
        pause = self._first_pause_s
        while True:
            try:
                async with asyncio.timeout(self._stop_timeout_s):
                    await self._manager.stop(worker_id)
                break
            except (ManagerError, TimeoutError) as error:
                reason = str(error) or f"no answer within {self._stop_timeout_s:g} s"
            except Exception as error:
                _LOGGER.exception("stopping %s failed in an unforeseen way", worker_id)
                reason = repr(error)
            _LOGGER.warning(
                "worker %s cannot be stopped, trying again in %g s: %s", worker_id, pause, reason
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        self._stopped(worker_id)
