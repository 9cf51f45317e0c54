"""Runs of the simulator as the tables of measured runs, so that the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from env.catalog import Catalog, Movie
from env.config import Profile
from env.jobs import SPEEDS, Request
from env.simulator import Simulator
from tests.training.synthetic_runs import VIDEOS
from training.validation import simulated_tables as truth

CATALOG = Catalog("videos", [Movie(*video) for video in VIDEOS])


def draw_requests(seed: int, count: int = 60, gap_s: float = 15.0) -> list[Request]:
    """Requests for random videos at random times, the first at 0."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(gap_s, count))
    return [
        Request(
            float(arrival - arrivals[0]),
            VIDEOS[rng.integers(len(VIDEOS))][0],
            int(rng.integers(500, 8001)),
            SPEEDS[rng.integers(2)],
        )
        for arrival in arrivals
    ]


def simulated_tables(
    profile: Profile,
    requests: Sequence[Request],
    *,
    seed: int = 0,
    policy: str = truth.POLICY,
    run: str = "run01",
    catalog: Catalog = CATALOG,
    world: Callable[..., Simulator] = Simulator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """See `training.validation.simulated_tables`."""
    return truth.simulated_tables(
        profile, requests, catalog, seed=seed, policy=policy, run=run, world=world
    )
