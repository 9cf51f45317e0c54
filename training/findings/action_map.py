"""What the frozen policy orders, over grids of states that a real cluster was brought into."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from env.actions import ActionKind, action_index
from env.cluster import Cluster
from env.families import Poisson
from env.jobs import Job, Request
from env.timing import TimingModel
from env.worker import WorkerState
from training.findings.visits import Visits
from training.findings.world import Track, World

WAITING = (1, 2, 3, 4, 6, 8, 12, 16)
BUSY = (0, 1, 2, 4, 6, 8)
LOADS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7)
IDLE_AGES_S = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
QUEUE_LOAD = 0.3
"""Offered load of the history before the queue map's moment."""

_HISTORY_S = 1800.0


@dataclass(frozen=True)
class Situation:
    """A state of the cluster.

    Attributes:
        preference: w.
        flavor: index of the flavor of all workers.
        load: offered load of the even arrivals before.
        waiting, busy: jobs in the queue, workers at work.
        idle_s: how long the one idle worker has idled, seconds; none if there is none.
    """

    preference: float
    flavor: int
    load: float
    waiting: int
    busy: int
    idle_s: float | None = None


@dataclass(frozen=True)
class ActionMap:
    """First order and number of orders in each cell.

    Attributes:
        preference: w.
        flavor: of the workers that are there, and why it was taken: the policy's usual one.
        rows, columns: what the axes count.
        first: index of the first order, shape (rows, columns); -1 where the state does not fit.
        orders: how many were given before keep.
    """

    preference: float
    flavor: str
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    first: NDArray[np.intp]
    orders: NDArray[np.intp]


def bring_about(world: World, at: Situation, pool: Sequence[Request]) -> Cluster | None:
    """A cluster in this state, by the events that lead there; none if it does not fit.

    Half an hour of requests comes at an even pace and each is served; then come, at the same
    pace, those that are in process at the end, and those that wait. The requests are of the usual
    kind (`pool`), so that the expected work of queue and history is typical. All nodes hold the
    image, as they do after the first minutes of a controller's life.
    """
    profile = replace(world.profile, image_cached=True)
    timing = TimingModel(profile)
    cluster = Cluster(profile, preference=at.preference, boot_s=timing.boot_s)
    if at.busy + (at.idle_s is not None) > cluster.capacity_of(at.flavor):
        return None
    gap = 1.0 / world.rate(at.load)
    history = max(3, round(_HISTORY_S / gap))
    total = history + at.busy + at.waiting
    end = timing.boot_s + max(at.idle_s or 0.0, 0.0) + (total + 1) * gap
    last = end if at.waiting else end - gap / 2
    steps: list[tuple[float, str, int]] = [
        (last - (total - 1 - count) * gap, "arrival", count) for count in range(total)
    ]
    if at.idle_s is not None:
        ready = end - at.idle_s
        steps += [(ready - timing.boot_s, "spawn", 0), (ready, "ready", 0)]
    for number in range(at.busy):
        cluster.worker_spawned(0.0, number, at.flavor)
        cluster.worker_ready(0.0, number)
    server: Hashable = "history"
    if at.busy + (at.idle_s is not None) < cluster.capacity_of(at.flavor):
        cluster.worker_spawned(0.0, server, at.flavor)
        cluster.worker_ready(0.0, server)
    else:
        server = 0  # the cluster is full: one of those that will be busy serves before
    service = timing.describe(pool, world.catalog).service_s.tolist()
    for now, step, count in sorted(steps):
        if step == "spawn":
            cluster.worker_spawned(now, "idle", at.flavor)
        elif step == "ready":
            cluster.worker_ready(now, "idle")
        else:
            number = count % len(pool)
            cluster.job_arrived(now, Job(count, pool[number], tuple(service[number])))
            if count < history + at.busy:
                worker: Hashable = server if count < history else count - history
                _begin(cluster, now, worker)
                if count < history:
                    cluster.transcoding_completed(now, worker)
                    cluster.file_uploaded(now, worker)
    if server == "history":
        cluster.worker_draining(end, server)
        cluster.worker_stopped(end, server)
    cluster.tick(end)
    return cluster


def _begin(cluster: Cluster, now: float, worker: Hashable) -> None:
    head = cluster.head_job
    assert head is not None
    cluster.task_assigned(now, head.job_id, worker)
    cluster.file_downloaded(now, worker)


def typical_busy(world: World, load: float, flavor: int, pool: Sequence[Request]) -> int:
    """Workers that are busy on average at this load, were there always one for each job."""
    service = TimingModel(world.profile).describe(pool, world.catalog).service_s
    busy = round(world.rate(load) * float(service[:, flavor].mean()))
    return min(busy, Cluster(world.profile).capacity_of(flavor) - 1)


def orders_in(world: World, cluster: Cluster) -> list[int]:
    """The policy's orders until it keeps; each is carried out on the cluster."""
    policy = world.policy(world.frozen)
    policy.reset(cluster)
    found: list[int] = []
    while len(found) < len(world.flavors) * 64:
        action = policy.act(cluster)
        if action.kind is ActionKind.KEEP or not cluster.can(action):
            break
        found.append(action_index(action, cluster.n_flavors))
        if action.kind is ActionKind.SPAWN:
            cluster.worker_spawned(cluster.now, f"new {len(found)}", action.flavor)
        else:
            worker = cluster.next_to_end(action.flavor)
            busy = worker.state is WorkerState.BUSY
            end = cluster.worker_retiring if busy else cluster.worker_draining
            end(cluster.now, worker.worker_id)
    return found


def usual_flavor(visits: Visits, preference: float) -> int:
    """Index of the flavor that the policy ordered most often at this preference."""
    spawns = next(habit.spawns for habit in visits.habits if habit.preference == preference)
    return int(np.argmax(spawns))


def action_maps(
    world: World, visits: Visits, track: Track
) -> tuple[list[ActionMap], list[ActionMap]]:
    """Over waiting jobs and busy workers, and over idle age and load; one of each for each w."""
    pool = world.requests(Poisson(1.0), 0, 0.02)
    queue_maps, idle_maps = [], []
    for w in track(world.effort.preferences, "action maps"):
        flavor = usual_flavor(visits, w)
        queue = [[Situation(w, flavor, QUEUE_LOAD, n, k) for n in WAITING] for k in BUSY]
        busy = [typical_busy(world, load, flavor, pool) for load in LOADS]
        idle = [
            [Situation(w, flavor, load, 0, n, age) for load, n in zip(LOADS, busy, strict=True)]
            for age in IDLE_AGES_S
        ]
        queue_maps.append(_map(world, queue, BUSY, WAITING, pool))
        idle_maps.append(_map(world, idle, IDLE_AGES_S, LOADS, pool))
    return queue_maps, idle_maps


def _map(
    world: World,
    cells: Sequence[Sequence[Situation]],
    rows: Sequence[float],
    columns: Sequence[float],
    pool: Sequence[Request],
) -> ActionMap:
    first = np.full((len(rows), len(columns)), -1, dtype=np.intp)
    orders = np.zeros_like(first)
    for r, line in enumerate(cells):
        for c, cell in enumerate(line):
            cluster = bring_about(world, cell, pool)
            if cluster is not None:
                given = orders_in(world, cluster)
                first[r, c] = given[0] if given else 0
                orders[r, c] = len(given)
    flavor = world.flavors[cells[0][0].flavor]
    return ActionMap(cells[0][0].preference, flavor, tuple(rows), tuple(columns), first, orders)
