"""What the store holds, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deploy.urgency import NORMAL


class JobState(StrEnum):
    """Life of a job; to clients of the contract a cancelled one has ended in error."""

    WAITING = "Waiting"
    STARTED = "Started"
    COMPLETED = "Completed"
    ERROR = "Error"
    CANCELLED = "Cancelled"


class WorkerStatus(StrEnum):
    """Life of a worker; `DRAINING` is ours: clients see it as stopped."""

    BOOTING = "Booting"
    DOWNLOADING = "Downloading File"
    TRANSCODING = "Transcoding"
    UPLOADING = "Uploading File"
    IDLE = "Idle"
    DRAINING = "Draining"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job; times are seconds since the epoch.

    Attributes:
        request_id: its id.
        input_video: name of the video.
        output_video: name of the result.
        bitrate: kbit/s.
        speed: x265 preset.
        time_received: when the client asked.
        state: see `JobState`.
        attempts: how many workers have been given it.
        worker_id: the latest of them.
        task_id: the latest attempt.
        error_message: why it failed.
        time_assigned: when the latest attempt was given to its worker.
        time_started: when the worker was sent it.
        time_downloaded: when the worker had the input.
        time_transcoded: when it had transcoded.
        time_uploaded: when the result was in place.
        time_ended: when it was complete, had failed for good, or was cancelled.
        time_retried: when it was asked for again, the last time, after it had ended.
        idempotency_key: hash of the key that its client gave it, if any.
        fingerprint: hash of what was asked with that key.
        priority: see `deploy.urgency`.
        deadline: when it should be complete, if its client cares.
        webhook: the URL that is told when it has ended, if any.
    """

    request_id: str
    input_video: str
    output_video: str
    bitrate: int
    speed: str
    time_received: float
    state: JobState = JobState.WAITING
    attempts: int = 0
    worker_id: str | None = None
    task_id: str | None = None
    error_message: str | None = None
    time_assigned: float | None = None
    time_started: float | None = None
    time_downloaded: float | None = None
    time_transcoded: float | None = None
    time_uploaded: float | None = None
    time_ended: float | None = None
    time_retried: float | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    priority: str = NORMAL
    deadline: float | None = None
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker; times are seconds since the epoch.

    Attributes:
        worker_id: its id.
        name: its name.
        flavor: name of its flavor.
        node: where it runs, as far as is known.
        cpus: vCPUs.
        memory: RAM, GiB.
        time_created: when it was ordered.
        state: see `WorkerStatus`.
        time_registered: when it came.
        time_destroyed: when nothing was left of it.
        reason: why it went, if nobody wanted that.
        secret_hash: of the id that only the worker and the controller know (see
            `deploy.controller.identities`); none for a worker that was given its public id.
    """

    worker_id: str
    name: str
    flavor: str
    node: str
    cpus: int
    memory: float
    time_created: float
    state: WorkerStatus = WorkerStatus.BOOTING
    time_registered: float | None = None
    time_destroyed: float | None = None
    reason: str | None = None
    secret_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list of ids, and whether there is more of the list after it."""

    ids: list[str]
    has_more: bool


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """An attempt that came to nothing.

    Attributes:
        request_id: the job.
        worker_id: who had it.
        task_id: the attempt.
        fault: whose fault it was taken for, see `deploy.tasks.Fault`.
        counted: it is one of those that ``--max-attempts`` allows.
        reason: why.
        time: when, seconds since the epoch.
    """

    request_id: str
    worker_id: str
    task_id: str
    fault: str
    counted: bool
    reason: str
    time: float


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """A label of a job."""

    request_id: str
    name: str
    value: str


class WebhookState(StrEnum):
    """Life of a webhook."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """What a client's server is to be told.

    Attributes:
        event_id: its id.
        request_id: the job that has ended.
        url: of the server.
        body: what it is told, JSON.
        next_at: when to try (again), seconds since the epoch.
        tries: so far.
        state: see `WebhookState`.
        error: what the latest try came to, if it failed.
    """

    event_id: str
    request_id: str
    url: str
    body: str
    next_at: float
    tries: int = 0
    state: WebhookState = WebhookState.WAITING
    error: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """New values of some of a webhook's columns."""

    event_id: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobChange:
    """New values of some of a job's columns."""

    request_id: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerChange:
    """New values of some of a worker's columns."""

    worker_id: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MetaChange:
    """A new value of a setting that outlives the controller."""

    key: str
    value: str


Change = (
    JobRecord
    | WorkerRecord
    | FailureRecord
    | LabelRecord
    | WebhookRecord
    | JobChange
    | WorkerChange
    | WebhookChange
    | MetaChange
)
"""One row to add (a record) or to change."""
