"""Online statistics of the arrivals: rates at three horizons, gaps, and when the next may come.

All of it is known at the time (no future), O(1) to update and to read, and the same
in the simulator and in the live controller.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import exp, sqrt
from typing import Final

SHORT, MEDIUM, LONG = 0, 1, 2
HORIZONS_S: Final = (60.0, 600.0, 3600.0)
"""Time constants of the exponentially weighted rates, seconds."""

GAP_WEIGHT: Final = 0.05
"""Weight of the newest gap in the mean and spread of the gaps (about the last 20 count)."""
HISTOGRAM_DECAY: Final = 0.98
"""What an older gap counts relative to the next."""
EDGES_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Where the bins of the gaps begin, seconds; the last ends at twice its begin."""
N_BINS: Final = len(EDGES_S)
RESCALE_AT: Final = 1e12
"""A gap's weight at which all are made small again."""
LEAST_SEEN: Final = 0.05
"""Share of a kernel's weight that is taken to have passed at least."""


class ArrivalStatistics:
    """What has been learned from the arrivals so far.

    Attributes:
        count: arrivals so far.
        last_s: time of the latest arrival, none before the first.
        mean_gap_s: exponentially weighted mean inter-arrival time, 0 before the second arrival.
    """

    __slots__ = (
        "_gap_square",
        "_histogram",
        "_histogram_total",
        "_longer",
        "_rates",
        "_start_s",
        "_updated_s",
        "_weight",
        "_works",
        "count",
        "last_s",
        "mean_gap_s",
    )

    def __init__(self, start_s: float = 0.0) -> None:
        self.count = 0
        self.last_s: float | None = None
        self.mean_gap_s = 0.0
        self._gap_square = 0.0
        self._start_s = start_s
        self._updated_s = start_s
        self._rates = [0.0, 0.0, 0.0]
        self._works = [0.0, 0.0, 0.0]
        self._histogram = [0.0] * N_BINS
        self._histogram_total = 0.0
        # For each bin the weight of those after it, found when it is first asked for.
        self._longer: list[float | None] = [None] * N_BINS
        self._weight = 1.0

    def observe(self, now: float, work_s: float) -> None:
        """Take in an arrival whose expected service on the smallest flavor is `work_s` seconds."""
        rates, works = self._rates, self._works
        passed = now - self._updated_s
        for i, horizon in enumerate(HORIZONS_S):
            fade = exp(-passed / horizon)
            rates[i] = rates[i] * fade + 1.0 / horizon
            works[i] = works[i] * fade + work_s / horizon
        self._updated_s = now
        if self.last_s is not None:
            self._observe_gap(now - self.last_s)
        self.last_s = now
        self.count += 1

    def _observe_gap(self, gap: float) -> None:
        # A plain average until 20 gaps are in, so that the first ones are not overrated.
        weight = max(GAP_WEIGHT, 1.0 / self.count)
        self.mean_gap_s += weight * (gap - self.mean_gap_s)
        self._gap_square += weight * (gap * gap - self._gap_square)
        # Growing weights stand in for fading all bins at each arrival.
        self._weight /= HISTOGRAM_DECAY
        self._histogram[bisect_right(EDGES_S, gap) - 1] += self._weight
        self._longer = [None] * N_BINS
        self._histogram_total += self._weight
        if self._weight > RESCALE_AT:
            scale = 1.0 / self._weight
            self._histogram = [weight * scale for weight in self._histogram]
            self._histogram_total *= scale
            self._weight = 1.0

    def rate(self, now: float, horizon: int) -> float:
        """Arrivals a second, exponentially weighted over `horizon` (SHORT, MEDIUM, LONG)."""
        length = HORIZONS_S[horizon]
        fade = exp(-(now - self._updated_s) / length)
        return self._rates[horizon] * fade * unbias(now - self._start_s, length)

    def offered_load(self, now: float, horizon: int) -> float:
        """Offered load in erlangs of the smallest flavor: arrival rate times mean service."""
        return self.offered_loads(now)[horizon]

    def offered_loads(self, now: float) -> list[float]:
        """The offered loads at all horizons."""
        passed, age = now - self._updated_s, now - self._start_s
        return [
            work * exp(-passed / horizon) * unbias(age, horizon)
            for work, horizon in zip(self._works, HORIZONS_S, strict=True)
        ]

    @property
    def gap_cv(self) -> float:
        """Coefficient of variation of the inter-arrival times (1 for Poisson), 1 if unknown."""
        mean = self.mean_gap_s
        if self.count < 3 or mean <= 0.0:
            return 1.0
        return sqrt(max(0.0, self._gap_square - mean * mean)) / mean

    def _survival(self, gap: float) -> float:
        """Weight of the seen gaps that were longer than `gap` (uniform within a bin)."""
        index = bisect_right(EDGES_S, gap) - 1
        weight = self._longer[index]
        if weight is None:
            weight = self._longer[index] = sum(self._histogram[index + 1 :])
        low = EDGES_S[index]
        high = EDGES_S[index + 1] if index + 1 < N_BINS else 2.0 * low
        inside = (gap - low) / (high - low)
        return weight + self._histogram[index] * (1.0 - inside) if inside < 1.0 else weight

    def probabilities_within(self, now: float, horizons_s: Sequence[float]) -> list[float]:
        """Probability that a job arrives within each horizon, given the time since the last one.

        Empirical hazard of the seen gaps (recent ones count more), smoothed by one
        pseudo-observation of a Poisson process at the medium rate.
        """
        rate = self.rate(now, MEDIUM)
        if self.last_s is None or self._histogram_total <= 0.0:
            return [1.0 - exp(-rate * horizon) for horizon in horizons_s]
        elapsed = now - self.last_s
        scale = 1.0 / self._weight
        alive = self._survival(elapsed) * scale
        found = []
        for horizon in horizons_s:
            prior = 1.0 - exp(-rate * horizon)
            died = alive - self._survival(elapsed + horizon) * scale
            found.append((died + prior) / (alive + 1.0))
        return found


def unbias(age: float, horizon: float) -> float:
    """By which a kernel's sum is multiplied: of its weight only a part has passed at first."""
    seen = 1.0 - exp(-age / horizon)
    return 1.0 / seen if seen > LEAST_SEEN else 1.0 / LEAST_SEEN
