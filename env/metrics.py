"""The figures that the two bosses ask for, of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isnan, nan
from typing import Any, Protocol

import numpy as np

from env.cost import cost_so_far
from env.jobs import Request
from env.level import Level
from env.node import MIB_PER_GIB, MILLI, Node


@dataclass(frozen=True, slots=True)
class ResourceMetrics:
    """One resource of one place over time, as fractions of what is there.

    Reserved figures are fractions of the schedulable capacity (after over-commit), used
    ones of the physical capacity; p95 is the level not exceeded for 95 % of the time.
    """

    reserved_mean: float
    reserved_p95: float
    used_mean: float
    used_p95: float


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """CPU and RAM of one compute node."""

    node: str
    cpu: ResourceMetrics
    ram: ResourceMetrics


@dataclass(frozen=True, slots=True)
class EpisodeMetrics:
    """Figures of one run, from its start to the end of its last job.

    Attributes:
        jobs: requests of the scenario.
        completed: of these, delivered.
        failed: of these, ended in error.
        unfinished: of these, neither (the run was cut off).
        delay_mean_s, delay_p95_s: submission to uploaded result, over completed jobs, seconds.
        wait_mean_s: submission to assignment, over completed jobs, seconds.
        cpu_..., ram_...: see `ResourceMetrics`, of the whole data centre.
        jobs_per_hour: completed jobs over the makespan.
        boots: workers spawned. spawn_failures, workers_lost, requeued: what went wrong.
        invalid_actions: orders that were ignored because they could not be carried out.
        makespan_s: the run's length, seconds.
        vcpu_seconds, gib_seconds: integral of what was reserved.
        job_seconds, core_seconds: the cost vector (see `env.cost`).
        preference: w.
        cost, cost_per_job: at w; per job of the scenario.
        nodes: each compute node.
    """

    jobs: int
    completed: int
    failed: int
    unfinished: int
    delay_mean_s: float
    delay_p95_s: float
    wait_mean_s: float
    cpu_reserved_mean: float
    cpu_reserved_p95: float
    cpu_used_mean: float
    cpu_used_p95: float
    ram_reserved_mean: float
    ram_reserved_p95: float
    ram_used_mean: float
    ram_used_p95: float
    jobs_per_hour: float
    boots: int
    spawn_failures: int
    workers_lost: int
    requeued: int
    invalid_actions: int
    makespan_s: float
    vcpu_seconds: float
    gib_seconds: float
    job_seconds: float
    core_seconds: float
    preference: float
    cost: float
    cost_per_job: float
    nodes: tuple[NodeMetrics, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON (a figure that does not exist is None)."""
        data = asdict(self)
        return {
            key: None if isinstance(value, float) and isnan(value) else value
            for key, value in data.items()
        }


