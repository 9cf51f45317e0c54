"""How much longer a step takes on a crowded node: the profile's law, on a measured load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log

import numpy as np
from numpy.typing import NDArray

from training.calibration.node_load import Pieces

Floats = NDArray[np.float64]
MIN_EXCESS = 0.05
"""A step counts as crowded when its load is above the knee by this much on average."""


@dataclass(frozen=True)
class Crowding:
    """Progress is divided by ``exp(slope * max(0, load - knee))``, at most by `limit`.

    Attributes:
        knee: load, in vCPUs, above which progress slows.
        cores: above this load progress is also divided by ``load / cores``.
        limit: the most by which the first law divides.
    """

    knee: float
    cores: float = inf
    limit: float = inf

    def log_slowdown(self, pieces: Sequence[Pieces], slope: float) -> tuple[Floats, Floats]:
        """Log of (measured time / time on an empty node) of each step, and its slope.

        A step that needs W seconds alone ends after T with ``W = integral of progress``
        over T, so ``T / W`` is one over the mean progress.

        Returns:
            The logarithms and their derivatives in `slope`, each of shape (steps,).
        """
        value = np.zeros(len(pieces))
        derivative = np.zeros(len(pieces))
        for i, piece in enumerate(pieces):
            excess = np.maximum(0.0, piece.load - self.knee)
            if slope > 0 and self.limit < inf:
                excess = np.minimum(excess, log(self.limit) / slope)
            progress = np.exp(-slope * excess) / np.maximum(1.0, piece.load / self.cores)
            work = piece.seconds * progress
            value[i] = -log(work.sum() / piece.seconds.sum())
            derivative[i] = (work * excess).sum() / work.sum()
        return value, derivative

    def n_crowded(self, pieces: Sequence[Pieces]) -> int:
        """How many steps saw a load above the knee."""
        return sum(
            float(np.average(np.maximum(0.0, p.load - self.knee), weights=p.seconds)) > MIN_EXCESS
            for p in pieces
        )


def knees(pieces: Sequence[Pieces], least: int, limit: float = inf) -> list[float]:
    """Loads, in whole vCPUs, that could be the knee: at least `least` steps exceed them."""
    highest = max((float(p.load.max()) for p in pieces), default=0.0)
    return [
        float(knee)
        for knee in range(1, int(min(highest, limit)) + 1)
        if Crowding(float(knee)).n_crowded(pieces) >= least
    ]
