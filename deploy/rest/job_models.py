"""What the Job API tells of a job beside the contract, as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from deploy.grpc_api import jobs_pb2 as pb
from deploy.urgency import NORMAL

JobLife = Literal["Waiting", "Started", "Completed", "Error", "Cancelled"]
"""``Cancelled`` is ours: to the contract's calls such a job is in ``Error``."""
Step = Literal["downloading", "transcoding", "uploading"]

_EXAMPLE_ID = "5f0c7a3e-6a1f-4c53-9a38-0c5d2f6a1b77"
_WORKER_ID = "0b1f2f5c-7f0b-4d0a-9a6b-1f8f0d1f4a55"


class JobTimes(BaseModel):
    """When what happened, in UTC; null: it has not."""

    received: Annotated[datetime, Field(description="The job was submitted.")]
    retried: Annotated[
        datetime | None, Field(description="It had ended and was asked for again, the last time.")
    ] = None
    assigned: Annotated[
        datetime | None, Field(description="The latest attempt was given to its worker.")
    ] = None
    started: Annotated[datetime | None, Field(description="The worker was sent it.")] = None
    downloaded: Annotated[datetime | None, Field(description="The worker had the input.")] = None
    transcoded: Annotated[datetime | None, Field(description="It had transcoded.")] = None
    uploaded: Annotated[datetime | None, Field(description="The result was in place.")] = None
    ended: Annotated[
        datetime | None, Field(description="Complete, failed for good, or cancelled.")
    ] = None


class FailedAttempt(BaseModel):
    """An attempt that came to nothing by somebody's fault; the job was tried again after it."""

    worker_id: str
    reason: Annotated[str, Field(description="For people.")]
    fault: Annotated[str, Field(description="Whose: job, worker or unknown.")]
    time: datetime


class ExpectedEnd(BaseModel):
    """When the job is expected to be complete, in UTC."""

    earliest: datetime
    likely: Annotated[datetime, Field(description="It ends before and after this equally often.")]
    latest: Annotated[
        datetime,
        Field(description="Four of five jobs end between the earliest and the latest."),
    ]


class JobDetails(BaseModel):
    """All that is known of a job."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _EXAMPLE_ID,
                    "id_video": "bbb_3.mp4",
                    "bitrate": 2000,
                    "speed": "fast",
                    "output_video": "out-bbb_3.mp4",
                    "state": "Started",
                    "error": None,
                    "attempts": 1,
                    "worker_id": _WORKER_ID,
                    "times": {
                        "received": "2026-11-30T14:23:22Z",
                        "assigned": "2026-11-30T14:23:24Z",
                        "started": "2026-11-30T14:23:24Z",
                        "downloaded": "2026-11-30T14:23:26Z",
                    },
                    "failed_attempts": [],
                    "step": "transcoding",
                    "progress_percent": 41.5,
                    "encoding_speed": 2.3,
                    "queue_position": None,
                    "held": False,
                    "expected": {
                        "earliest": "2026-11-30T14:24:02Z",
                        "likely": "2026-11-30T14:24:20Z",
                        "latest": "2026-11-30T14:25:05Z",
                    },
                    "labels": {"team": "news"},
                    "priority": "normal",
                    "deadline": None,
                    "webhook": None,
                }
            ]
        }
    )

    id: str
    id_video: str
    bitrate: Annotated[int, Field(description="Video bitrate of the result, kbit/s.")]
    speed: Annotated[str, Field(description="Preset of the encoder.")]
    output_video: Annotated[str, Field(description="Name of the result.")]
    state: JobLife
    error: Annotated[
        str | None,
        Field(description="Why it failed or was cancelled, for people; null if it has not."),
    ]
    attempts: Annotated[int, Field(description="How many workers have been given it.")]
    worker_id: Annotated[
        str | None, Field(description="Of the latest attempt, if that has not come to nothing.")
    ]
    times: JobTimes
    failed_attempts: list[FailedAttempt]
    step: Annotated[Step | None, Field(description="Of a job in process.")]
    progress_percent: Annotated[
        float | None,
        Field(
            description="Of the transcode, 0..100. Null before it begins, and from workers that do "
            "not tell (those of the existing system, and simulated ones)."
        ),
    ]
    encoding_speed: Annotated[
        float | None,
        Field(description="Seconds of video transcoded a second; null as the field before."),
    ]
    queue_position: Annotated[
        int | None,
        Field(
            description="Which of the waiting jobs it is, 1 being the next; null if it does not "
            "wait, or is held. It can rise: shorter or more urgent jobs may come."
        ),
    ]
    held: Annotated[
        bool,
        Field(
            description="It waits and may not be handed out now: it pauses after a failure, its "
            "input was not looked for yet, or the object storage is away."
        ),
    ]
    expected: Annotated[
        ExpectedEnd | None,
        Field(
            description="As things are now; null if it has ended, is held, or is far back in the "
            "queue."
        ),
    ]
    labels: dict[str, str]
    priority: str
    deadline: datetime | None
    webhook: Annotated[str | None, Field(description="Is told when the job has ended.")]


class JobDetailsList(BaseModel):
    """Jobs, and whether there are more after the last one."""

    items: list[JobDetails]
    has_more: bool


def job_details(told: pb.JobDetails) -> JobDetails:
    """A job as the controller tells of it.

    Raises:
        ValueError: it tells something that is not known here.
    """
    times = told.times
    return JobDetails(
        id=told.job_id,
        id_video=told.input_video,
        bitrate=told.bitrate,
        speed=told.speed,
        output_video=told.output_video,
        state=cast("JobLife", told.state),  # pydantic checks it
        error=told.error or None,
        attempts=told.attempts,
        worker_id=told.worker_id or None,
        times=JobTimes(
            received=moment(times.received),
            retried=moment_or_none(times.retried),
            assigned=moment_or_none(times.assigned),
            started=moment_or_none(times.started),
            downloaded=moment_or_none(times.downloaded),
            transcoded=moment_or_none(times.transcoded),
            uploaded=moment_or_none(times.uploaded),
            ended=moment_or_none(times.ended),
        ),
        failed_attempts=[
            FailedAttempt(
                worker_id=each.worker_id,
                reason=each.reason,
                fault=each.fault,
                time=moment(each.time),
            )
            for each in told.failed_attempts
        ],
        step=cast("Step | None", told.step or None),
        progress_percent=told.done_percent if told.HasField("done_percent") else None,
        encoding_speed=told.encoding_speed if told.HasField("encoding_speed") else None,
        queue_position=told.queue_position if told.HasField("queue_position") else None,
        held=told.held,
        expected=ExpectedEnd(
            earliest=moment(told.expected.earliest),
            likely=moment(told.expected.likely),
            latest=moment(told.expected.latest),
        )
        if told.HasField("expected")
        else None,
        labels=dict(told.labels.items()),
        priority=told.priority or NORMAL,
        deadline=moment(told.deadline) if told.HasField("deadline") else None,
        webhook=told.webhook or None,
    )


def moment(seconds: float) -> datetime:
    """A time of the epoch as a date in UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{seconds} is no time") from error


def moment_or_none(seconds: float) -> datetime | None:
    """As `moment`; 0 is none."""
    return moment(seconds) if seconds else None
