"""What clients and workers may ask of the controller; the gRPC servicer and HTTP only translate."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import Any, Final

from deploy.controller.conductor import Conductor
from deploy.controller.estimates import Estimates
from deploy.controller.journal import Keys, Line
from deploy.controller.streams import Stream
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.names import VideoNameError, check_output_name, check_video_name
from deploy.storage.base import (
    MisleadingLinkError,
    ObjectMissingError,
    ObjectStorage,
    StorageError,
)
from deploy.store.records import (
    JobRecord,
    JobState,
    MetaChange,
    Page,
    WorkerRecord,
    WorkerStatus,
)
from deploy.store.store import PREFERENCE, Store
from deploy.store.writer import StoreUnavailableError, Writer
from deploy.tasks import Progress, TaskError
from env.errors import IllegalEventError
from env.event_log import EventCode
from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, SPEEDS, Request
from env.worker import TaskPhase, Worker, WorkerState

INPUT_FOLDER: Final = "input-videos"
_STORAGE_TIMEOUT_S: Final = 10.0
_MOST_MESSAGE: Final = 2000

_LOGGER = logging.getLogger(__name__)

_EVENT_OF: Final = {
    TaskError.TRANSCODING_FAILED: EventCode.TRANSCODING_ERROR,
    TaskError.STORAGE_ERROR: EventCode.STORAGE_ERROR,
}
_PHASES: Final = {
    TaskPhase.DOWNLOADING: WorkerStatus.DOWNLOADING,
    TaskPhase.TRANSCODING: WorkerStatus.TRANSCODING,
    TaskPhase.UPLOADING: WorkerStatus.UPLOADING,
}
_STATES: Final = {
    WorkerState.BOOTING: WorkerStatus.BOOTING,
    WorkerState.IDLE: WorkerStatus.IDLE,
    WorkerState.DRAINING: WorkerStatus.DRAINING,
}


class RejectedError(Exception):
    """A job is not accepted.

    Attributes:
        reason: ``not-found``, ``invalid``, ``storage`` or ``overloaded``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Service:
    """The controller's answers.

    Args:
        conductor: leads events through.
        store: for what is no longer in memory; only read here.
        writer: for what must be durable before an event.
        estimates: what jobs are expected to take.
        storage: where input videos must be; none if any name will do.
        known_videos: if there is no storage, the names that there are.
        max_queue: most jobs in the system.
    """

    def __init__(
        self,
        conductor: Conductor,
        store: Store,
        writer: Writer,
        estimates: Estimates,
        *,
        storage: ObjectStorage | None,
        known_videos: frozenset[str] | None,
        max_queue: int,
    ) -> None:
        self._conductor, self._scheduler = conductor, conductor.scheduler
        self._store, self._writer, self._estimates = store, writer, estimates
        self._storage, self._known_videos = storage, known_videos
        self._max_queue = max_queue
        self._arriving = 0

    # -- clients ----------------------------------------------------------------------

    async def submit(self, video: str, output: str, bitrate: int, speed: str) -> str:
        """Accept a job; it is durable when its id is returned.

        Raises:
            RejectedError: it is not accepted.
        """
        received = self._conductor.clock.time()
        self._check_request(video, output, bitrate, speed)
        await self._check_input(video)
        job_id = str(uuid.uuid4())
        record = JobRecord(job_id, video, output, bitrate, speed, received)
        if len(self._conductor.jobs) + self._arriving >= self._max_queue:
            raise RejectedError("overloaded", f"{self._max_queue} jobs wait already: try later")
        self._arriving += 1
        try:
            # A client that goes away while the job is written must not leave it in limbo.
            return await asyncio.shield(self._accept(record))
        finally:
            self._arriving -= 1

    async def _accept(self, record: JobRecord) -> str:
        try:
            await self._writer.write([record], may_fail=True)
        except StoreUnavailableError:
            raise RejectedError("storage", "the controller cannot store jobs now") from None
        conductor, job_id = self._conductor, record.request_id
        conductor.jobs[job_id] = record
        speed = next(speed for speed in SPEEDS if speed == record.speed)
        request = Request(conductor.now, record.input_video, record.bitrate, speed)
        estimate = self._estimates.of(record.input_video, record.bitrate, speed)
        line: Line = (
            EventCode.REQUEST_RECEIVED,
            {
                "request_id": job_id,
                "input_video": record.input_video,
                "bitrate": record.bitrate,
                "speed": record.speed,
            },
        )
        conductor.metrics.submitted()
        conductor.handle(
            lambda now: self._scheduler.submit(now, job_id, request, estimate), lines=[line]
        )
        return job_id

    def _check_request(self, video: str, output: str, bitrate: int, speed: str) -> None:
        try:
            check_video_name(video)
            check_output_name(output)
        except VideoNameError as error:
            raise RejectedError("invalid", str(error)) from None
        if output == video:
            raise RejectedError("invalid", "output_video is the input's name: give another")
        if not MIN_BITRATE_KBPS <= bitrate <= MAX_BITRATE_KBPS:
            raise RejectedError(
                "invalid",
                f"bitrate {bitrate} is not in {MIN_BITRATE_KBPS}..{MAX_BITRATE_KBPS} kbit/s",
            )
        if speed not in SPEEDS:
            raise RejectedError("invalid", f"speed {speed[:40]!r} is not {' or '.join(SPEEDS)}")

    async def _check_input(self, video: str) -> None:
        if self._storage is None:
            if self._known_videos is not None and video not in self._known_videos:
                raise RejectedError("not-found", f"there is no input video {video!r}")
        else:
            try:
                async with asyncio.timeout(_STORAGE_TIMEOUT_S):
                    key = f"{INPUT_FOLDER}/{video}"
                    await asyncio.to_thread(self._storage.size, key)
            except MisleadingLinkError as error:
                raise RejectedError("not-found", f"input video {video!r}: {error}") from None
            except ObjectMissingError:
                raise RejectedError("not-found", f"there is no input video {video!r}") from None
            except (StorageError, TimeoutError) as error:
                _LOGGER.error("the object storage fails: %r", error)
                raise RejectedError("storage", "the object storage does not answer") from None

    async def job_page(self, limit: int, after: str = "", offset: int = 0) -> Page:
        """A part of the jobs in the order of arrival; see `Store.job_page`."""
        return await asyncio.to_thread(self._store.job_page, limit, after=after, offset=offset)

    async def job(self, job_id: str) -> JobRecord | None:
        """A job as it was asked for."""
        known = self._conductor.jobs.get(job_id)
        return known or await asyncio.to_thread(self._store.job, job_id)

    async def job_state(self, job_id: str) -> JobState | None:
        """How far a job has come, none if it is unknown."""
        if job_id in self._scheduler.cluster.jobs:
            waits = self._scheduler.cluster.is_waiting(job_id)
            return JobState.WAITING if waits else JobState.STARTED
        record = await asyncio.to_thread(self._store.job, job_id)
        return None if record is None else record.state

    async def worker_page(self, limit: int, after: str = "", offset: int = 0) -> Page:
        """A part of the workers in the order of their spawns; see `Store.job_page`."""
        return await asyncio.to_thread(self._store.worker_page, limit, after=after, offset=offset)

    async def worker(self, worker_id: str) -> WorkerRecord | None:
        """A worker."""
        known = self._conductor.workers.get(worker_id)
        return known or await asyncio.to_thread(self._store.worker, worker_id)

    async def worker_state(self, worker_id: str) -> WorkerStatus | None:
        """What a worker does, none if it is unknown."""
        worker = self._scheduler.worker(worker_id)
        if worker is not None:
            return status_of(worker)
        record = await asyncio.to_thread(self._store.worker, worker_id)
        return None if record is None else record.state

    # -- workers ----------------------------------------------------------------------

    async def register(self, worker_id: str) -> None:
        """A worker has booted.

        Raises:
            IllegalEventError: it was not ordered, or it was ordered to end.
        """
        self._conductor.alive(worker_id)
        record = self._conductor.workers.get(worker_id)
        lines: list[Line] = []
        worker = self._scheduler.worker(worker_id)
        if record is not None and worker is not None and worker.state is WorkerState.BOOTING:
            keys: Keys = {
                "name": record.name,
                "worker_id": worker_id,
                "node": record.node,
                "cpus": record.cpus,
                "memory": f"{record.memory:g}",
            }
            lines = [(EventCode.WORKER_REGISTERED, keys)]
        await self._worker_event(
            "register_worker",
            worker_id,
            "",
            lambda now: self._scheduler.registered(now, worker_id),
            lines,
        )

    def open_stream(self, worker_id: str) -> Stream:
        """A worker wants tasks.

        Raises:
            IllegalEventError: it is unknown, has not registered, or was ordered to end.
        """
        worker = self._scheduler.worker(worker_id)
        wrong = None
        if worker is None:
            wrong = "the worker is unknown"
        elif worker.state in (WorkerState.BOOTING, WorkerState.DRAINING):
            wrong = f"the worker is {worker.state.name.lower()}"
        if wrong is not None:
            self._conductor.refuse("get_tasks", worker_id, "", wrong)
            raise IllegalEventError("get_tasks", worker_id, wrong)
        self._conductor.alive(worker_id)
        return self._conductor.streams.open(worker_id)

    def left_stream(self, worker_id: str, stream: Stream) -> None:
        """A stream has ended, for whatever reason."""
        self._conductor.streams.left(worker_id, stream)

    def task_sent(self, task: pb.TCTask) -> None:
        """A task is about to go over the wire: the first time, that starts it."""
        if self._scheduler.starts(task.worker_id, task.task_id):
            self._conductor.started(task.request_id, task.worker_id, task.task_id)

    async def progress(self, worker_id: str, task_id: str, progress: Progress) -> None:
        """A worker tells how far its task has come.

        Raises:
            IllegalEventError: that cannot be.
        """
        await self._worker_event(
            progress.name.lower(),
            worker_id,
            task_id,
            lambda now: self._scheduler.progressed(now, worker_id, task_id, progress),
        )

    async def failure(self, worker_id: str, task_id: str, error: TaskError, message: str) -> None:
        """A worker gives its task up.

        Raises:
            IllegalEventError: that cannot be.
        """
        message = message[:_MOST_MESSAGE] or "the worker gave no reason"
        line: Line = (
            _EVENT_OF[error],
            {"worker_id": worker_id, "task_id": task_id, "error_message": message},
        )
        lines = [line] if self._scheduler.is_running(worker_id, task_id) else []
        await self._worker_event(
            error.name.lower(),
            worker_id,
            task_id,
            lambda now: self._scheduler.failed(now, worker_id, task_id, error, message),
            lines,
        )

    def keepalive(self, worker_id: str) -> None:
        """A worker is alive.

        Raises:
            IllegalEventError: it is unknown.
        """
        if self._scheduler.worker(worker_id) is None:
            self._conductor.refuse("keepalive", worker_id, "", "the worker is unknown")
            raise IllegalEventError("keepalive", worker_id, "the worker is unknown")
        self._conductor.alive(worker_id)

    async def _worker_event(
        self, name: str, worker_id: str, task_id: str, event: Any, lines: Sequence[Line] = ()
    ) -> None:
        self._conductor.alive(worker_id)
        try:
            durable = self._conductor.handle(event, lines=lines)
        except IllegalEventError as error:
            self._conductor.refuse(name, worker_id, task_id, error.state)
            raise
        self._conductor.streams.acknowledge(worker_id, task_id)
        await asyncio.shield(durable)

    def refuse(self, event: str, worker_id: str, task_id: str, reason: str) -> None:
        """An event makes no sense in itself: log and count it."""
        self._conductor.refuse(event, worker_id, task_id, reason)

    def rejected(self, reason: str) -> None:
        """A job was not accepted: count it."""
        self._conductor.metrics.rejected(reason)

    # -- the operator -----------------------------------------------------------------

    @property
    def preference(self) -> float:
        """W, 0.1 lean .. 0.9 fast."""
        return self._scheduler.cluster.preference

    async def set_preference(self, preference: float) -> None:
        """Turn the dial, for this life and later ones.

        Raises:
            DaCircoError: it is not a preference.
        """
        durable = self._conductor.handle(
            lambda now: self._scheduler.set_preference(now, preference),
            lines=[(EventCode.PREFERENCE_CHANGED, {"preference": f"{preference:g}"})],
            changes=[MetaChange(PREFERENCE, repr(preference))],
        )
        await asyncio.shield(durable)


def status_of(worker: Worker) -> WorkerStatus:
    """What a worker does, in the words of the contract."""
    return _PHASES[worker.phase] if worker.phase in _PHASES else _STATES[worker.state]
