"""Small worlds with figures that a test chooses: profiles, catalogs, requests, policies.

Unless a test says otherwise nothing scatters, nothing is transferred, a video of d seconds
takes d seconds on one vCPU, a boot takes one second, a stop none, nothing slows anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from env.actions import KEEP, Action, kill, spawn
from env.catalog import Catalog, Movie
from env.cluster import Cluster
from env.config import Profile, profile_from_dict
from env.jobs import Request

NEVER_S = 1e12
"""A tick that no test lives to see."""


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, table by table."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) else value
    return merged


def make_profile(
    *,
    nodes: Sequence[tuple[int, float]] = ((6, 16.0),) * 3,
    flavors: Sequence[tuple[int, float]] = ((1, 2.0), (2, 4.0), (4, 8.0)),
    tick_s: float = NEVER_S,
    image_cached: bool = True,
    cluster: dict[str, Any] | None = None,
    timing: dict[str, Any] | None = None,
    faults: dict[str, Any] | None = None,
) -> Profile:
    """A profile; nodes are (cores, GiB), flavors (vCPUs, GiB), the rest as in a TOML file."""
    exact = {
        "boot": {"median_s": 1.0},
        "transcode": {
            "intercept": 0.0,
            "duration_exponent": 1.0,
            "pixels_exponent": 0.0,
            "fast_factor": 1.0,
        },
        "contention": {"boot_load": 0.0},
    }
    return profile_from_dict(
        {
            "name": "test",
            "tick_s": tick_s,
            "image_cached": image_cached,
            "cluster": {
                "nodes": [
                    {"name": f"node{i}", "cores": cores, "ram_gib": ram}
                    for i, (cores, ram) in enumerate(nodes)
                ],
                "flavors": [
                    {"name": f"flavor{i}", "vcpus": vcpus, "ram_gib": ram}
                    for i, (vcpus, ram) in enumerate(flavors)
                ],
                **(cluster or {}),
            },
            "timing": merge(exact, timing or {}),
            "faults": faults or {},
        },
        "test",
    )


def make_work(
    arrivals_s: Iterable[float], services_s: Iterable[float]
) -> tuple[list[Request], Catalog]:
    """Requests at these times that take these times on one vCPU (one movie for each)."""
    movies = [Movie(f"m{i}", float(service), 1920, 1080) for i, service in enumerate(services_s)]
    requests = [
        Request(float(arrival), movie.name, 1000, "ultrafast")
        for arrival, movie in zip(arrivals_s, movies, strict=True)
    ]
    return requests, Catalog("test", movies)


class KeepAlways:
    """Never does anything; the other policies of the tests change what they need."""

    def reset(self, cluster: Cluster) -> None:
        pass

    def act(self, cluster: Cluster) -> Action:
        return KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        return None


class FixedWorkers(KeepAlways):
    """Keeps as many workers as it is told, always."""

    def __init__(self, n: int, flavor: int = 0) -> None:
        self.n, self.flavor = n, flavor

    def act(self, cluster: Cluster) -> Action:
        wanted = cluster.n_workers < self.n and cluster.can_spawn(self.flavor)
        return spawn(self.flavor) if wanted else KEEP


class OnDemand(KeepAlways):
    """A worker for each waiting job while there is room; an idle one is killed at once."""

    def __init__(self, flavor: int = 0) -> None:
        self.flavor = flavor

    def act(self, cluster: Cluster) -> Action:
        if cluster.waiting > cluster.n_booting and cluster.can_spawn(self.flavor):
            return spawn(self.flavor)
        if cluster.can_kill(self.flavor) and not cluster.waiting:
            return kill(self.flavor)
        return KEEP


class Erratic(KeepAlways):
    """Orders at random, invalid orders included; spawns now and then so that jobs end."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.refused_at: list[float] = []

    def act(self, cluster: Cluster) -> Action:
        flavor = int(self.rng.integers(cluster.n_flavors))
        roll = self.rng.random()
        if roll < 0.6:
            return KEEP
        action = spawn(flavor) if roll < 0.8 else kill(flavor)
        if not cluster.can(action):
            self.refused_at.append(cluster.now)
        return action

    def wake_at(self, cluster: Cluster) -> float | None:
        return cluster.now + self.rng.exponential(20.0) if self.rng.random() < 0.2 else None
