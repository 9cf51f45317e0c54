"""What the scheduler answers to an event: orders to carry out, and what has happened, in order.

The store, the event log, the metrics, the workers' streams and the cloud each take from these
steps what concerns them; nobody reads it off the cluster's state afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.decision import Decision
from env.config import FlavorConfig


@dataclass(frozen=True, slots=True)
class Spawn:
    """Order: start a worker. It has its resources reserved.

    Attributes:
        worker_id: chosen by the scheduler.
        name: for people and for the cloud.
        flavor: its size.
        node: where the placement would put it.
    """

    worker_id: str
    name: str
    flavor: FlavorConfig
    node: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Order: end a worker; it holds its resources until it is gone."""

    worker_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Retire:
    """A busy worker will end after its job: its `Stop` follows then. Nothing is to be done yet."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Assign:
    """Order: hand a job to a worker.

    Attributes:
        job_id: the job.
        worker_id: the worker, idle until now.
        task_id: names this attempt.
        attempts: how many attempts this makes.
        waited_s: since the job's arrival, seconds.
    """

    job_id: str
    worker_id: str
    task_id: str
    attempts: int
    waited_s: float


@dataclass(frozen=True, slots=True)
class Registered:
    """A booting worker has come: it is idle."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A worker has the input of its task and transcodes."""

    job_id: str
    worker_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Transcoded:
    """A worker has transcoded and uploads."""

    job_id: str
    worker_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A job is complete, its worker idle; `sojourn_s` is the time since its arrival, seconds."""

    job_id: str
    worker_id: str
    task_id: str
    sojourn_s: float


@dataclass(frozen=True, slots=True)
class Requeued:
    """An attempt came to nothing; the job waits again."""

    job_id: str
    worker_id: str
    task_id: str
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A job has ended in error; there will be no further attempt."""

    job_id: str
    worker_id: str
    task_id: str
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Placed:
    """The cloud told on which node a worker runs."""

    worker_id: str
    node: str


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """An ordered worker never came."""

    worker_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker that had registered vanished or fell silent."""

    worker_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """Nothing is left of a worker: its resources are free."""

    worker_id: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decided:
    """The policy was asked.

    Attributes:
        decision: its answer, with the source.
        carried_out: false if it could not be (that ends the epoch).
        routine: the clock ticked in an empty cluster, and the policy keeps it so.
        cluster_time: the cluster's time, exactly: a replay cannot do with microseconds.
    """

    decision: Decision
    carried_out: bool
    routine: bool = False
    cluster_time: float = 0.0


Step = (
    Spawn
    | Stop
    | Retire
    | Assign
    | Registered
    | Downloaded
    | Transcoded
    | Uploaded
    | Requeued
    | Failed
    | Placed
    | SpawnFailed
    | Lost
    | Gone
    | Decided
)