class MeasuredCluster(Protocol):
    """What the metrics read of a data centre, a `Cluster` or another that keeps its books."""

    @property
    def now(self) -> float: ...
    @property
    def preference(self) -> float: ...
    @property
    def nodes(self) -> Sequence[Node]: ...
    @property
    def cores(self) -> float: ...
    @property
    def capacity_vcpus(self) -> float: ...
    @property
    def capacity_ram_gib(self) -> float: ...
    @property
    def reserved_cpu(self) -> Level: ...
    @property
    def reserved_ram(self) -> Level: ...
    @property
    def used_cpu(self) -> Level: ...
    @property
    def used_ram(self) -> Level: ...
    @property
    def completed(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def boots(self) -> int: ...
    @property
    def spawn_failures(self) -> int: ...
    @property
    def workers_lost(self) -> int: ...
    @property
    def requeued(self) -> int: ...
    def jobs_integral(self) -> float:
        """See `Cluster.jobs_integral`."""

    def reserved_cores_integral(self) -> float:
        """See `Cluster.reserved_cores_integral`."""

    def reserved_vcpu_integral(self) -> float:
        """See `Cluster.reserved_vcpu_integral`."""


class MeasuredRun(Protocol):
    """What the metrics read of a run, a `Simulator` or another that plays the same."""

    @property
    def cluster(self) -> MeasuredCluster: ...
    @property
    def requests(self) -> Sequence[Request]: ...
    @property
    def assigned_s(self) -> Sequence[float]: ...
    @property
    def ended_s(self) -> Sequence[float]: ...
    @property
    def failed(self) -> Sequence[int]: ...
    @property
    def invalid_actions(self) -> int: ...


def _resource(
    now: float, reserved: Level, used: Level, schedulable: float, physical: float
) -> ResourceMetrics:
    return ResourceMetrics(
        reserved.mean(now) / schedulable,
        reserved.percentile(now, 0.95) / schedulable,
        used.mean(now) / physical,
        used.percentile(now, 0.95) / physical,
    )


def job_delays(simulator: MeasuredRun) -> list[float]:
    """Delay of each completed job (submission to uploaded result), seconds."""
    return _since_arrival(simulator, simulator.ended_s)


def _since_arrival(simulator: MeasuredRun, step_s: Sequence[float]) -> list[float]:
    """Seconds from each completed job's arrival to a step, given when each job reached it."""
    failed = set(simulator.failed)
    return [
        step - request.arrival_s
        for index, (step, end, request) in enumerate(
            zip(step_s, simulator.ended_s, simulator.requests, strict=True)
        )
        if not isnan(end) and index not in failed
    ]


def measure(simulator: MeasuredRun) -> EpisodeMetrics:
    """The figures of a run so far (usually: that has ended)."""
    cluster = simulator.cluster
    now = cluster.now
    delays = job_delays(simulator)
    waits = _since_arrival(simulator, simulator.assigned_s)
    nodes = []
    for node in cluster.nodes:
        cpu = _resource(
            now,
            node.reserved_cpu,
            node.used_cpu,
            node.capacity_millicores,
            node.config.cores * MILLI,
        )
        ram = _resource(
            now,
            node.reserved_ram,
            node.used_ram,
            node.capacity_mib,
            node.config.ram_gib * MIB_PER_GIB,
        )
        nodes.append(NodeMetrics(node.config.name, cpu, ram))
    cpu = _resource(
        now,
        cluster.reserved_cpu,
        cluster.used_cpu,
        cluster.capacity_vcpus * MILLI,
        cluster.cores * MILLI,
    )
    ram = _resource(
        now,
        cluster.reserved_ram,
        cluster.used_ram,
        cluster.capacity_ram_gib * MIB_PER_GIB,
        sum(node.config.ram_gib for node in cluster.nodes) * MIB_PER_GIB,
    )
    vector = cost_so_far(cluster)
    cost = vector.weighed(cluster.preference)
    jobs = len(simulator.requests)
    return EpisodeMetrics(
        jobs=jobs,
        completed=cluster.completed,
        failed=cluster.failed,
        unfinished=jobs - cluster.completed - cluster.failed,
        delay_mean_s=float(np.mean(delays)) if delays else nan,
        delay_p95_s=float(np.percentile(delays, 95)) if delays else nan,
        wait_mean_s=float(np.mean(waits)) if waits else nan,
        cpu_reserved_mean=cpu.reserved_mean,
        cpu_reserved_p95=cpu.reserved_p95,
        cpu_used_mean=cpu.used_mean,
        cpu_used_p95=cpu.used_p95,
        ram_reserved_mean=ram.reserved_mean,
        ram_reserved_p95=ram.reserved_p95,
        ram_used_mean=ram.used_mean,
        ram_used_p95=ram.used_p95,
        jobs_per_hour=cluster.completed * 3600.0 / now if now > 0 else 0.0,
        boots=cluster.boots,
        spawn_failures=cluster.spawn_failures,
        workers_lost=cluster.workers_lost,
        requeued=cluster.requeued,
        invalid_actions=simulator.invalid_actions,
        makespan_s=now,
        vcpu_seconds=cluster.reserved_vcpu_integral(),
        gib_seconds=cluster.reserved_ram.integral(now) / MIB_PER_GIB,
        job_seconds=vector.job_seconds,
        core_seconds=vector.core_seconds,
        preference=cluster.preference,
        cost=cost,
        cost_per_job=cost / jobs if jobs else nan,
        nodes=tuple(nodes),
    )
