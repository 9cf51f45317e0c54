"""The prices that make the clairvoyant bound large: a linear program over a grid of times.

See `training.bound.clairvoyant` for what the prices mean and why any that satisfy its condition
(1) give a valid bound. Variables are the integrals of the prices up to each time of the grid, the
running minimum of ``E_f = P_f - kappa_f t - sigma_f Q`` (so that "no rise of E exceeds kappa theta"
takes a number of rows linear in the grid), each job's value z_j, and with congestion what is
paid for it in each step of the grid. A job's value is the
least over all starts; its rows are added as they are violated (Kelley's cutting planes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import highspy
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_OPTIONS: Final[dict[str, bool | int | float | str]] = {
    "output_flag": False,
    "threads": 1,
    "solver": "ipm",
    "run_crossover": "off",
    "ipm_optimality_tolerance": 1e-5,
}
"""Interior points: far quicker here than the simplex method, and its prices, which lie in the
middle of the best ones instead of at a corner, need fewer rounds."""

GRID: Final = 450
"""Most times at which prices change."""
_ROUNDS: Final = 12
_GOOD: Final = 4e-3
"""Stop when the program cannot promise more than this share on top."""
_FIRST_DELAYS_S: Final = (0.0, 10.0, 40.0, 160.0, 640.0)
"""Starts after the release that the program knows from the beginning."""


@dataclass(frozen=True)
class Congestion:
    """What a price for load earns at most: the largest of some lines in the price.

    Attributes:
        slopes, offsets: of the lines; at price 0 the largest is 0.
    """

    slopes: Floats
    offsets: Floats

    def paid(self, steps: Floats, lengths_s: Floats) -> Floats:
        """In each step of time, given the integral of the price over it."""
        lines = self.slopes[:, None] * steps + self.offsets[:, None] * lengths_s
        most: Floats = lines.max(axis=0)
        return most


@dataclass(frozen=True)
class PricedJobs:
    """The jobs and what things cost.

    Attributes:
        arrival_s, release_s: of each job; no start before its release.
        download_s: of each job. transcode_s, service_s: of the transcode and of the whole,
            shape (jobs, flavors). load: of the transcode on its node, likewise.
        delay_price: w.
        worker_price: kappa, cost of a ready worker of each flavor for a second.
        share: sigma, of the capacity that a worker of each flavor takes.
        boot_s: theta.
        congestion: none: load has no price.
        floor: the least price of a worker, in units of its cost.
    """

    arrival_s: Floats
    release_s: Floats
    download_s: Floats
    transcode_s: Floats
    service_s: Floats
    load: Floats
    delay_price: float
    worker_price: Floats
    share: Floats
    boot_s: float
    congestion: Congestion | None = None
    floor: float = 0.0

    @property
    def boot_price(self) -> Floats:
        """What a boot of each flavor costs."""
        return self.worker_price * self.boot_s


@dataclass(frozen=True)
class Prices:
    """Integrals of the prices over time: linear between the times, constant outside.

    Attributes:
        times_s: shape (times,).
        workers: integral of p_f, shape (flavors, times), from 0.
        capacity: integral of q, shape (times,), from 0.
        load: integral of pi, likewise.
    """

    times_s: Floats
    workers: Floats
    capacity: Floats
    load: Floats


def best_value(jobs: PricedJobs) -> float:
    """The largest found value of the bound's sum over the jobs, less the price of capacity."""
    times = price_times(jobs)
    program = _Program(jobs, times)
    best = value(jobs, no_prices(jobs, times))[0]
    for _ in range(_ROUNDS):
        promised, prices = program.solve()
        found, starts = value(jobs, make_valid(jobs, prices))
        best = max(best, found)
        if promised - best <= _GOOD * abs(best) or not program.add_starts(starts):
            break
    return best


