"""What clients and workers may ask of the controller; the gRPC servicer and HTTP only translate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from deploy.controller.admission import Admission
from deploy.controller.conductor import Conductor
from deploy.controller.intake import Intake
from deploy.controller.job_desk import JobDesk
from deploy.controller.journal import Keys, Line
from deploy.controller.lanes import Lanes
from deploy.controller.leftovers import Leftovers
from deploy.controller.result_desk import ResultDesk
from deploy.controller.results import Told
from deploy.controller.storage_door import StorageDoor
from deploy.controller.streams import Stream
from deploy.estimates import Estimates
from deploy.faults import whose
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.store.records import (
    JobRecord,
    JobState,
    MetaChange,
    Page,
    WorkerRecord,
    WorkerStatus,
)
from deploy.store.store import PREFERENCE, Store
from deploy.store.writer import Writer
from deploy.tasks import Fault, Progress, TaskError
from deploy.text import clean
from env.errors import IllegalEventError
from env.event_log import EventCode
from env.worker import TaskPhase, Worker, WorkerState

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


class Service:
    """The controller's answers.

    Args:
        conductor: leads events through.
        store: for what is no longer in memory; only read here.
        writer: for what must be durable before an event.
        estimates: what jobs are expected to take.
        door: to the object storage; none if there is none.
        known_videos: if there is no storage, the names that there are.
        max_queue: most jobs in the system.
        memory_in_mb: how a worker's RAM is told, else in GiB.

    Attributes:
        intake: takes jobs in.
        desk: what our own front end may ask about jobs.
        leftovers: of cancelled tasks.
    """

    def __init__(
        self,
        conductor: Conductor,
        store: Store,
        writer: Writer,
        estimates: Estimates,
        *,
        door: StorageDoor | None,
        known_videos: frozenset[str] | None,
        max_queue: int,
        memory_in_mb: bool = False,
    ) -> None:
        self._conductor, self._scheduler = conductor, conductor.scheduler
        self._store = store
        self._watch = None if door is None else door.watch
        self._inputs = None if door is None else door.inputs
        self._results = None if door is None else door.results
        self._memory_in_mb = memory_in_mb
        self._admission = Admission(conductor.jobs, self._inputs, known_videos, max_queue)
        self.intake = Intake(conductor, store, writer, estimates, self._admission, self._inputs)
        self.desk = JobDesk(conductor, store, self.intake, ResultDesk(self._results))
        self._lanes = Lanes()
        self.leftovers = Leftovers(self._results, lambda: conductor.jobs)
        conductor.on_cancelled = self.leftovers.cancelled
        conductor.on_gone = self.leftovers.worker_gone

    async def close(self) -> None:
        """Break off what is being looked at: workers tell again what was not answered."""
        await self._lanes.close()
        await self.leftovers.close()

    # -- clients ----------------------------------------------------------------------

    async def submit(
        self, video: str, output: str, bitrate: int, speed: str, *, strict: bool = True
    ) -> str:
        """Accept a job; it is durable when its id is returned.

        Args:
            video: the input's name.
            output: the result's name.
            bitrate: kbit/s.
            speed: x265 preset.
            strict: refuse what cannot be done. Otherwise it is stored, and ends in `Error` at
                once: a front end of the existing system takes a refusal for a job.

        Raises:
            RejectedError: it is not accepted.
        """
        return await self.intake.submit(video, output, bitrate, speed, strict=strict)

    def input_found(self, job_id: str) -> None:
        """The input of a job that was accepted without a look at it is there."""
        self._of_waiting(job_id, lambda now: self._scheduler.release(now, job_id))

    def input_missing(self, job_id: str, reason: str) -> None:
        """The input of a job that was accepted without a look at it is not there."""
        self._of_waiting(job_id, lambda now: self._scheduler.withdraw(now, job_id, reason))

    def _of_waiting(self, job_id: str, event: Any) -> None:
        try:
            self._conductor.handle(event)
        except IllegalEventError as error:
            _LOGGER.info("job %s has ended before its input was looked for: %s", job_id, error)

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

    def memory_text(self, worker: WorkerRecord) -> str:
        """A worker's RAM as clients read it: of a VM whole MB, as in the existing system."""
        return f"{worker.memory * 1024:.0f}" if self._memory_in_mb else f"{worker.memory:g}"

    def public_id(self, presented: str) -> str | None:
        """The worker whose secret id this is, none if it is nobody's."""
        return self._conductor.identities.public_id(presented)

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
                "memory": self.memory_text(record),
            }
            lines = [(EventCode.WORKER_REGISTERED, keys)]
        await self._worker_event(
            "register_worker",
            worker_id,
            "",
            lambda now: self._scheduler.registered(now, worker_id),
            lines,
        )

    def open_stream(
        self, worker_id: str, *, takes_cancels: bool = False, doing: str = ""
    ) -> Stream:
        """A worker wants tasks.

        Args:
            worker_id: the worker.
            takes_cancels: it can be told to drop a task.
            doing: the task that it is at, if it tells.

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
        drop = "" if self._scheduler.is_running(worker_id, doing) else doing
        return self._conductor.streams.open(worker_id, takes_cancels=takes_cancels, drop=drop)

    def left_stream(self, worker_id: str, stream: Stream) -> None:
        """A stream has ended, for whatever reason."""
        self._conductor.streams.left(worker_id, stream)

    def task_sent(self, task: pb.TCTask) -> None:
        """A task is about to go over the wire: the first time, that starts it."""
        if not task.cancelled and self._scheduler.starts(task.worker_id, task.task_id):
            self._conductor.started(task.request_id, task.worker_id, task.task_id)
            job = self._conductor.jobs.get(task.request_id)
            if self._results is not None and job is not None:
                self._results.remember(task.task_id, job)

    async def progress(
        self, worker_id: str, task_id: str, progress: Progress, told: Told | None = None
    ) -> None:
        """A worker tells how far its task has come.

        Args:
            worker_id: the worker.
            task_id: its task.
            progress: how far.
            told: of the result, if it is uploaded.

        Raises:
            IllegalEventError: that cannot be; or what it tells is not true.
        """
        if self.leftovers.told_of(worker_id, task_id):
            self._conductor.alive(worker_id)
            raise IllegalEventError(progress.name.lower(), task_id, "the job was cancelled")

        async def take() -> None:
            if self._results is not None and progress is Progress.UPLOADED:
                await self._look_at_result(worker_id, task_id, told or Told())
            await self._worker_event(
                progress.name.lower(),
                worker_id,
                task_id,
                lambda now: self._scheduler.progressed(now, worker_id, task_id, progress),
            )

        self._conductor.alive(worker_id)
        await self._lanes.run(worker_id, (task_id, progress), take)

    async def _look_at_result(self, worker_id: str, task_id: str, told: Told) -> None:
        """See that a result is there before anybody is told that it is.

        Raises:
            IllegalEventError: it is not: the worker has failed.
        """
        event = Progress.UPLOADED.name.lower()
        try:
            new = self._scheduler.check_result_of(worker_id, task_id)
        except IllegalEventError as error:
            self._conductor.refuse(event, worker_id, task_id, error.state)
            raise
        job = self._job_of(worker_id, task_id)
        if not new or job is None or self._results is None:
            return
        assigned = self._conductor.start + self._scheduler.assigned_at(worker_id)
        with self._conductor.working(worker_id):
            wrong = await self._results.fault(task_id, job, told, assigned)
        if not wrong:
            return
        self._conductor.metrics.result_missing()
        self._conductor.refuse(event, worker_id, task_id, wrong)
        await self._gives_up(worker_id, task_id, TaskError.STORAGE_ERROR, wrong, Fault.WORKER)
        raise IllegalEventError(event, task_id, wrong)

    async def failure(
        self,
        worker_id: str,
        task_id: str,
        error: TaskError,
        message: str,
        fault: Fault = Fault.UNKNOWN,
    ) -> None:
        """A worker gives its task up.

        Args:
            worker_id: the worker.
            task_id: its task.
            error: what failed.
            message: why.
            fault: whose the worker takes it for.

        Raises:
            IllegalEventError: that cannot be.
        """
        if self.leftovers.told_of(worker_id, task_id):
            self._conductor.alive(worker_id)
            self.leftovers.dropped(task_id)
            return
        words = clean(message) or "the worker gave no reason"

        async def take() -> None:
            judged, seen = await self._judge(worker_id, task_id, error, words, fault)
            await self._gives_up(worker_id, task_id, error, words, judged, seen=seen)

        self._conductor.alive(worker_id)
        await self._lanes.run(worker_id, (task_id, error), take)

    async def _judge(
        self, worker_id: str, task_id: str, error: TaskError, words: str, told: Fault
    ) -> tuple[Fault, bool]:
        """Whose a failure is, and whether the controller has seen that it is the job's."""
        job = self._job_of(worker_id, task_id)
        if job is None:  # nothing will follow from it
            return told, False
        fault = whose(error, words, told, (job.input_video, job.output_video))
        if error is TaskError.STORAGE_ERROR and fault is not Fault.NONE:
            # That the input is missing, or that the storage is away, we can see ourselves.
            of_job = fault in (Fault.JOB, Fault.UNKNOWN) and self._inputs is not None
            if of_job and await self._admission.why_missing(job.input_video):
                return Fault.JOB, True
            # No worker can store a result where a folder or a misleading link has its name.
            if self._results is not None and not await self._results.has_place(job):
                return Fault.JOB, True
            away = "" if self._watch is None else await self._watch.look()
            fault = Fault.STORAGE if away else Fault.WORKER
        elif fault is Fault.STORAGE:
            fault = Fault.WORKER
        return fault, False

    async def _gives_up(
        self,
        worker_id: str,
        task_id: str,
        error: TaskError,
        words: str,
        fault: Fault,
        *,
        seen: bool = False,
    ) -> None:
        keys: Keys = {"worker_id": worker_id, "task_id": task_id, "error_message": words}
        running = self._scheduler.is_running(worker_id, task_id)
        await self._worker_event(
            error.name.lower(),
            worker_id,
            task_id,
            lambda now: self._scheduler.failed(
                now, worker_id, task_id, error, words, fault, seen=seen
            ),
            [(_EVENT_OF[error], keys)] if running else [],
        )

    def _job_of(self, worker_id: str, task_id: str) -> JobRecord | None:
        """The job of a task that is in process on this worker."""
        job_id, running = self._scheduler.task_of(worker_id) or ("", "")
        return self._conductor.jobs.get(job_id) if running == task_id else None

    def keepalive(
        self,
        worker_id: str,
        task_id: str = "",
        done_percent: float | None = None,
        speed: float | None = None,
    ) -> None:
        """A worker is alive.

        Args:
            worker_id: the worker.
            task_id: what it transcodes, if it tells; one that is not its task is passed over.
            done_percent: how much of it is done.
            speed: seconds of video transcoded a second.

        Raises:
            IllegalEventError: it is unknown.
        """
        if self._scheduler.worker(worker_id) is None:
            self._conductor.refuse("keepalive", worker_id, "", "the worker is unknown")
            raise IllegalEventError("keepalive", worker_id, "the worker is unknown")
        self._conductor.alive(worker_id)
        if self._scheduler.is_running(worker_id, task_id):
            self._conductor.progress.tell(worker_id, task_id, done_percent, speed)

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
        if self._results is not None and not self._scheduler.is_running(worker_id, task_id):
            self._results.forget(task_id)
        await asyncio.shield(durable)

    def refuse(self, event: str, worker_id: str, task_id: str, reason: str) -> None:
        """An event makes no sense in itself: log and count it."""
        self._conductor.refuse(event, worker_id, task_id, reason)

    def refuse_stranger(self, event: str, alias: str, task_id: str, reason: str) -> None:
        """Somebody who is no worker tells something: log and count it."""
        self._conductor.refusals.stranger(event, alias, task_id, reason)

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
