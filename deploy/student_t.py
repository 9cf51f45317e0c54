"""Quantiles of Student's t distribution, for intervals from a few repetitions.

In plain Python: SciPy, which also has them, is several times as large as the service itself and
belongs to what only training installs.
"""

from __future__ import annotations

from math import cos, pi, sin, sqrt, tan
from typing import Final

_HALVINGS: Final = 60
"""Of an angle below 2: after so many the error is below that of a double."""


def t_quantile(probability: float, degrees: int) -> float:
    """The value that a t-distributed variable stays below with a probability.

    Args:
        probability: from 0.5 up to, but without, 1.
        degrees: of freedom, 1 or more.

    Raises:
        ValueError: an argument is out of its range.
    """
    if not 0.5 <= probability < 1.0:
        raise ValueError(f"probability {probability} is not in [0.5, 1)")
    if degrees < 1:
        raise ValueError(f"{degrees} degrees of freedom: give 1 or more")
    wanted = 2.0 * probability - 1.0
    low, high = 0.0, pi / 2.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if _within(middle, degrees) < wanted:
            low = middle
        else:
            high = middle
    return sqrt(degrees) * tan((low + high) / 2.0)


def _within(angle: float, degrees: int) -> float:
    """P(|T| < sqrt(degrees) * tan(angle)), a finite sum for whole degrees of freedom.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    sine, cosine = sin(angle), cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for i in range(2 + odd, degrees - 1, 2):
        term *= cosine * cosine * (i - 1) / i
        total += term
    return 2.0 / pi * (angle + sine * total) if odd else sine * total
