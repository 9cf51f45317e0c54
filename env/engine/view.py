"""What may be read of a data centre: functions with the names of `Cluster`, for all who decide."""

from __future__ import annotations

import sys
from math import inf, nan
from typing import Final

import numpy as np

from env.cluster import LASTING_RUSH_S
from env.engine.compiling import compiled
from env.engine.jobs import job_float, job_service
from env.engine.layout import (
    ARRIVES_AT,
    BIRTH,
    BOOTING,
    BUSY,
    BUSY_AREA,
    BUSY_CPU,
    BUSY_SINCE,
    BUSY_UNTIL,
    COST,
    CPU,
    CPU_AREA,
    CPU_SINCE,
    CPU_WEIGHT,
    ENDS,
    ENDS_I,
    EXPECTED_END,
    FITS,
    FLAVOR,
    FLAVOR_EF,
    FLAVOR_F,
    FLAVORS_EF,
    FLAVORS_F,
    IDLE,
    IDLE_FIRST,
    IN_SERVICE,
    JOBS,
    JOBS_AREA,
    JOBS_SINCE,
    KEY_HIGH,
    KEY_LOW,
    MAX_WORKERS,
    MEAN_SERVICE,
    N_BUSY,
    N_FLAVORS,
    N_RETIRING,
    N_WORKERS,
    NOW,
    QUEUED,
    RAM,
    RAM_AREA,
    RAM_SINCE,
    RAM_WEIGHT,
    WAITING,
    Centre,
)
from env.engine.waiting import head_job, oldest_waiting
from env.engine.workers import flavor_at, worker_at, worker_float
from env.node import MIB_PER_GIB, MILLI

__all__ = ["head_job", "oldest_waiting"]

_COMPENSATED: Final = sys.version_info >= (3, 12)
"""Whether Python's sum of floats makes up for rounding."""


@compiled
def service(s: Centre, job: int, flavor: int) -> float:
    """A job's expected service on a flavor, seconds."""
    return job_service(s, job, flavor)


@compiled
def arrival(s: Centre, job: int) -> float:
    """When a job arrived, seconds."""
    return job_float(s, job, ARRIVES_AT)


@compiled
def jobs_in_system(s: Centre) -> int:
    """Twin of `Cluster.jobs_in_system`: N(t)."""
    jobs: int = s.i[WAITING] + s.i[IN_SERVICE]
    return jobs


@compiled
def fits(s: Centre, flavor: int) -> bool:
    """Whether one more worker of the flavor fits now."""
    return s.i[flavor_at(flavor) + FITS] != 0


@compiled
def mean_service_s(s: Centre, flavor: int) -> float:
    """Running mean of the expected service, seconds."""
    mean: float = s.f[FLAVORS_F + flavor * FLAVOR_F + MEAN_SERVICE]
    return mean


@compiled
def queued_service_s(s: Centre, flavor: int) -> float:
    """Expected service seconds of the queue."""
    queued: float = s.f[FLAVORS_F + flavor * FLAVOR_F + QUEUED]
    return queued


@compiled
def flavor_cost(s: Centre, flavor: int) -> float:
    """What one worker of the flavor adds to R, equivalent cores."""
    cost: float = s.ef[FLAVORS_EF + flavor * FLAVOR_EF + COST]
    return cost


@compiled
def reserved_vcpus(s: Centre) -> float:
    """Twin of `Cluster.reserved_vcpus`."""
    vcpus: float = s.f[CPU] / MILLI
    return vcpus


@compiled
def reserved_ram_gib(s: Centre) -> float:
    """Twin of `Cluster.reserved_ram_gib`."""
    ram: float = s.f[RAM] / MIB_PER_GIB
    return ram


@compiled
def reserved_cores(s: Centre) -> float:
    """Twin of `Cluster.reserved_cores`: R(t)."""
    cores: float = s.ef[CPU_WEIGHT] * s.f[CPU] + s.ef[RAM_WEIGHT] * s.f[RAM]
    return cores


@compiled
def jobs_integral(s: Centre) -> float:
    """Twin of `Cluster.jobs_integral`."""
    area: float = s.f[JOBS_AREA] + s.f[JOBS] * (s.f[NOW] - s.f[JOBS_SINCE])
    return area