def price_times(jobs: PricedJobs) -> Floats:
    """Releases and the ends of jobs that start at once, thinned where they are dense."""
    ends = (jobs.release_s[:, None] + jobs.service_s).ravel()
    times = np.unique(np.concatenate([[0.0], jobs.release_s, ends]))
    apart = 0.0
    while True:
        kept = _apart(times, apart)
        if len(kept) <= GRID:
            return kept
        apart = max(1.3 * apart, (times[-1] - times[0]) / (8.0 * GRID))


def _apart(times: Floats, least_s: float) -> Floats:
    kept = [times[0]]
    for time in times[1:]:
        if time - kept[-1] > least_s:
            kept.append(time)
    return np.array(kept)


def no_prices(jobs: PricedJobs, times: Floats) -> Prices:
    """What a ready worker costs, and nothing for capacity: always valid."""
    elapsed = times - times[0]
    nothing = np.zeros_like(elapsed)
    return Prices(times, jobs.worker_price[:, None] * elapsed, nothing, nothing)


def make_valid(jobs: PricedJobs, prices: Prices) -> Prices:
    """The nearest prices that satisfy condition (1), exactly but for rounding.

    Prices below zero, or the floor, are raised to it; where the excess of p over its cost
    rises by too much over some interval, all excesses of the flavor are made smaller by one
    factor.
    """
    times = prices.times_s
    none = np.zeros(len(times) - 1)
    capacity = _rising(prices.capacity, none)
    cost = jobs.worker_price[:, None] * (times - times[0]) + jobs.share[:, None] * capacity
    floors = jobs.floor * jobs.worker_price[:, None] * np.diff(times)
    excess = np.array([_rising(*pair) for pair in zip(prices.workers, floors, strict=True)]) - cost
    rise = largest_rise(excess)
    factor = np.minimum(
        1.0, np.divide(jobs.boot_price, rise, out=np.ones_like(rise), where=rise > 0.0)
    )
    load = _rising(prices.load, none)
    return Prices(times, cost + factor[:, None] * excess, capacity, load)


def _rising(integral: Floats, least: Floats) -> Floats:
    steps = np.maximum(least, np.diff(integral))
    return np.concatenate([[0.0], np.cumsum(steps)])


def largest_rise(curves: Floats) -> Floats:
    """The most that each row rises from any point to a later one."""
    rise: Floats = (curves - np.minimum.accumulate(curves, axis=1)).max(axis=1)
    return rise


def value(jobs: PricedJobs, prices: Prices) -> tuple[float, Floats]:
    """The bound's sum over the jobs less the price of capacity, for valid prices.

    Returns:
        The value, and for each job and flavor the cheapest start, shape (jobs, flavors).
    """
    times = prices.times_s
    n, flavors = jobs.service_s.shape
    least = np.empty((n, flavors))
    starts = np.empty((n, flavors))
    for f in range(flavors):
        service = jobs.service_s[:, f : f + 1]
        begins = jobs.download_s[:, None]
        ends = begins + jobs.transcode_s[:, f : f + 1]
        after = [np.zeros_like(service), service]
        if jobs.congestion is not None:
            after += [begins, ends]
        tried = np.concatenate(
            [jobs.release_s[:, None], *(times[None, :] - shift for shift in after)], axis=1
        )
        tried = np.maximum(tried, jobs.release_s[:, None])
        paid = _between(times, prices.workers[f], tried, tried + service)
        if jobs.congestion is not None:
            slowed = _between(times, prices.load, tried + begins, tried + ends)
            paid += jobs.load[:, f : f + 1] * slowed
        cost = jobs.delay_price * (tried + service - jobs.arrival_s[:, None]) + paid
        cheapest = cost.argmin(axis=1)
        row = np.arange(n)
        least[:, f] = cost[row, cheapest]
        starts[:, f] = tried[row, cheapest]
    total = least.min(axis=1).sum() - prices.capacity[-1]
    if jobs.congestion is not None:
        total -= jobs.congestion.paid(np.diff(prices.load), np.diff(times)).sum()
    return float(total), starts


