"""The worker's life: register, take tasks and do them, end in good order."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.listening import join_host_port
from deploy.storage.base import ObjectStorage, StorageError, StoredObject
from deploy.system.in_background import in_background
from deploy.worker.controller_link import Answer, ControllerLink, RefusedError, Report
from deploy.worker.fault import error_type_of, fault_of, message_of
from deploy.worker.history import TaskHistory
from deploy.worker.job import DroppedError, process
from deploy.worker.outbox import Outbox
from deploy.worker.settings import WorkerSettings
from deploy.worker.task_progress import TaskProgress
from deploy.worker.workspace import Workspace, WorkspaceFolder

_FLUSH_S: Final = 4.0
"""For the last reports, at the end."""
_MESSAGE_LIMIT: Final = 300
HANDED_BACK: Final = "handed back: the worker is stopping"
CANCELLED: Final = "dropped: it is cancelled"

log = logging.getLogger(__name__)


class Worker:
    """Does tasks, one at a time, until it is told to stop.

    Args:
        settings: what it was told at its start.
        storage: where the videos are.
    """

    def __init__(self, settings: WorkerSettings, storage: ObjectStorage) -> None:
        self._settings = settings
        self._storage = storage
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._queue: deque[pb.TCTask] = deque()
        self._arrived = asyncio.Event()
        self._history = TaskHistory()
        self._background: set[asyncio.Task[None]] = set()
        self._job: asyncio.Task[None] | None = None
        self._job_id: str | None = None
        self._dropped: set[str] = set()
        self._at_hand: TaskProgress | None = None
        self._link = ControllerLink(
            join_host_port(settings.grpc_server, settings.controller_port),
            settings.name,
            settings.worker_id,
            keepalive_interval_s=settings.keepalive_interval_s,
            timeout_s=settings.controller_timeout_s,
            tls=settings.tls,
        )
        self._outbox = Outbox(self._link, self._refused)

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, or until the controller ends the stream of tasks.

        Raises:
            RefusedError: the controller does not want this worker.
            ControllerGoneError: the controller has been away for too long.
            DaCircoError: the work folder cannot be used.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        with Workspace(self._settings.work_dir).open() as folder:
            async with self._link:
                try:
                    await self._serve(folder)
                finally:
                    await self._end_background()

    def stop(self) -> None:
        """Take no more tasks and end the one at hand; asked again, hand it back at once."""
        if self._stop.is_set():
            self._hurry.set()
        log.info("asked to stop")
        self._stop.set()

    async def _serve(self, folder: WorkspaceFolder) -> None:
        stopped = self._start(self._until(self._stop))
        self._start(self._check_storage())
        registered = self._start(self._link.register())
        await self._wait(registered, stopped)
        if not registered.done():
            return
        log.info("registered as %s", self._settings.name)  # the id is a secret
        self._start(self._outbox.run())
        self._start(self._link.keep_alive(lambda: self._at_hand))
        reader = self._start(self._read())
        while (task := await self._next(reader, stopped)) is not None:
            await self._do(task, folder, stopped)
        await self._outbox.flush(_FLUSH_S)
        log.info("stopped")

    async def _next(
        self, reader: asyncio.Task[None], stopped: asyncio.Task[None]
    ) -> pb.TCTask | None:
        """The next task, none if there will be none."""
        while not (self._queue or self._stop.is_set() or reader.done()):
            self._arrived.clear()
            arrived = self._start(self._until(self._arrived))
            await self._wait(arrived, reader, stopped)
            arrived.cancel()
        if self._stop.is_set():
            while self._queue:
                self._hand_back(self._queue.popleft())
        return self._queue.popleft() if self._queue else None

    async def _do(
        self, task: pb.TCTask, folder: WorkspaceFolder, stopped: asyncio.Task[None]
    ) -> None:
        self._job_id = task.task_id
        self._job = job = asyncio.create_task(self._work(task, folder))
        hurried = self._start(self._until(self._hurry))
        try:
            await self._wait(job, stopped)
            if not job.done():
                await self._wait(job, hurried, timeout_s=self._settings.drain_timeout_s)
            if not job.done():
                log.warning("out of time: task %s is handed back", task.task_id)
                self._hand_back(task)
        finally:
            job.cancel()
            hurried.cancel()
            await asyncio.wait([job])
            self._job = self._job_id = self._at_hand = None
        if not job.cancelled():
            job.result()
        elif task.task_id in self._dropped:
            self._confirm_drop(task)

    async def _work(self, task: pb.TCTask, folder: WorkspaceFolder) -> None:
        log.info(
            "task %s: %s at %d kbit/s, %s",
            *(task.task_id, ascii(task.input_video), task.bitrate, ascii(task.speed)),
        )

        def announce(
            kind: pb.GrpcEventTypeEnum, stored: StoredObject | None = None
        ) -> asyncio.Future[Answer]:
            log.info("task %s: %s", task.task_id, pb.GrpcEventTypeEnum.Name(kind))
            return self._tell(
                pb.GrpcEvent(
                    event_type=kind,
                    worker_id=self._settings.worker_id,
                    task_id=task.task_id,
                    output_size=stored.size if stored is not None else 0,
                    output_sha256=(stored.sha256 or "") if stored is not None else "",
                )
            )

        def on_progress(share: float | None, speed: float | None) -> None:
            percent = None if share is None else 100 * share
            self._at_hand = TaskProgress(task.task_id, percent, speed)

        try:
            with folder.task() as path:
                await process(task, path, self._storage, self._settings, announce, on_progress)
        except DroppedError:
            log.warning("task %s: the controller does not want the result", task.task_id)
        except Exception as error:
            # A fault of ours in one task must not cost the tasks after it.
            fault = fault_of(error)
            if fault is None:
                log.exception("task %s", task.task_id)
            self._fail(task, error_type_of(error), message_of(error), fault or pb.FAULT_WORKER)

    async def _read(self) -> None:
        """Take in tasks until the controller ends the stream."""
        try:
            async for task in self._link.tasks(lambda: self._job_id or ""):
                if task.cancelled:
                    self._drop(task)
                else:
                    self._take(task)
        except RefusedError as error:
            if self._job is not None or not error.released:
                raise
        log.info("the controller needs this worker no more")

    def _take(self, task: pb.TCTask) -> None:
        if task.task_id in self._history:
            log.info("task %s is known already", task.task_id)
            for report in self._history.told(task.task_id):
                self._outbox.post(report, again=True)
            return
        self._history.add(task.task_id)
        if task.worker_id not in ("", self._settings.worker_id):
            self._fail(
                task,
                pb.ERROR_STORAGE_ERROR,
                "handed back: it is another worker's",
                pb.FAULT_NONE,
            )
        elif self._stop.is_set():
            self._hand_back(task)
        else:
            self._queue.append(task)
            self._arrived.set()

    def _drop(self, task: pb.TCTask) -> None:
        """The controller wants a task no more: its client has cancelled it."""
        log.info("task %s is cancelled", task.task_id)
        for queued in [each for each in self._queue if each.task_id == task.task_id]:
            self._queue.remove(queued)
            self._confirm_drop(queued)
        if self._job is not None and self._job_id == task.task_id:
            self._dropped.add(task.task_id)
            self._job.cancel()

    def _confirm_drop(self, task: pb.TCTask) -> None:
        """Nothing of a task goes on here: what it has left behind can be cleared away."""
        self._dropped.discard(task.task_id)
        self._fail(task, pb.ERROR_STORAGE_ERROR, CANCELLED, pb.FAULT_NONE)

    def _refused(self, report: Report, reason: str) -> None:
        if self._job is not None and report.task_id == self._job_id:
            log.warning("task %s is no longer ours: %s", report.task_id, reason)
            self._job.cancel()

    def _hand_back(self, task: pb.TCTask) -> None:
        # The contract has no other word for it; a storage error is tried again.
        self._fail(task, pb.ERROR_STORAGE_ERROR, HANDED_BACK, pb.FAULT_NONE)

    def _fail(
        self, task: pb.TCTask, kind: pb.GrpcErrorType, message: str, fault: pb.FaultEnum
    ) -> None:
        words = " ".join(message.split())[:_MESSAGE_LIMIT]
        log.error("task %s: %s (%s)", task.task_id, words, pb.FaultEnum.Name(fault))
        self._tell(
            pb.GrpcErrorEvent(
                error_type=kind,
                error_message=words,
                worker_id=self._settings.worker_id,
                task_id=task.task_id,
                fault=fault,
            )
        )

    def _tell(self, report: Report) -> asyncio.Future[Answer]:
        self._history.note(report)
        return self._outbox.post(report)

    async def _check_storage(self) -> None:
        """Tell early what is wrong; tasks are taken all the same, it may be mended by then."""
        try:
            await in_background(self._storage.check)
        except StorageError as error:
            log.warning("%s", error)

    async def _wait(self, *tasks: asyncio.Task[Any], timeout_s: float | None = None) -> None:
        """Wait for one of them; what fails in the background fails here."""
        while True:
            waiting = {*tasks, *self._background}
            done, _ = await asyncio.wait(
                waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            self._background -= done
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error
            if not done or not done.isdisjoint(tasks):
                return

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        return task

    async def _end_background(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    @staticmethod
    async def _until(event: asyncio.Event) -> None:
        await event.wait()
