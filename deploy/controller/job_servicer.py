"""The gRPC service of our own front end: checks what comes in, and translates; see `jobs.proto`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from math import isfinite
from typing import Any, Final, NoReturn, TypeVar

import grpc
import grpc.aio

from deploy.controller.admission import RejectedError
from deploy.controller.job_desk import JobDesk, JobDetails
from deploy.controller.wishes import Wishes
from deploy.grpc_api import jobs_pb2 as pb
from deploy.grpc_api import jobs_pb2_grpc as rpc
from deploy.grpc_api.reasons import REASON_KEY
from deploy.store.finding import JobQuery
from deploy.store.records import JobRecord
from deploy.urgency import NORMAL

MOST_ID: Final = 64
MOST_IDS: Final = 10_000
MOST_DETAILS: Final = 1_000
"""Jobs on a page."""
MOST_STATES: Final = 10

_LOGGER = logging.getLogger(__name__)

_STATUS_OF: Final = {
    "not-found": grpc.StatusCode.NOT_FOUND,
    "invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "conflict": grpc.StatusCode.FAILED_PRECONDITION,
    "storage": grpc.StatusCode.UNAVAILABLE,
    "overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED,
}

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]


class JobServicer(rpc.DaCircoJobsServicer):
    """Answers the calls."""

    def __init__(self, desk: JobDesk) -> None:
        self._desk = desk

    async def submit_job(self, request: pb.NewJob, context: Context) -> pb.SubmittedJob:
        """Accept a job with wishes."""
        wishes = Wishes(
            idempotency_key=request.idempotency_key,
            labels=dict(request.labels.items()),
            priority=request.priority or NORMAL,
            webhook=request.webhook,
            deadline=request.deadline if request.HasField("deadline") else None,
        )
        asked = request.input_video, request.output_video, request.bitrate, request.speed
        taken = await _answer(self._desk.submit(*asked, wishes), context)
        return pb.SubmittedJob(job_id=taken.job_id, known_before=taken.known_before)

    async def find_jobs(self, request: pb.JobQuery, context: Context) -> pb.JobPage:
        """Ids of jobs, or all that is known of them, page by page."""
        most = MOST_DETAILS if request.with_details else MOST_IDS
        wanted = JobQuery(
            limit=max(1, min(request.limit or most, most)),
            after=request.after,
            offset=max(0, request.offset),
            states=tuple(request.states[:MOST_STATES]),
            labels=dict(request.labels.items()),
            since=request.since if request.HasField("since") else None,
            before=request.before if request.HasField("before") else None,
            newest_first=request.newest_first,
        )
        if not (is_time(wanted.since) and is_time(wanted.before)):
            await _refuse(RejectedError("invalid", "a time is none"), context)
        found = await _answer(self._desk.find(wanted), context)
        if request.with_details:
            jobs = [to_message(each) for each in found.jobs]
            return pb.JobPage(jobs=jobs, has_more=found.has_more)
        ids = [each.record.request_id for each in found.jobs]
        return pb.JobPage(job_ids=ids, has_more=found.has_more)

    async def find_result(self, request: pb.JobName, context: Context) -> pb.ResultPlace:
        """Where the result of a job is."""
        place = await _answer(self._desk.result(_id(request)), context)
        return pb.ResultPlace(
            name=place.name,
            size=place.size,
            etag=place.etag,
            modified=place.modified,
            url=place.url,
        )

    async def read_result(self, request: pb.ResultRange, context: Context) -> None:
        """A part of the result of a job, piece by piece."""

        async def send() -> None:
            job_id = _id(pb.JobName(job_id=request.job_id))
            async for part in self._desk.read_result(job_id, request.first, request.length):
                await context.write(pb.ResultPart(content=part))

        await _answer(send(), context)

    async def describe_job(self, request: pb.JobName, context: Context) -> pb.JobDetails:
        """All that is known of a job."""
        return to_message(await _answer(self._desk.details(_id(request)), context))

    async def cancel_job(self, request: pb.JobName, context: Context) -> pb.JobDetails:
        """End a job that waits or is in process."""
        return to_message(await _answer(self._desk.cancel(_id(request)), context))

    async def retry_job(self, request: pb.JobName, context: Context) -> pb.JobDetails:
        """Let a job that has failed or was cancelled be done all the same."""
        return to_message(await _answer(self._desk.retry(_id(request)), context))


def to_message(details: JobDetails) -> pb.JobDetails:
    """A job as it goes over the wire."""
    record = details.record
    message = pb.JobDetails(
        job_id=record.request_id,
        input_video=record.input_video,
        output_video=record.output_video,
        bitrate=record.bitrate,
        speed=record.speed,
        state=str(details.state),
        error=record.error_message or "",
        attempts=record.attempts,
        worker_id=record.worker_id or "",
        times=_times(record),
        failed_attempts=[
            pb.FailedAttempt(
                worker_id=each.worker_id, reason=each.reason, fault=each.fault, time=each.time
            )
            for each in details.failures
        ],
        step=details.step,
        held=details.held,
        labels=dict(details.labels),
        priority=record.priority,
        webhook=record.webhook or "",
    )
    if record.deadline is not None:
        message.deadline = record.deadline
    if details.expected is not None:
        message.expected.earliest = details.expected.earliest
        message.expected.likely = details.expected.likely
        message.expected.latest = details.expected.latest
    if details.queue_position is not None:
        message.queue_position = details.queue_position
    if details.progress.percent is not None:
        message.done_percent = details.progress.percent
    if details.progress.speed is not None:
        message.encoding_speed = details.progress.speed
    return message


def _times(record: JobRecord) -> pb.JobTimes:
    return pb.JobTimes(
        received=record.time_received,
        retried=record.time_retried or 0.0,
        assigned=record.time_assigned or 0.0,
        started=record.time_started or 0.0,
        downloaded=record.time_downloaded or 0.0,
        transcoded=record.time_transcoded or 0.0,
        uploaded=record.time_uploaded or 0.0,
        ended=record.time_ended or 0.0,
    )


def _id(request: pb.JobName) -> str:
    """The id that is asked for; one that no job can have is as good as none."""
    job_id = request.job_id
    return job_id if len(job_id) <= MOST_ID and job_id.isprintable() else ""


def is_time(value: float | None) -> bool:
    """Whether a bound in time is one, or there is none."""
    return value is None or isfinite(value)


async def _refuse(error: RejectedError, context: Context) -> NoReturn:
    context.set_trailing_metadata(((REASON_KEY, error.reason),))
    await context.abort(_STATUS_OF[error.reason], str(error))
    raise AssertionError("an abort returns to nobody")


async def _answer(work: Awaitable[T], context: Context) -> T:
    """What the desk says; a refusal ends the call with its reason."""
    try:
        return await work
    except RejectedError as error:
        await _refuse(error, context)
    except Exception:
        _LOGGER.exception("a call on a job failed")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the controller failed, try again")