def _between(times: Floats, integral: Floats, start: Floats, end: Floats) -> Floats:
    paid: Floats = np.interp(end, times, integral) - np.interp(start, times, integral)
    return paid


class _Program:
    """The linear program; starts are added to it round by round."""

    def __init__(self, jobs: PricedJobs, times: Floats) -> None:
        self._jobs = jobs
        self._times = times
        self._n = int(jobs.service_s.shape[0])
        self._flavors = int(jobs.service_s.shape[1])
        self._size: int = len(times)
        self._known: set[tuple[int, int, float]] = set()
        self._highs = highspy.Highs()  # type: ignore[no-untyped-call]
        for option, choice in _OPTIONS.items():
            self._highs.setOptionValue(option, choice)
        self._columns()
        self._rows()
        first = [
            (j, f, float(jobs.release_s[j] + delay))
            for delay in _FIRST_DELAYS_S
            for j in range(self._n)
            for f in range(self._flavors)
        ]
        self._add(first)

    # Columns: P_f at each time, running minimum M_f at each time, Q and Pi at each time, what is
    # paid for congestion in the step before each time, z.

    def _block(self, number: int) -> list[int]:
        return list(range(number * self._size, (number + 1) * self._size))

    def _p(self, f: int) -> list[int]:
        return self._block(f)

    def _m(self, f: int) -> list[int]:
        return self._block(self._flavors + f)

    @property
    def _q(self) -> list[int]:
        return self._block(2 * self._flavors)

    @property
    def _pi(self) -> list[int]:
        return self._block(2 * self._flavors + 1)

    @property
    def _paid(self) -> list[int]:
        return self._block(2 * self._flavors + 2)

    @property
    def _z(self) -> int:
        return (2 * self._flavors + 3) * self._size

    def _columns(self) -> None:
        priced = self._z
        n = priced + self._n
        free = np.full(n, highspy.kHighsInf)
        cost = np.zeros(n)
        cost[priced:] = 1.0
        cost[self._q[-1]] = -1.0
        low, high = -free, free.copy()
        for f in range(self._flavors):
            low[self._p(f)[0]] = high[self._p(f)[0]] = 0.0
        low[self._q[0]] = high[self._q[0]] = 0.0
        if self._jobs.congestion is None:
            low[self._pi] = high[self._pi] = 0.0
            low[self._paid] = high[self._paid] = 0.0
        else:
            low[self._pi[0]] = high[self._pi[0]] = 0.0
            low[self._paid[0]] = high[self._paid[0]] = 0.0
            cost[self._paid] = -1.0
        none: NDArray[np.int32] = np.array([], dtype=np.int32)
        self._highs.addCols(n, cost, low, high, 0, none, none, np.array([]))
        self._highs.changeObjectiveSense(highspy.ObjSense.kMaximize)

    def _rows(self) -> None:
        jobs, times, size = self._jobs, self._times, self._size
        rows = _Rows()
        steps = np.diff(times)
        q = self._q
        # A price above what all jobs together pay for waiting gains nothing.
        most = jobs.delay_price * self._n / float(jobs.share.min())
        for k in range(size - 1):
            rows.add([q[k + 1], q[k]], [1.0, -1.0], 0.0, most * steps[k])
        if jobs.congestion is not None:
            pi, paid = self._pi, self._paid
            lines = list(
                zip(jobs.congestion.slopes.tolist(), jobs.congestion.offsets.tolist(), strict=True)
            )
            for k in range(1, size):
                rows.add([pi[k], pi[k - 1]], [1.0, -1.0], 0.0, np.inf)
                for slope, offset in lines:
                    columns = [paid[k], pi[k], pi[k - 1]]
                    rows.add(columns, [1.0, -slope, slope], offset * steps[k - 1], np.inf)
        for f in range(self._flavors):
            p, m = self._p(f), self._m(f)
            floor = jobs.floor * float(jobs.worker_price[f])
            spent = jobs.worker_price[f] * (times - times[0])
            share, boot = float(jobs.share[f]), float(jobs.boot_price[f])
            for k in range(size):
                if k:
                    rows.add([p[k], p[k - 1]], [1.0, -1.0], floor * steps[k - 1], np.inf)
                    rows.add([m[k - 1], m[k]], [1.0, -1.0], 0.0, np.inf)
                excess = ([p[k], q[k], m[k]], [1.0, -share, -1.0])
                rows.add(*excess, spent[k], spent[k] + boot)
        rows.give(self._highs)

    def _add(self, starts: list[tuple[int, int, float]]) -> bool:
        """Add a row ``z_j <= w (S + s - a) + P_f(S + s) - P_f(S) + ...`` for each new start.

        Returns:
            Whether there was one.
        """
        jobs = self._jobs
        rows = _Rows()
        for j, f, start in starts:
            if (j, f, start) in self._known:
                continue
            self._known.add((j, f, start))
            end = start + float(jobs.service_s[j, f])
            terms = [(self._p(f), end, -1.0), (self._p(f), start, 1.0)]
            if jobs.congestion is not None:
                load = float(jobs.load[j, f])
                begins = start + float(jobs.download_s[j])
                terms += [
                    (self._pi, begins + float(jobs.transcode_s[j, f]), -load),
                    (self._pi, begins, load),
                ]
            weights: dict[int, float] = {self._z + j: 1.0}
            for columns, time, factor in terms:
                for column, weight in self._interpolate(columns, time):
                    weights[column] = weights.get(column, 0.0) + factor * weight
            delay = jobs.delay_price * (end - float(jobs.arrival_s[j]))
            rows.add(list(weights), list(weights.values()), -np.inf, delay)
        rows.give(self._highs)
        return len(rows) > 0

    def _interpolate(self, p: list[int], time: float) -> list[tuple[int, float]]:
        """An integral at a time as a sum of its columns."""
        right = int(np.searchsorted(self._times, time))
        if right == 0:
            return [(p[0], 1.0)]
        if right == self._size:
            return [(p[-1], 1.0)]
        low, high = self._times[right - 1], self._times[right]
        share = float((time - low) / (high - low))
        return [(p[right - 1], 1.0 - share), (p[right], share)]

    def add_starts(self, starts: Floats) -> bool:
        """Make the program know these starts; false if it knew them all."""
        new = [(j, f, float(starts[j, f])) for j in range(self._n) for f in range(self._flavors)]
        return self._add(new)

    def solve(self) -> tuple[float, Prices]:
        """What the program promises, and its prices (which may violate (1) by its tolerance)."""
        self._highs.run()
        column = np.array(self._highs.getSolution().col_value)
        prices = Prices(
            self._times,
            np.array([column[self._p(f)] for f in range(self._flavors)]),
            column[self._q],
            column[self._pi],
        )
        return float(self._highs.getInfo().objective_function_value), prices


class _Rows:
    """Rows of a linear program, gathered to be given at once."""

    def __init__(self) -> None:
        self._start: list[int] = []
        self._columns: list[int] = []
        self._weights: list[float] = []
        self._low: list[float] = []
        self._high: list[float] = []

    def __len__(self) -> int:
        return len(self._start)

    def add(self, columns: list[int], weights: list[float], low: float, high: float) -> None:
        self._start.append(len(self._columns))
        self._columns += [int(column) for column in columns]
        self._weights += weights
        self._low.append(low)
        self._high.append(high)

    def give(self, highs: highspy.Highs) -> None:
        if not self._start:
            return
        highs.addRows(
            len(self._start),
            np.array(self._low),
            np.array(self._high),
            len(self._columns),
            np.array(self._start, dtype=np.int32),
            np.array(self._columns, dtype=np.int32),
            np.array(self._weights),
        )
