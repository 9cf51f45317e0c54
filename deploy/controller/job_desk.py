"""What our own front end may ask about jobs beside the contract: all that is known, and orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from deploy.controller.admission import RejectedError
from deploy.controller.conductor import Conductor
from deploy.controller.intake import Intake, Taken
from deploy.controller.progress_board import NOTHING_KNOWN, Transcoded
from deploy.controller.result_desk import ResultDesk, ResultPlace
from deploy.controller.standing import Standing
from deploy.controller.wishes import Wishes, check_labels
from deploy.expected.interval import Expected, Outlook
from deploy.store.finding import JobQuery
from deploy.store.records import FailureRecord, JobRecord, JobState
from deploy.store.store import Store, UnknownIdError
from env.errors import IllegalEventError
from env.worker import TaskPhase, Worker

CANCELLED: Final = "cancelled by the client"
"""The reason of a cancelled job; to clients of the contract it is in error for this."""

_STEPS: Final = {
    TaskPhase.DOWNLOADING: "downloading",
    TaskPhase.TRANSCODING: "transcoding",
    TaskPhase.UPLOADING: "uploading",
}


@dataclass(frozen=True, slots=True)
class JobDetails:
    """All that is known of a job.

    Attributes:
        record: as it is stored.
        state: how far it has come.
        step: of a job in process: ``downloading``, ``transcoding`` or ``uploading``.
        progress: of its transcode.
        failures: its attempts that came to nothing by somebody's fault; not told in lists.
        labels: by which it is found.
        queue_position: of a job that waits and may be handed out, from 1.
        held: it waits, and may not be handed out now (see `deploy.steps.Held`; or the object
            storage is away).
        expected: when it ends, seconds since the epoch.
    """

    record: JobRecord
    state: JobState
    step: str = ""
    progress: Transcoded = NOTHING_KNOWN
    failures: Sequence[FailureRecord] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    queue_position: int | None = None
    held: bool = False
    expected: Expected | None = None


@dataclass(frozen=True, slots=True)
class JobList:
    """Some jobs, and whether there are more after them."""

    jobs: Sequence[JobDetails]
    has_more: bool


class JobDesk:
    """Answers about jobs, and takes orders.

    Args:
        conductor: leads events through.
        store: only read here.
        intake: takes jobs in.
        results: finds and reads results.
    """

    def __init__(
        self, conductor: Conductor, store: Store, intake: Intake, results: ResultDesk
    ) -> None:
        self._conductor, self._scheduler = conductor, conductor.scheduler
        self._store, self._intake, self._results = store, intake, results
        self._standing = Standing(conductor.scheduler.cluster)
        self._outlook = Outlook(conductor.scheduler.cluster)

    async def submit(
        self, video: str, output: str, bitrate: int, speed: str, wishes: Wishes
    ) -> Taken:
        """Accept a job; it is durable when its id is returned.

        Raises:
            RejectedError: it is not accepted.
        """
        try:
            return await self._intake.submit_once(video, output, bitrate, speed, wishes)
        except RejectedError as error:
            self._conductor.metrics.rejected(error.reason)
            raise

    async def find(self, wanted: JobQuery) -> JobList:
        """The jobs that are wanted, with what is known of them.

        Raises:
            RejectedError: there is no job after which the list could go on, or no such state.
        """
        unknown = sorted(set(wanted.states) - {*JobState})
        if unknown:
            raise RejectedError("invalid", f"{unknown[0][:40]!a} is not a state of a job")
        check_labels(wanted.labels)
        try:
            records, labels, more = await asyncio.to_thread(self._find, wanted)
        except UnknownIdError as error:
            raise RejectedError("not-found", str(error)) from None
        jobs = [self._details(each, (), labels.get(each.request_id, {})) for each in records]
        return JobList(jobs, more)

    def _find(self, wanted: JobQuery) -> tuple[list[JobRecord], dict[str, dict[str, str]], bool]:
        records, more = self._store.find_jobs(wanted)
        return records, self._store.labels_of([each.request_id for each in records]), more

    async def details(self, job_id: str) -> JobDetails:
        """All that is known of a job.

        Raises:
            RejectedError: there is no such job.
        """
        found = await asyncio.to_thread(self._look_up, job_id)
        if found is None:
            raise RejectedError("not-found", "there is no such job")
        return self._details(*found)

    async def cancel(self, job_id: str) -> JobDetails:
        """End a job that waits or is in process.

        Raises:
            RejectedError: there is no such job, or it has ended.
        """
        takes_cancels = self._conductor.streams.takes_cancels
        try:
            durable = self._conductor.handle(
                lambda now: self._scheduler.cancel(now, job_id, CANCELLED, takes_cancels)
            )
        except IllegalEventError:
            ended = await self.details(job_id)
            raise RejectedError(
                "conflict", f"the job has ended: it is {ended.state.lower()}"
            ) from None
        await asyncio.shield(durable)
        return await self.details(job_id)

    async def retry(self, job_id: str) -> JobDetails:
        """Let a job that has failed or was cancelled be done all the same.

        Raises:
            RejectedError: there is no such job, it has not ended so, or it cannot be done.
        """
        await self._intake.retry(job_id)
        return await self.details(job_id)

    async def result(self, job_id: str) -> ResultPlace:
        """Where the result of a job is.

        Raises:
            RejectedError: there is no such job, or it has no result.
        """
        details = await self.details(job_id)
        return await self._results.find(details.record, details.state)

    async def read_result(self, job_id: str, first: int, length: int) -> AsyncIterator[bytes]:
        """A part of the result of a job, in pieces.

        Raises:
            RejectedError: there is no such job, or it has no result.
        """
        details = await self.details(job_id)
        async for part in self._results.read(details.record, details.state, first, length):
            yield part

    def _look_up(
        self, job_id: str
    ) -> tuple[JobRecord, list[FailureRecord], Mapping[str, str]] | None:
        record = self._store.job(job_id)
        if record is None:
            return None
        labels = self._store.labels_of([job_id]).get(job_id, {})
        return record, self._store.failures_of(job_id), labels

    def _details(
        self, record: JobRecord, failures: Sequence[FailureRecord], labels: Mapping[str, str]
    ) -> JobDetails:
        cluster, job_id = self._scheduler.cluster, record.request_id
        job = cluster.jobs.get(job_id)
        if job is None:
            done = Transcoded(100.0) if record.state is JobState.COMPLETED else NOTHING_KNOWN
            return JobDetails(record, record.state, progress=done, failures=failures, labels=labels)
        if cluster.is_waiting(job_id):
            position = self._standing.position(job_id)
            return JobDetails(
                record,
                JobState.WAITING,
                failures=failures,
                labels=labels,
                queue_position=position,
                held=position is None,
                expected=self._expected(job_id),
            )
        worker = next(each for each in cluster.workers.values() if each.job is job)
        # The store is a moment behind.
        record = replace(record, worker_id=str(worker.worker_id), attempts=job.attempts)
        return JobDetails(
            record,
            JobState.STARTED,
            step=_STEPS[worker.phase],
            progress=self._progress(worker),
            failures=failures,
            labels=labels,
            expected=self._expected(job_id),
        )

    def _expected(self, job_id: str) -> Expected | None:
        """In the epoch's seconds, and no earlier than now."""
        found, start = self._outlook.of(job_id), self._conductor.start
        if found is None:
            return None
        now = self._conductor.now
        times = (max(now, each) + start for each in (found.earliest, found.likely, found.latest))
        return Expected(*times)

    def _progress(self, worker: Worker) -> Transcoded:
        worker_id = str(worker.worker_id)
        _, task_id = self._scheduler.task_of(worker_id) or ("", "")
        told = self._conductor.progress.of(worker_id, task_id)
        return Transcoded(100.0) if worker.phase is TaskPhase.UPLOADING else told
