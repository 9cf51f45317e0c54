"""How many requests an hour can be served: measured under a backlog, and from theory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from env.cluster import Cluster
from env.families import Poisson
from env.jobs import Request
from env.simulator import Simulator
from training.findings.world import GRACE, MINIMIZE, Spread, Track, World

WARM_UP, COOL_DOWN = 0.2, 0.8
"""The stretch of a backlog's completions that is measured: all workers are up and busy."""

_SAMPLE = 4000
"""Requests that the mean times of the theory are taken over."""

PUSHES = (0.8, 0.9, 1.0, 1.1)
"""Arrival rates of the check, as shares of the capacity."""

_CHECK_HOURS = 3.0


@dataclass(frozen=True)
class Capacity:
    """Requests an hour with so many workers of a flavor that never idle.

    Attributes:
        flavor: name.
        workers: how many.
        measured: under a backlog.
        theory: see `theory_per_hour`.
        alone: the same theory without contention.
    """

    flavor: str
    workers: int
    measured: Spread
    theory: float
    alone: float


@dataclass(frozen=True)
class Push:
    """What becomes of the queue at an arrival rate.

    Attributes:
        policy: its spec.
        flavor: of the workers; "its own choice" for the frozen policy.
        share: arrival rate relative to the capacity.
        per_hour: arrivals an hour.
        waiting_half, waiting_end: jobs waiting after half of the run, at its end.
    """

    policy: str
    flavor: str
    share: float
    per_hour: float
    waiting_half: Spread
    waiting_end: Spread


def backlog_throughput(simulator: Simulator) -> float:
    """Completions an hour over the middle of a run that began with all its jobs waiting."""
    ends = np.sort(np.array(simulator.ended_s))
    first, last = int(WARM_UP * len(ends)), int(COOL_DOWN * len(ends))
    return float((last - first) / (ends[last] - ends[first]) * 3600.0)


def theory_per_hour(world: World, flavor: str, workers: int, *, contention: bool = True) -> float:
    """Capacity from the profile: on each node its workers over the mean time of a job.

    Workers are spread evenly over the nodes. A job takes download, transcode times the node's
    slow-down, and upload; the slow-down is that at the mean load, which is this job's vCPUs
    while it transcodes and for the others the share of their time that they transcode.
    """
    index = world.flavors.index(flavor)
    requests = world.requests(Poisson(1.0), 0, _SAMPLE / 3600.0)
    alone = Simulator(world.profile, requests, world.catalog).alone()
    download, upload = alone.download_s.mean(), alone.upload_s.mean()
    work, load = alone.transcode_s[:, index], alone.load[:, index]
    nodes = world.profile.cluster.nodes
    law = world.profile.timing.contention
    total = 0.0
    for position, node in enumerate(nodes):
        count = workers // len(nodes) + (position < workers % len(nodes))
        if not count:
            continue
        slowed = work
        if contention:
            for _ in range(20):  # the share of the time that is transcoding depends on itself
                busy = slowed.mean() / (download + slowed.mean() + upload)
                typical = float((load * slowed).sum() / slowed.sum()) * busy
                at = load + (count - 1) * typical
                factor = np.exp(
                    law.slope_per_core * np.maximum(0.0, at - law.knee_share * node.cores)
                ) * np.maximum(1.0, at / node.cores)
                slowed = work * factor
        total += count / float(download + slowed.mean() + upload)
    return 3600.0 * total


def worker_counts(world: World, flavor: str) -> list[int]:
    """One worker, as many as fit, and some between; one on each node at a time."""
    most = Cluster(world.profile).capacity_of(world.flavors.index(flavor))
    nodes = len(world.profile.cluster.nodes)
    return sorted({1, min(2, most), *range(nodes, most + 1, nodes), most})


def capacities(world: World, track: Track) -> list[Capacity]:
    """Every flavor with several limits of workers."""
    cases = [(flavor, n) for flavor in world.flavors for n in worker_counts(world, flavor)]
    rows = []
    for flavor, workers in track(cases, "capacity"):
        spec = f"{GRACE}:flavor={flavor},max_workers={workers}"
        measured = Spread.of(
            backlog_throughput(world.simulate(_backlog(world, workers, seed), spec, seed=seed))
            for seed in range(world.effort.map_seeds)
        )
        rows.append(
            Capacity(
                flavor,
                workers,
                measured,
                theory_per_hour(world, flavor, workers),
                theory_per_hour(world, flavor, workers, contention=False),
            )
        )
    return rows


def full(rows: Sequence[Capacity]) -> dict[str, Capacity]:
    """The capacity of each flavor with as many workers as fit."""
    return {row.flavor: row for row in rows}


def pushes(world: World, rows: Sequence[Capacity], track: Track) -> list[Push]:
    """Whether the queue stays bounded below the capacity and grows above it."""
    most = full(rows)
    best = max(most.values(), key=lambda row: row.measured.mean)
    cases = [
        (policy, row.flavor, row.measured.mean)
        for row in most.values()
        for policy in (f"{MINIMIZE}:flavor={row.flavor}", f"{GRACE}:flavor={row.flavor}")
    ]
    cases.append((world.frozen, "its own choice", best.measured.mean))
    found = []
    for (policy, flavor, per_hour), share in track(
        [(case, share) for case in cases for share in PUSHES], "pushed to the limit"
    ):
        found.append(_push(world, policy, flavor, per_hour, share))
    return found


def check_hours(world: World) -> float:
    """Length of the runs of `pushes`, hours."""
    return min(_CHECK_HOURS, 2 * world.effort.hours)


def _push(world: World, policy: str, flavor: str, per_hour: float, share: float) -> Push:
    hours = check_hours(world)
    half: list[float] = []
    end: list[float] = []
    for seed in range(min(2, world.effort.map_seeds)):
        requests = world.requests(Poisson(share * per_hour / 3600.0), seed, hours)
        for waiting, until in ((half, 1800.0 * hours), (end, 3600.0 * hours)):
            run = world.simulate(requests, policy, seed=seed, limit_s=until)
            waiting.append(float(run.cluster.waiting))
    return Push(policy, flavor, share, share * per_hour, Spread.of(half), Spread.of(end))


def _backlog(world: World, workers: int, seed: int) -> list[Request]:
    """Requests that are all there at the start."""
    wanted = world.effort.backlog * workers
    requests = world.requests(Poisson(1.0), seed, 2 * wanted / 3600.0)[:wanted]
    return [replace(request, arrival_s=0.0) for request in requests]
