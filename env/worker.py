"""A worker (VM or pod) as the cluster knows it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum

from env.jobs import Job


class WorkerState(IntEnum):
    """Life of a worker, in order."""

    BOOTING = 0
    IDLE = 1
    BUSY = 2
    DRAINING = 3


class TaskPhase(IntEnum):
    """What a busy worker is doing."""

    NONE = 0
    DOWNLOADING = 1
    TRANSCODING = 2
    UPLOADING = 3


@dataclass(slots=True, eq=False)
class Worker:
    """A worker from the order to spawn it until its resources are free again.

    Attributes:
        worker_id: the driver's id.
        flavor: index into the cluster's flavors.
        node: index into the cluster's nodes.
        spawned_at: when the spawn was ordered, seconds.
        state: see `WorkerState`.
        phase: see `TaskPhase`.
        job: the job in process, while busy.
        idle_since: when it last became idle, seconds.
        expected_end: when its job is expected to end, seconds, while busy.
        retiring: busy, and ordered to end after its job.
        used_millicores: what it really uses of the CPU now.
        used_mib: what it really uses of the RAM now.
    """

    worker_id: Hashable
    flavor: int
    node: int
    spawned_at: float
    state: WorkerState = WorkerState.BOOTING
    phase: TaskPhase = TaskPhase.NONE
    job: Job | None = None
    idle_since: float = 0.0
    expected_end: float = 0.0
    retiring: bool = False
    used_millicores: int = 0
    used_mib: int = 0
