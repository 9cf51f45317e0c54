"""Figures of rliable that `training.evaluation.statistics` lacks.

R. Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice",
NeurIPS 2021: aggregate over tasks and runs, resample the runs within each task (strata), and
report an interval. Here a task is a scenario at a preference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.evaluation.statistics import CONFIDENCE, Estimate

Floats = NDArray[np.float64]

RESAMPLES: Final = 2_000
_SEED: Final = 20_231


def interquartile_mean(values: Floats) -> float:
    """Mean of the middle half of all values."""
    flat = np.sort(values, axis=None)
    cut = flat.size // 4
    return float(flat[cut : flat.size - cut].mean())


def stratified_interval(
    values: Floats, figure: Callable[[Floats], float], resamples: int = RESAMPLES
) -> Estimate:
    """A figure with its 95 % stratified bootstrap interval.

    Args:
        values: shape (tasks, runs).
        figure: of an array of that shape.
        resamples: how often the runs of each task are drawn anew, with replacement.

    Returns:
        Without an interval if there is but one run of each task.
    """
    tasks, runs = values.shape
    if runs < 2:
        return Estimate(figure(values))
    rng = np.random.default_rng(_SEED)
    rows = np.arange(tasks)[:, None]
    found = [figure(values[rows, rng.integers(runs, size=(tasks, runs))]) for _ in range(resamples)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail]).tolist()
    return Estimate(figure(values), low, high)


def interquartile_ratio(log_ratios: Floats) -> Estimate:
    """Interquartile mean of cost ratios, in the logarithm, with its stratified interval.

    Args:
        log_ratios: shape (tasks, runs).
    """
    estimate = stratified_interval(log_ratios, interquartile_mean)
    bounds = [None if x is None else float(np.exp(x)) for x in (estimate.low, estimate.high)]
    return Estimate(float(np.exp(estimate.value)), *bounds)


def probability_of_improvement(ours: Floats, theirs: Floats) -> Estimate:
    """How likely a run of ours costs less than one of theirs on the same task.

    The mean over the tasks of the share of all pairs of runs (Mann-Whitney), ties half.

    Args:
        ours: shape (tasks, runs).
        theirs: shape (tasks, other runs).
    """
    pair = ours[:, :, None] - theirs[:, None, :]
    wins = (pair < 0).mean(axis=2) + 0.5 * (pair == 0).mean(axis=2)
    return stratified_interval(wins, lambda values: float(values.mean()))
