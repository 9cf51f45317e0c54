"""How much longer a step takes on a crowded node: the profile's law, on a measured load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log

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
        slope: of the first law, where it is another figure that is sought.
    """

    knee: float
    cores: float = inf
    limit: float = inf
    slope: float = 0.0

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

    def log_throttled(self, pieces: Sequence[Pieces], log_throttle: float) -> tuple[Floats, Floats]:
        """Likewise, where a quota of CPU throttles whoever could use more than it allows.

        A worker that is limited to fewer vCPUs than the node has cores, and whose encoder starts
        a thread for each core, uses its quota up early in each period and waits for the next. It
        does so while the limits of all that transcode on the node fit in its cores; beyond that,
        others take the cores before the quota is used up. Progress is then divided by
        ``exp(log_throttle)``, besides the slow-down.

        Returns:
            As `log_slowdown`; the derivatives are those in `log_throttle`.
        """
        value = np.zeros(len(pieces))
        derivative = np.zeros(len(pieces))
        for i, piece in enumerate(pieces):
            excess = np.maximum(0.0, piece.load - self.knee)
            progress = np.exp(-self.slope * excess) / np.maximum(1.0, piece.load / self.cores)
            bound = piece.limits is not None and piece.limits <= self.cores
            throttled = np.broadcast_to(bound, progress.shape)
            progress = np.where(throttled, progress * exp(-log_throttle), progress)
            work = piece.seconds * progress
            value[i] = -log(work.sum() / piece.seconds.sum())
            derivative[i] = work[throttled].sum() / work.sum()
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
