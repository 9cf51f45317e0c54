"""Why a first boot on a node is slow, and what that costs the first jobs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from env.config import Profile
from env.families import Poisson
from training.findings.world import GRACE, Track, World

LOAD = 0.2
FIRST_JOBS = 20
"""Jobs whose delays are followed from the start of a run."""


@dataclass(frozen=True)
class ColdStart:
    """Delays of the first jobs of a run.

    Attributes:
        cold_s: mean delay of the k-th job when no node holds the image, shape (jobs,).
        cached_s: the same when all do.
        seeds: runs that they are means of.
        workers_cold: boots on a node without the image, mean over the runs.
    """

    cold_s: NDArray[np.float64]
    cached_s: NDArray[np.float64]
    seeds: int
    workers_cold: float

    @property
    def extra_s(self) -> NDArray[np.float64]:
        """What the copies add to each job's delay."""
        return self.cold_s - self.cached_s

    @property
    def jobs_hit(self) -> int:
        """First jobs up to the last whose delay grows by more than a second."""
        hit = np.flatnonzero(self.extra_s > 1.0)
        return int(hit[-1]) + 1 if len(hit) else 0


def cold_start(world: World, track: Track) -> ColdStart:
    """Grace-period from an empty data centre, with the image on no node and on all."""
    effort = world.effort
    rate = world.rate(LOAD)
    hours = 3.0 * FIRST_JOBS / rate / 3600.0
    delays: dict[bool, list[NDArray[np.float64]]] = {False: [], True: []}
    for seed in track(range(effort.boot_seeds), "first boots"):
        requests = world.requests(Poisson(rate), seed, hours)[:FIRST_JOBS]
        if len(requests) < FIRST_JOBS:
            continue
        arrivals = np.array([request.arrival_s for request in requests])
        for cached in (False, True):
            run = world.simulate(requests, GRACE, seed=seed, image_cached=cached)
            delays[cached].append(np.array(run.ended_s) - arrivals)
    return ColdStart(
        np.mean(delays[False], axis=0),
        np.mean(delays[True], axis=0),
        len(delays[False]),
        float(len(world.profile.cluster.nodes)),
    )


def evidence(profile: Profile, source: str, key: str) -> str:
    """What the profile's file notes beside a figure, for instance ``fitted (n = 1)``.

    Args:
        profile: to tell a shipped one from a file.
        source: shipped name or path, as the user gave it.
        key: of the line.
    """
    path = Path(source)
    shipped = resources.files("env") / "profiles" / f"{profile.name}.toml"
    text = (
        path.read_text(encoding="utf-8")
        if path.suffix == ".toml"
        else shipped.read_text(encoding="utf-8")
    )
    found = re.search(rf"^{re.escape(key)}\s*=[^#\n]*#\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else "no note in the profile"
