"""Wilcoxon's signed-rank test, fast for a few pairs: whether differences are above 0."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

_MOST_EXACT: Final = 50
"""With more pairs SciPy approximates."""


def is_above(differences: NDArray[np.float64], level: float) -> bool:
    """Whether the one-sided p-value of differences that tend to be above 0 is below a level.

    As `scipy.stats.wilcoxon` with ``alternative="greater"``, which it falls back on where
    differences are 0 or alike; without such the distribution is exact, and looked up.

    Args:
        differences: shape (pairs,).
        level: below one half.
    """
    sizes = np.abs(differences)
    order = np.argsort(sizes)
    n, ordered = len(sizes), sizes[order]
    if not ordered[-1]:
        return False
    if not ordered[0] or n > _MOST_EXACT or (np.diff(ordered) == 0.0).any():
        return bool(wilcoxon(differences, alternative="greater").pvalue < level)
    statistic = int((np.arange(1, n + 1) * (differences[order] > 0.0)).sum())
    return tails(n)[statistic] < level


@cache
def tails(n: int) -> tuple[float, ...]:
    """The probability that the sum of n signed ranks is a number or more, by number."""
    ways = [1]
    for rank in range(1, n + 1):
        more = [0] * (len(ways) + rank)
        for total, count in enumerate(ways):
            more[total] += count
            more[total + rank] += count
        ways = more
    found, above = [], 0
    for count in reversed(ways):
        above += count
        found.append(above / 2**n)
    return tuple(reversed(found))