@compiled
def reserved_cores_integral(s: Centre) -> float:
    """Twin of `Cluster.reserved_cores_integral`."""
    cpu = s.f[CPU_AREA] + s.f[CPU] * (s.f[NOW] - s.f[CPU_SINCE])
    ram = s.f[RAM_AREA] + s.f[RAM] * (s.f[NOW] - s.f[RAM_SINCE])
    area: float = s.ef[CPU_WEIGHT] * cpu + s.ef[RAM_WEIGHT] * ram
    return area


@compiled
def busy_vcpu_integral(s: Centre) -> float:
    """Twin of `Cluster.busy_vcpu_integral`."""
    area: float = s.f[BUSY_AREA] + s.f[BUSY_CPU] * (s.f[NOW] - s.f[BUSY_SINCE])
    return area / MILLI


@compiled
def speed(s: Centre) -> float:
    """Twin of `Cluster.speed`."""
    total = 0.0
    lost = 0.0
    for flavor in range(s.ei[N_FLAVORS]):
        at = flavor_at(flavor)
        own = mean_service_s(s, flavor)
        relative = mean_service_s(s, 0) / own if own > 0 else 1.0
        term = (s.i[at + BOOTING] + s.i[at + IDLE] + s.i[at + BUSY]) * relative
        if _COMPENSATED:
            reached = total + term
            if abs(total) >= abs(term):
                lost += (total - reached) + term
            else:
                lost += (term - reached) + total
            total = reached
        else:
            total += term
    return total + lost


@compiled
def drain_s(s: Centre) -> float:
    """Twin of `Cluster.drain_s`."""
    return max(0.0, queued_service_s(s, 0)) / max(1.0, speed(s))


@compiled
def can_retire(s: Centre, flavor: int) -> bool:
    """Twin of `Cluster.can_retire`."""
    return (
        flavor > 0
        and s.i[WAITING] > 0
        and s.i[flavor_at(flavor) + BUSY] > 0
        and s.i[N_RETIRING] == 0
        and not fits(s, 0)
        and s.i[N_WORKERS] < s.ei[MAX_WORKERS]
        and drain_s(s) >= LASTING_RUSH_S
    )


@compiled
def can_kill(s: Centre, flavor: int) -> bool:
    """Twin of `Cluster.can_kill`."""
    return s.i[flavor_at(flavor) + IDLE] > 0 or can_retire(s, flavor)


@compiled
def longest_idle(s: Centre, flavor: int) -> int:
    """The flavor's longest-idle worker, -1 if none idles."""
    worker: int = s.i[flavor_at(flavor) + IDLE_FIRST]
    return worker


@compiled
def first_to_end(s: Centre, flavor: int) -> int:
    """Twin of `Cluster.first_to_end`, -1 for none; O(busy workers)."""
    best, least = -1, inf
    for place in range(s.i[ENDS]):
        worker = s.i[s.ei[ENDS_I] + place]
        if s.i[worker_at(s, worker) + FLAVOR] != flavor:
            continue
        end = s.f[worker_float(s, worker, EXPECTED_END)]
        if best < 0 or end < least or (end == least and birth(s, worker) < birth(s, best)):
            best, least = worker, end
    return best


@compiled
def birth(s: Centre, worker: int) -> int:
    """Number of the worker's spawn."""
    number: int = s.i[worker_at(s, worker) + BIRTH]
    return number


@compiled
def next_expected_end(s: Centre) -> float:
    """Twin of `Cluster.next_expected_end`, not a number if nothing is in process."""
    if s.i[ENDS] == 0:
        return nan
    end: float = s.f[worker_float(s, s.i[s.ei[ENDS_I]], EXPECTED_END)]
    return end


@compiled
def mean_remaining_s(s: Centre) -> float:
    """Twin of `Cluster.mean_remaining_s`."""
    if s.i[N_BUSY] == 0:
        return 0.0
    remaining: float = s.f[BUSY_UNTIL] / s.i[N_BUSY] - s.f[NOW]
    return remaining


@compiled
def noise_key_of(s: Centre) -> int:
    """The key of the data centre's noise (`env.noise`)."""
    key: int = (np.int64(s.i[KEY_HIGH]) << 32) | (np.int64(s.i[KEY_LOW]) & 0xFFFFFFFF)  # type: ignore[assignment]
    return key
