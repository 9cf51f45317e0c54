"""Which load the slow-down on a crowded node starts from."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from training.calibration.regression import Regression

AS_GOOD: Final = 2.0
"""Fits whose AIC differ by no more than this describe the data about equally well."""


@dataclass(frozen=True)
class Knee:
    """A choice of the knee.

    Attributes:
        load: the knee, in busy vCPUs.
        seen: whether the data chose it; else it is the prior.
        as_good: the knees that fit about as well.
    """

    load: float
    seen: bool
    as_good: list[float]


def choose_knee(
    fit: Callable[[float], Regression],
    slope: str,
    candidates: Collection[float],
    *,
    prior: float,
    aic_without: float,
) -> Knee:
    """The candidate that fits best, if any fits better than no slow-down at all.

    Args:
        fit: fits the law with the knee at a given load.
        slope: name of the coefficient of the slow-down in it.
        candidates: knees that the data can show.
        prior: the knee where the data choose none.
        aic_without: Akaike's information criterion of the law without a slow-down. The
            chosen knee, a further parameter, must gain more than 2 on it.
    """
    trials = {knee: fit(knee) for knee in candidates}
    aic = {
        knee: trial.aic
        for knee, trial in trials.items()
        if trial.coefficients[slope].origin == "fitted" and trial.aic + 2 < aic_without
    }
    if not aic:
        return Knee(prior, seen=False, as_good=[])
    best = min(aic, key=aic.__getitem__)
    return Knee(best, seen=True, as_good=[k for k in aic if aic[k] <= aic[best] + AS_GOOD])
