"""A first guess at when each job ends: the present played forward, without chance.

The workers that are there, booting ones included, serve the queue in its order; each job takes what
the timing model expects of it, slowed as the nodes are crowded now. Later arrivals, later spawns
and ends, and chance are left out: `deploy.expected.interval` puts bounds around the guess that make
up for them.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from heapq import heapify, heapreplace
from itertools import islice
from typing import Final

from env.cluster import Cluster
from env.worker import TaskPhase, Worker, WorkerState

MOST_WAITING: Final = 2_000
"""Of jobs further back in the queue nothing is said."""
LEAST_SHARE: Final = 0.1
"""A step that has taken longer than expected still takes this share of the whole, at least."""


class Group(StrEnum):
    """Jobs whose guesses are off in the same way."""

    DOWNLOADING = "downloading"
    TRANSCODING = "transcoding"
    UPLOADING = "uploading"
    NEXT = "next"
    """It waits, and a worker that is there takes it as the next one."""
    BEHIND = "behind"
    """It waits behind others that wait."""
    UNSERVED = "unserved"
    """It waits, and there is no worker yet."""


_GROUPS: Final = {
    TaskPhase.DOWNLOADING: Group.DOWNLOADING,
    TaskPhase.TRANSCODING: Group.TRANSCODING,
    TaskPhase.UPLOADING: Group.UPLOADING,
}


@dataclass(frozen=True, slots=True)
class Guess:
    """How long a job takes from now on, seconds, and in which way that is off."""

    group: Group
    remaining_s: float


def forecast(cluster: Cluster) -> dict[Hashable, Guess]:
    """A guess for each job in process, and for the first ones of the queue; not for held ones."""
    now, slowdown = cluster.now, _slowdown(cluster)
    guesses: dict[Hashable, Guess] = {}
    servers: list[tuple[float, int, int, bool]] = []  # free at, order, flavor, whether for a first
    for order, worker in enumerate(cluster.workers.values()):
        free_s = _free_after(cluster, worker, slowdown)
        if worker.job is not None:
            guesses[worker.job.job_id] = Guess(_GROUPS[worker.phase], free_s)
        if worker.state is not WorkerState.DRAINING and not worker.retiring:
            # Of workers that idle the largest is taken, as in dispatch.
            servers.append((now + free_s, -worker.flavor * 1_000_000 + order, worker.flavor, True))
    served = bool(servers)
    if not served:
        servers.append((now + cluster.boot_s, 0, 0, True))
    heapify(servers)
    for job in islice(cluster.in_turn(), MOST_WAITING):
        free_at, order, flavor, first = servers[0]
        end = free_at + job.service_s[flavor] * slowdown
        group = Group.UNSERVED if not served else Group.NEXT if first else Group.BEHIND
        guesses[job.job_id] = Guess(group, end - now)
        heapreplace(servers, (end, order, flavor, False))
    return guesses


def _free_after(cluster: Cluster, worker: Worker, slowdown: float) -> float:
    """How long until a worker can take another job, seconds."""
    now = cluster.now
    if worker.state is WorkerState.BOOTING:
        return max(worker.spawned_at + cluster.boot_s - now, LEAST_SHARE * cluster.boot_s)
    if worker.job is None:
        return 0.0
    service = worker.job.service_s[worker.flavor]
    assigned = worker.expected_end - service
    return max(assigned + service * slowdown - now, LEAST_SHARE * service)


def _slowdown(cluster: Cluster) -> float:
    """Of transcodes, if the busy workers are spread evenly over the nodes."""
    load = sum(n * cores for n, cores in zip(cluster.busy, cluster.vcpus, strict=True))
    n = len(cluster.nodes)
    return cluster.profile.timing.contention.slowdown(load / n, cluster.cores / n)
