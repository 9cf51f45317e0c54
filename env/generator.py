"""The request generator of the existing DaCirco system, and the law of what is asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, SPEEDS, Request

MEAN_GAP_S: Final = 6.0
SIGMA_GAP_S: Final = 2.0
MIN_GAP_S: Final = 0.1

Floats = NDArray[np.float64]


def popularity(catalog: Collection[str]) -> Floats:
    """Probability of each movie, in the catalog's order; shape (movies,).

    The DaCirco law: row X (from 0) of M is asked for with probability proportional
    to X + 1, which is (X+1)/55 for the ten movies ``bbb_0`` to ``bbb_9``.
    """
    weights = np.arange(1, len(catalog) + 1, dtype=np.float64)
    shares: Floats = weights / weights.sum()
    return shares


def dacirco_gaps(
    rng: np.random.Generator,
    n: int,
    *,
    mean_gap_s: float = MEAN_GAP_S,
    sigma_gap_s: float = SIGMA_GAP_S,
) -> Floats:
    """Delays between requests, seconds: Gaussian, cut off below at 0.1 s; shape (n,)."""
    gaps: Floats = np.maximum(rng.normal(mean_gap_s, sigma_gap_s, n), MIN_GAP_S)
    return gaps


def attach_marks(
    rng: np.random.Generator, catalog: Collection[str], arrivals_s: Floats
) -> list[Request]:
    """Requests at the given times: movie, bitrate and speed drawn as DaCirco draws them.

    Args:
        rng: source of chance.
        catalog: the movies' names, drawn by `popularity`; bitrate is uniform over the whole
            numbers 500..8000 kbit/s; the speeds are equally likely.
        arrivals_s: arrival times in ascending order, shape (n,); rounded to milliseconds.
    """
    n = len(arrivals_s)
    movies = list(catalog)
    which = rng.choice(len(movies), n, p=popularity(catalog)).tolist()
    bitrates = rng.integers(MIN_BITRATE_KBPS, MAX_BITRATE_KBPS, n, endpoint=True).tolist()
    speeds = rng.integers(len(SPEEDS), size=n).tolist()
    return [
        Request(arrival_s, movies[movie], bitrate, SPEEDS[speed])
        for arrival_s, movie, bitrate, speed in zip(
            np.round(arrivals_s, 3).tolist(), which, bitrates, speeds, strict=True
        )
    ]


def generate_requests(
    n: int,
    rng: np.random.Generator,
    catalog: Collection[str],
    *,
    mean_gap_s: float = MEAN_GAP_S,
    sigma_gap_s: float = SIGMA_GAP_S,
) -> list[Request]:
    """``n`` requests as the DaCirco generator makes them; the first comes at time 0.

    Args:
        n: how many.
        rng: source of chance; the same state gives the same requests.
        catalog: the names of the movies that are asked for, least asked first.
        mean_gap_s: mean of the Gaussian delay, seconds.
        sigma_gap_s: its standard deviation, seconds.
    """
    gaps = dacirco_gaps(rng, n, mean_gap_s=mean_gap_s, sigma_gap_s=sigma_gap_s)
    gaps[:1] = 0.0
    return attach_marks(rng, catalog, np.cumsum(gaps))
