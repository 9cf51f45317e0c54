"""What our controller answers about jobs beside the contract; see ``jobs.proto``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import grpc.aio

from deploy.grpc_api import jobs_pb2 as pb
from deploy.grpc_api.jobs_pb2_grpc import DaCircoJobsStub
from deploy.names import output_name
from deploy.rest.job_models import JobDetails, JobDetailsList, job_details
from deploy.rest.job_options import JobOptions

Ask = Callable[[Any, Any], Awaitable[Any]]
"""Makes a call of a stub with a request, and tells of failures as `ControllerClient` does."""


class StrangeAnswerError(Exception):
    """The controller answered what is not known here."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which jobs are wanted; by default all.

    Attributes:
        states: one of them.
        labels: all of them.
        since: received then or later.
        before: received earlier.
        newest_first: in the reverse order of arrival.
        impossible: no job can be so: it would have two values of one label.
    """

    states: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    since: datetime | None = None
    before: datetime | None = None
    newest_first: bool = False
    impossible: bool = False

    def query(self, limit: int | None, after: str, offset: int) -> pb.JobQuery:
        """A page of them, as the controller is asked for it."""
        query = pb.JobQuery(
            limit=limit or 0,
            after=after,
            offset=offset,
            states=self.states,
            labels=self.labels,
            newest_first=self.newest_first,
        )
        if self.since is not None:
            query.since = self.since.timestamp()
        if self.before is not None:
            query.before = self.before.timestamp()
        return query


class JobCalls:
    """The calls.

    Args:
        channel: to the controller.
        ask: see `Ask`.
        failure: what a failed call means.
        metadata: shown with each call.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        ask: Ask,
        failure: Callable[[grpc.aio.AioRpcError], Exception],
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        self._stub: Any = DaCircoJobsStub(channel)  # type: ignore[no-untyped-call]
        self._ask, self._failure, self._metadata = ask, failure, tuple(metadata)

    async def submit(
        self, video: str, bitrate: int, speed: str, key: str, options: JobOptions
    ) -> tuple[str, bool]:
        """Hand over a job with wishes.

        Returns:
            Its id, and whether the key was used for it before.
        """
        job = pb.NewJob(
            input_video=video,
            output_video=output_name(video),
            bitrate=bitrate,
            speed=speed,
            idempotency_key=key,
            labels=options.labels,
            priority=options.priority,
            webhook=options.webhook or "",
        )
        if options.deadline is not None:
            job.deadline = options.deadline.timestamp()
        reply: pb.SubmittedJob = await self._ask(self._stub.submit_job, job)
        return reply.job_id, reply.known_before

    async def find(
        self, filters: Filters, limit: int | None, after: str, offset: int
    ) -> tuple[list[str], bool]:
        """The ids of the jobs that are wanted, and whether there are more."""
        if filters.impossible:
            return [], False
        page: pb.JobPage = await self._ask(
            self._stub.find_jobs, filters.query(limit, after, offset)
        )
        return list(page.job_ids), page.has_more

    async def find_details(
        self, filters: Filters, limit: int, after: str, offset: int
    ) -> JobDetailsList:
        """All that is known of the jobs that are wanted."""
        if filters.impossible:
            return JobDetailsList(items=[], has_more=False)
        query = filters.query(limit, after, offset)
        query.with_details = True
        page: pb.JobPage = await self._ask(self._stub.find_jobs, query)
        return JobDetailsList(items=[_read(each) for each in page.jobs], has_more=page.has_more)

    async def details(self, job_id: str) -> JobDetails:
        """All that is known of a job."""
        return await self._job(self._stub.describe_job, job_id)

    async def cancel(self, job_id: str) -> JobDetails:
        """End a job that waits or is in process."""
        return await self._job(self._stub.cancel_job, job_id)

    async def retry(self, job_id: str) -> JobDetails:
        """Let a job that has failed or was cancelled be done all the same."""
        return await self._job(self._stub.retry_job, job_id)

    async def result(self, job_id: str) -> pb.ResultPlace:
        """Where the result of a job is."""
        place: pb.ResultPlace = await self._ask(self._stub.find_result, pb.JobName(job_id=job_id))
        return place

    async def read_result(
        self, job_id: str, first: int, length: int
    ) -> AsyncGenerator[bytes, None]:
        """A part of the result of a job, in pieces; breaks off if the controller does."""
        wanted = pb.ResultRange(job_id=job_id, first=first, length=length)
        call = self._stub.read_result(wanted, metadata=self._metadata)
        try:
            async for part in call:
                yield part.content
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from error
        finally:
            call.cancel()

    async def _job(self, call: Any, job_id: str) -> JobDetails:
        return _read(await self._ask(call, pb.JobName(job_id=job_id)))


def _read(told: pb.JobDetails) -> JobDetails:
    try:
        return job_details(told)
    except ValueError as error:
        raise StrangeAnswerError(f"the controller told of a job what cannot be: {error}") from error
