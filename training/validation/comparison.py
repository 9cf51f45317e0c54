"""How far simulations are from a measured run: figures, tests and the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.validation.anomalies import anomalies
from training.validation.replay import Replay
from training.validation.run_trace import PARTS, RunTrace

Floats = NDArray[np.float64]

MEAN_LIMIT: Final = 0.12
"""The measured mean delay may differ from the simulated one by this share of the latter."""
P95_LIMIT: Final = 0.15
"""Likewise the 95th percentile of the delay."""
MIN_REQUESTS: Final = 5
"""Fewer requests say nothing of a mean, and less of a 95th percentile."""
RANGE: Final = (0.025, 0.975)
"""Quantiles over the simulations that bound the range given with each figure."""
GRID: Final = 200
"""Moments at which workers are counted."""


@dataclass(frozen=True)
class Figure:
    """One figure of the measured run beside the same figure of each simulation.

    Attributes:
        measured: its value; NaN if the run does not have it.
        simulated: mean over the simulations.
        low, high: range that holds 95 % of the simulations.
    """

    measured: float
    simulated: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """Measured over simulated."""
        return self.measured / self.simulated if self.simulated else nan

    @property
    def inside(self) -> bool:
        """Whether the measured figure lies within the range of the simulations."""
        return self.low <= self.measured <= self.high

    def within(self, limit: float) -> bool:
        """Whether measured and simulated differ by at most this share of the simulated."""
        return abs(self.measured - self.simulated) <= limit * self.simulated


@dataclass(frozen=True)
class PartComparison:
    """One of `PARTS`: seconds.

    Attributes:
        mean, median, p95: over the run's requests (boots: workers).
        n: how many the measured run has.
        distance: Kolmogorov-Smirnov distance of the measured distribution from that of
            all runs together.
        p_value: of that distance, see `distribution_test`.
    """

    mean: Figure
    median: Figure
    p95: Figure
    n: int
    distance: float
    p_value: float


@dataclass(frozen=True)
class WorkerComparison:
    """Workers created and not yet stopped, over time.

    Attributes:
        times: seconds since the first request, shape (times,).
        measured: number at each time.
        simulated, low, high: mean and 95 % range over the simulations, of that shape.
        mean: of the number over the time.
        inside: share of the time at which the measured number is within the range.
    """

    times: Floats
    measured: Floats
    simulated: Floats
    low: Floats
    high: Floats
    mean: Figure
    inside: float


@dataclass(frozen=True)
class Comparison:
    """A measured run beside its simulations.

    Attributes:
        replay: what is compared.
        parts: by name of the part.
        makespan: when the last request ended, seconds; none for a run that was stopped.
        assigned, ended, created: requests that had a worker, that had ended, and workers
            created, by the end of the run or its stop.
        workers: over time.
        anomalies: what the measured system did that no simulation does.
    """

    replay: Replay
    parts: dict[str, PartComparison]
    makespan: Figure | None
    assigned: Figure
    ended: Figure
    created: Figure
    workers: WorkerComparison
    anomalies: tuple[str, ...]

    @property
    def passed(self) -> bool | None:
        """Whether a complete run keeps both limits; none if it was stopped, or is too small."""
        run = self.replay.run
        if not run.complete or len(run.requests) < MIN_REQUESTS:
            return None
        delay = self.parts["delay"]
        return delay.mean.within(MEAN_LIMIT) and delay.p95.within(P95_LIMIT)


def compare(replay: Replay) -> Comparison:
    """Compare a measured run with its simulations, all cut at the run's stop, if any."""
    run, until = replay.run, replay.run.until

    def figure(value: Callable[[RunTrace], float]) -> Figure:
        return _figure(value(run.trace), [value(trace) for trace in replay.simulated])

    return Comparison(
        replay=replay,
        parts={name: _part(replay, name) for name in PARTS},
        makespan=figure(lambda trace: trace.last_end) if run.complete else None,
        assigned=figure(lambda trace: trace.n_assigned(until)),
        ended=figure(lambda trace: trace.n_ended(until)),
        created=figure(lambda trace: trace.n_created(until)),
        workers=_workers(replay),
        anomalies=anomalies(replay),
    )


def _figure(measured: float, simulated: list[float]) -> Figure:
    known = [value for value in simulated if isfinite(value)]
    if not known:
        return Figure(measured, nan, nan, nan)
    low, high = np.quantile(known, RANGE, method="inverted_cdf").tolist()
    return Figure(measured, float(np.mean(known)), low, high)


def _part(replay: Replay, name: str) -> PartComparison:
    until = replay.run.until
    measured = _known(replay.run.trace.part(name, until))
    simulated = [_known(trace.part(name, until)) for trace in replay.simulated]

    def figure(value: Callable[[Floats], float]) -> Figure:
        return _figure(
            value(measured) if len(measured) else nan,
            [value(sample) for sample in simulated if len(sample)],
        )

    distance, p_value = distribution_test(measured, simulated)
    return PartComparison(
        mean=figure(lambda sample: float(sample.mean())),
        median=figure(lambda sample: float(np.median(sample))),
        p95=figure(lambda sample: float(np.percentile(sample, 95))),
        n=len(measured),
        distance=distance,
        p_value=p_value,
    )


def distribution_test(measured: Floats, simulated: list[Floats]) -> tuple[float, float]:
    """Whether a measured sample could be one of the simulated ones.

    The values within a run depend on one another (they share queue and workers), so the
    textbook distribution of the Kolmogorov-Smirnov distance does not hold. Instead the
    distance of each sample from all of them together is found, and the measured one is
    ranked among the others: if it is a sample like them, each rank is equally likely
    (Monte Carlo test).

    Returns:
        The measured sample's distance and the p-value; NaN where there is no sample.
    """
    filled = [sample for sample in simulated if len(sample)]
    if not len(measured) or not filled:
        return nan, nan
    every = np.sort(np.concatenate([measured, *filled]))
    share = np.searchsorted(every, every, side="right") / len(every)

    def distance(sample: Floats) -> float:
        own = np.searchsorted(np.sort(sample), every, side="right") / len(sample)
        return float(np.abs(own - share).max())

    ours = distance(measured)
    as_far = sum(distance(sample) >= ours for sample in filled)
    return ours, (1 + as_far) / (1 + len(filled))


def _workers(replay: Replay) -> WorkerComparison:
    run = replay.run
    times = np.linspace(0.0, run.end, GRID)
    measured = run.trace.workers_at(times)
    counts = np.array([trace.workers_at(times) for trace in replay.simulated])
    low, high = np.quantile(counts, RANGE, axis=0, method="inverted_cdf")
    return WorkerComparison(
        times=times,
        measured=measured,
        simulated=counts.mean(axis=0),
        low=low,
        high=high,
        mean=_figure(float(measured.mean()), counts.mean(axis=1).tolist()),
        inside=float(((low <= measured) & (measured <= high)).mean()),
    )


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]
