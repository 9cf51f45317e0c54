"""Jobs and tasks as the scheduler is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from env.jobs import PLAIN, Job, Request, Urgency


class Progress(IntEnum):
    """How far a task has come, in order."""

    ASSIGNED = 0
    DOWNLOADED = 1
    TRANSCODED = 2
    UPLOADED = 3


class TaskError(IntEnum):
    """Why a worker gives a task up."""

    TRANSCODING_FAILED = 1
    STORAGE_ERROR = 2


class Fault(StrEnum):
    """Whose a failure is."""

    UNKNOWN = "unknown"
    """A worker of the existing system, which does not say."""
    JOB = "job"
    """Unreadable, no picture, refused by the encoder."""
    WORKER = "worker"
    """No space, a broken ffmpeg, its way to the storage."""
    STORAGE = "storage"
    """The storage answers nobody."""
    NONE = "none"
    """The task is handed back by a worker in good health."""


@dataclass(frozen=True, slots=True)
class PastFailure:
    """An attempt of an unfinished job that came to nothing.

    Attributes:
        worker_id: who had it.
        fault: whose fault it was taken for.
        counted: it is one of the attempts that ``--max-attempts`` allows.
    """

    worker_id: str
    fault: Fault
    counted: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the profile expects of a job, one figure for each flavor.

    Attributes:
        service_s: sojourn on a worker, seconds.
        used_cores: cores that the transcode keeps busy.
        used_ram_gib: RAM of the worker while it transcodes, GiB.
        size_mb: of the source file, 10^6 bytes.
    """

    service_s: tuple[float, ...]
    used_cores: tuple[float, ...]
    used_ram_gib: tuple[float, ...]
    size_mb: float = 0.0

    def job(
        self,
        job_id: str,
        request: Request,
        arrival_s: float = 0.0,
        attempts: int = 0,
        urgency: Urgency = PLAIN,
    ) -> Job:
        """The job that this is expected of, for the cluster."""
        return Job(job_id, request, self.service_s, arrival_s, attempts, self.size_mb, urgency)


@dataclass(frozen=True, slots=True)
class RestoredJob:
    """An unfinished job of an earlier life.

    Attributes:
        job_id: its id.
        request: what was asked; its `arrival_s` is in this life's time, below 0.
        estimate: what the profile expects of it.
        attempts: how many workers have been given it, the present one included.
        failures: what has become of them, as far as it was their or the job's fault.
        urgency: see `env.jobs.Urgency`.
    """

    job_id: str
    request: Request
    estimate: Estimate
    attempts: int
    failures: tuple[PastFailure, ...] = ()
    urgency: Urgency = PLAIN


@dataclass(frozen=True, slots=True)
class RestoredTask:
    """What a worker of an earlier life was doing."""

    job: RestoredJob
    task_id: str
    progress: Progress
    assigned_at: float
    started: bool


@dataclass(frozen=True, slots=True)
class RestoredWorker:
    """A worker of an earlier life.

    Attributes:
        worker_id: its id.
        name: its name.
        flavor: name of its flavor, one that is known.
        node: where it was; one that is not known counts as the first.
        spawned_at: when it was ordered, seconds, below 0.
        registered: whether it had come.
        draining: whether it was ordered to end.
        task: what it was doing, if it was busy.
    """

    worker_id: str
    name: str
    flavor: str
    node: str | None
    spawned_at: float
    registered: bool
    draining: bool = False
    task: RestoredTask | None = None
