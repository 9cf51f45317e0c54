"""What cancelled tasks leave in the storage is cleared away.

A worker may be uploading when its task is cancelled, and one of the existing system goes on until
it is ended. So it is looked for when the job is cancelled, again when the worker tells that it has
dropped the task (or tells of it at all), when the worker is gone, and once more a while later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deploy.controller.results import Results
from deploy.storage.base import StorageError
from deploy.store.records import JobRecord

LAST_LOOK_S: Final = 60.0
"""After the worker has told that it has dropped the task: an upload may still be under way."""
_MOST: Final = 10_000

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    worker_id: str
    job: JobRecord


class Leftovers:
    """Remembers cancelled tasks until nothing can come of them.

    Args:
        results: where results are; none if there are none (simulated workers).
        unfinished: the jobs that wait or are in process, by id: what these leave is wanted.
        last_look_s: see `LAST_LOOK_S`.
    """

    def __init__(
        self,
        results: Results | None,
        unfinished: Callable[[], dict[str, JobRecord]],
        *,
        last_look_s: float = LAST_LOOK_S,
    ) -> None:
        self._results, self._unfinished, self._last_look_s = results, unfinished, last_look_s
        self._tasks: OrderedDict[str, _Task] = OrderedDict()
        self._at_work: set[asyncio.Task[None]] = set()

    def cancelled(self, worker_id: str, task_id: str, job: JobRecord) -> None:
        """A task in process was cancelled."""
        self._tasks[task_id] = _Task(worker_id, job)
        while len(self._tasks) > _MOST:
            self._tasks.popitem(last=False)
        self._clear(task_id)

    def told_of(self, worker_id: str, task_id: str) -> bool:
        """A worker tells something of a task: whether it was cancelled."""
        task = self._tasks.get(task_id)
        if task is None or task.worker_id != worker_id:
            return False
        self._clear(task_id)
        return True

    def dropped(self, task_id: str) -> None:
        """A worker has dropped a task that was cancelled."""
        self._clear(task_id, last_look=True)

    def worker_gone(self, worker_id: str) -> None:
        """Nothing is left of a worker."""
        for task_id in [key for key, task in self._tasks.items() if task.worker_id == worker_id]:
            self._clear(task_id, last_look=True)

    async def close(self) -> None:
        """Break off what is under way."""
        for work in self._at_work:
            work.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    def _clear(self, task_id: str, *, last_look: bool = False) -> None:
        task = self._tasks.get(task_id)
        if task is None or self._results is None:
            self._tasks.pop(task_id, None)
            return
        work = asyncio.create_task(self._do_clear(task_id, task, last_look))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)

    async def _do_clear(self, task_id: str, task: _Task, last_look: bool) -> None:
        await self._discard(task_id, task)
        if last_look:
            await asyncio.sleep(self._last_look_s)
            await self._discard(task_id, task)
            if self._tasks.pop(task_id, None) is not None and self._results is not None:
                self._results.forget(task_id)

    async def _discard(self, task_id: str, task: _Task) -> None:
        if self._results is None:
            return
        unfinished, job = self._unfinished(), task.job
        if job.request_id in unfinished:
            return  # it was asked for again
        shared = any(each.output_video == job.output_video for each in unfinished.values())
        try:
            await self._results.discard(task_id, job, with_latest=not shared)
        except StorageError as error:
            _LOGGER.warning(
                "what cancelled job %s has left cannot be cleared away: %s", job.request_id, error
            )
