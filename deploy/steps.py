"""What the scheduler answers to an event: orders to carry out, and what has happened, in order.

The store, the event log, the metrics, the workers' streams and the cloud each take from these
steps what concerns them; nobody reads it off the cluster's state afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.decision import Decision
from deploy.tasks import Fault
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
    """An attempt came to nothing; the job waits again.

    Attributes:
        job_id: the job.
        worker_id: who had it.
        task_id: the attempt.
        attempts: how many attempts there have been.
        reason: why.
        fault: whose fault it is taken for.
        counted: it is one of those that ``--max-attempts`` allows.
    """

    job_id: str
    worker_id: str
    task_id: str
    attempts: int
    reason: str
    fault: Fault = Fault.NONE
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A job has ended in error; there will be no further attempt. Attributes: see `Requeued`."""

    job_id: str
    worker_id: str
    task_id: str
    attempts: int
    reason: str
    fault: Fault = Fault.NONE


@dataclass(frozen=True, slots=True)
class Held:
    """A waiting job may not be handed out for a while.

    Attributes:
        job_id: the job.
        pause_s: for how long, seconds; none until its input was looked for.
    """

    job_id: str
    pause_s: float | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """A job that was held may be handed out."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A waiting job has ended in error: it cannot be done."""

    job_id: str
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A job has ended because its client wants it no more.

    Attributes:
        job_id: the job.
        worker_id: who had it; empty if it waited.
        task_id: the attempt that is broken off; empty if it waited.
        attempts: how many attempts there have been.
        reason: for people.
        tell: the worker can be told, and goes on with other jobs; otherwise its `Stop` follows.
    """

    job_id: str
    worker_id: str
    task_id: str
    attempts: int
    reason: str
    tell: bool = False


@dataclass(frozen=True, slots=True)
class StorageAway:
    """The object storage answers nobody: no job is handed out."""

    reason: str


@dataclass(frozen=True, slots=True)
class StorageBack:
    """The object storage answers, after so many seconds: jobs are handed out again."""

    away_s: float


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A worker has failed too often in a row: its `Stop` follows.

    Attributes:
        worker_id: the worker.
        failures: how often.
        reason: of the latest.
    """

    worker_id: str
    failures: int
    reason: str


@dataclass(frozen=True, slots=True)
class AllFail:
    """Every worker fails with everything: the fault is one that they share."""

    reason: str


@dataclass(frozen=True, slots=True)
class AllFailOver:
    """A worker has had a success again."""


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
    | Held
    | Released
    | Withdrawn
    | Cancelled
    | StorageAway
    | StorageBack
    | Quarantined
    | AllFail
    | AllFailOver
    | Placed
    | SpawnFailed
    | Lost
    | Gone
    | Decided
)
