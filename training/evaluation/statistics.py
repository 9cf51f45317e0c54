"""Paired comparison of two policies: geometric means of ratios with bootstrap intervals.

Costs differ by orders of magnitude between scenarios, so what is averaged is the logarithm
of the ratio of two policies on the same jobs (Fleming and Wallace 1986, "How not to lie
with statistics"). The interval is a percentile bootstrap on two levels: scenarios are drawn
with replacement, and within each drawn scenario its seeds. It thus tells how the ratio would
vary over other scenarios of the same kind, not only over other noise. The preferences of
one scenario and seed share their jobs and are drawn together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 10_000
_SEED: Final = 20_231
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; no interval without at least two runs to draw from."""

    value: float
    low: float | None = None
    high: float | None = None


def log_ratios(ours: Floats, theirs: Floats) -> Floats | None:
    """Logarithms of the ratios, of the same shape; none if a ratio does not exist."""
    usable = np.isfinite(ours) & np.isfinite(theirs) & (ours > 0) & (theirs > 0)
    return np.log(ours / theirs) if usable.all() else None


def geometric_mean_ratio(
    ours: Floats, theirs: Floats, *, resamples: int = RESAMPLES
) -> Estimate | None:
    """Geometric mean of ``ours / theirs`` with its paired bootstrap interval.

    Args:
        ours: figures of one policy, shape (preferences, scenarios, seeds).
        theirs: figures of the other on the same jobs, of the same shape.
        resamples: bootstrap samples; the same figures give the same interval.

    Returns:
        None if a figure is missing or not above zero.
    """
    logs = log_ratios(ours, theirs)
    if logs is None:
        return None
    value = exp(logs.mean())
    means = bootstrap_means(logs.mean(axis=0), np.random.default_rng(_SEED), resamples)
    if means is None:
        return Estimate(value)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.exp(np.quantile(means, [tail, 1 - tail])).tolist()
    return Estimate(value, low, high)


def bootstrap_means(values: Floats, rng: np.random.Generator, resamples: int) -> Floats | None:
    """Means of samples drawn on two levels: rows, then within each drawn row its columns.

    Args:
        values: shape (scenarios, seeds).
        rng: source of chance.
        resamples: how many samples.

    Returns:
        Shape (resamples,), or none if there is only one value.
    """
    rows, columns = values.shape
    if values.size < 2:
        return None
    means = []
    for start in range(0, resamples, _CHUNK):  # in pieces, so that memory stays small
        n = min(_CHUNK, resamples - start)
        row = rng.integers(rows, size=(n, rows, 1))
        column = rng.integers(columns, size=(n, rows, columns))
        means.append(values[row, column].mean(axis=(1, 2)))
    return np.concatenate(means)


def interquartile_mean_ratio(ours: Floats, theirs: Floats) -> float | None:
    """Geometric mean of the middle half of the ratios: not moved by a few extreme runs."""
    logs = log_ratios(ours, theirs)
    if logs is None:
        return None
    quarter = logs.size // 4
    return exp(float(np.sort(logs, axis=None)[quarter : logs.size - quarter].mean()))


def mean_of_known(values: Floats) -> float | None:
    """Mean of the figures that exist, none if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
