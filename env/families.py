"""Families of arrival processes: when requests come, drawn from a seed.

Every family has a mean rate, ``rate_per_s`` (see `env.load.rate_for_load`), and
parameters that give it its shape; the shape does not change the mean. What is asked
for at each arrival follows one law for all families (`env.generator.attach_marks`).

Training draws from `TRAINING_FAMILIES` only. `HELD_OUT_FAMILIES` are kept for the
test scenarios, to show how a policy does on a rhythm that it has never seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import exp, inf, log, log1p, pi, sqrt
from types import MappingProxyType
from typing import ClassVar, Final, Literal, NoReturn, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from env.catalog import Catalog
from env.errors import UnknownNameError
from env.generator import MEAN_GAP_S, SIGMA_GAP_S, attach_marks, dacirco_gaps
from env.jobs import Request
from env.load import rate_for_load

Floats = NDArray[np.float64]
Hidden = tuple[Floats, ...]
"""What an arrival process did that its arrivals do not show; which figures, each family says."""


@dataclass(frozen=True)
class ArrivalFamily(ABC):
    """An arrival process.

    Attributes:
        rate_per_s: mean number of arrivals a second, above 0.
    """

    name: ClassVar[str]

    rate_per_s: float = 1 / MEAN_GAP_S

    def __post_init__(self) -> None:
        _require(0 < self.rate_per_s < inf, "rate_per_s", self.rate_per_s, "finite and above 0")

    @abstractmethod
    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        """Arrival times in [0, ``horizon_s``), seconds, ascending; shape (arrivals,).

        Returns:
            The times, and what `env.continuation` needs beside them to go on from the middle.
        """

    def sample(self, rng: np.random.Generator, horizon_s: float) -> Floats:
        """The arrival times of `draw`."""
        return self.draw(rng, horizon_s)[0]


class TrainingFamily(ArrivalFamily):
    """A family that training may draw.

    Attributes:
        own_load_range: offered loads that make sense for the family; None: any.
    """

    own_load_range: ClassVar[tuple[float, float] | None] = None

    @classmethod
    @abstractmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        """This family with its shape drawn at random, for domain randomisation."""


def _require(holds: bool, parameter: str, value: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{parameter} must be {allowed}, not {value}")


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return exp(rng.uniform(log(low), log(high)))


def homogeneous(rng: np.random.Generator, rate_per_s: float, horizon_s: float) -> Floats:
    """A Poisson process: given their number, the arrivals are uniform."""
    return np.sort(rng.uniform(0.0, horizon_s, rng.poisson(rate_per_s * horizon_s)))


def thinned(
    rng: np.random.Generator, peak_per_s: float, horizon_s: float, share: Callable[[Floats], Floats]
) -> Floats:
    """A Poisson process of rate ``peak_per_s * share(t)``, share in 0..1 (Lewis and Shedler)."""
    candidates = homogeneous(rng, peak_per_s, horizon_s)
    return candidates[rng.random(len(candidates)) < share(candidates)]


def renewal(rate_per_s: float, horizon_s: float, draw_gaps: Callable[[int], Floats]) -> Floats:
    """Arrivals whose gaps are independent draws with mean ``1 / rate_per_s``."""
    expected = rate_per_s * horizon_s
    chunk = int(expected + 4 * sqrt(expected)) + 8
    arrivals = np.cumsum(draw_gaps(chunk))
    while arrivals[-1] < horizon_s:
        arrivals = np.concatenate([arrivals, arrivals[-1] + np.cumsum(draw_gaps(chunk))])
    return arrivals[: np.searchsorted(arrivals, horizon_s)]


def clusters(
    rng: np.random.Generator, rate_per_s: float, mean_size: float, gap_s: float, horizon_s: float
) -> tuple[Floats, Hidden]:
    """Poisson clusters of geometric size whose members follow at exponential gaps.

    What a cluster brings after the horizon is lost, which is little if clusters are short.

    Returns:
        The arrivals; and of each cluster when its first and its last member arrive.
    """
    starts = homogeneous(rng, rate_per_s / mean_size, horizon_s)
    arrivals, lasts = members(rng, starts, mean_size, gap_s)
    return np.sort(arrivals[arrivals < horizon_s]), (starts, lasts)


def members(
    rng: np.random.Generator, starts: Floats, mean_size: float, gap_s: float
) -> tuple[Floats, Floats]:
    """All members of clusters that begin at these times, and the last of each."""
    sizes = rng.geometric(1 / mean_size, len(starts))
    after_first = np.cumsum(rng.exponential(gap_s, int(sizes.sum())))
    end = np.cumsum(sizes)
    first = end - sizes
    arrivals = after_first + np.repeat(starts - after_first[first], sizes)
    return arrivals, arrivals[end - 1]


def two_phases(
    rng: np.random.Generator, means: Floats, rates: Floats, horizon_s: float
) -> tuple[Floats, Floats]:
    """A Poisson process modulated by a Markov chain with two states.

    Args:
        rng: source of chance.
        means: mean length of the first state and of the other, seconds.
        rates: arrivals a second in each.
        horizon_s: its length.

    Returns:
        The arrivals; and when each stay in a state ends, the last at the horizon or beyond.
    """
    lengths = np.empty(0)
    while lengths.sum() < horizon_s:
        cycles = int(horizon_s / means.sum()) + 4
        lengths = np.concatenate([lengths, rng.exponential(np.tile(means, cycles))])
    ends = np.minimum(np.cumsum(lengths), horizon_s)
    starts = np.concatenate([np.zeros(1), ends[:-1]])
    counts = rng.poisson(np.resize(rates, len(ends)) * (ends - starts))
    arrivals = rng.uniform(np.repeat(starts, counts), np.repeat(ends, counts))
    return np.sort(arrivals), ends[: np.searchsorted(ends, horizon_s) + 1]


def descendants(
    rng: np.random.Generator, generation: Floats, share: float, delay_s: float, end_s: float
) -> Floats:
    """Arrivals, and all that they lead to before the end, in no order.

    Args:
        rng: source of chance.
        generation: the arrivals.
        share: mean number that one leads to.
        delay_s: mean time in between, seconds (exponential).
        end_s: what comes later is left out.
    """
    arrivals = [generation]
    while len(generation):
        led_to = rng.poisson(share, len(generation))
        generation = np.repeat(generation, led_to)
        generation = generation + rng.exponential(delay_s, len(generation))
        generation = generation[generation < end_s]
        arrivals.append(generation)
    return np.concatenate(arrivals)


@dataclass(frozen=True)
class DaCirco(TrainingFamily):
    """The existing generator: Gaussian gaps cut off below at 0.1 s, the first request at 0.

    Attributes:
        gap_cv: standard deviation of a gap over its mean; 1/3 as in the generator, whose
            own rate is one request every 6 s.
    """

    name: ClassVar[str] = "dacirco"

    gap_cv: float = SIGMA_GAP_S / MEAN_GAP_S

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.gap_cv >= 0, "gap_cv", self.gap_cv, "0 or more")

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        after_first = renewal(self.rate_per_s, horizon_s, lambda n: self.gaps(rng, n))
        return np.concatenate([np.zeros(1), after_first]), ()

    def gaps(self, rng: np.random.Generator, n: int) -> Floats:
        """Times between arrivals, seconds; shape (n,)."""
        mean = 1 / self.rate_per_s
        return dacirco_gaps(rng, n, mean_gap_s=mean, sigma_gap_s=self.gap_cv * mean)

    @classmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        return cls(rate_per_s, gap_cv=rng.uniform(0.2, 0.5))


@dataclass(frozen=True)
class Poisson(TrainingFamily):
    """Independent users: exponential gaps, no memory."""

    name: ClassVar[str] = "poisson"

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        return homogeneous(rng, self.rate_per_s, horizon_s), ()

    @classmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        return cls(rate_per_s)


@dataclass(frozen=True)
class DayNight(TrainingFamily):
    """A Poisson process whose rate follows the hours: a sine, with the day compressed.

    The mean rate is ``rate_per_s`` over whole periods.

    Attributes:
        period_s: length of a day and night, seconds.
        amplitude: swing of the rate, as a share of its mean, 0..1.
        phase: where the scenario starts, as a share of the period: 0 rising through the
            mean, 0.25 noon, 0.75 deepest night.
    """

    name: ClassVar[str] = "day-night"

    period_s: float = 7200.0
    amplitude: float = 0.9
    phase: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.period_s > 0, "period_s", self.period_s, "above 0")
        _require(0 <= self.amplitude <= 1, "amplitude", self.amplitude, "in 0..1")

    @property
    def noon_per_s(self) -> float:
        """The largest rate."""
        return self.rate_per_s * (1 + self.amplitude)

    def share_of_noon(self, t: Floats) -> Floats:
        """The rate at a time, as a share of the largest."""
        sine: Floats = np.sin(2 * pi * (t / self.period_s + self.phase))
        return (1 + self.amplitude * sine) / (1 + self.amplitude)

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        return thinned(rng, self.noon_per_s, horizon_s, self.share_of_noon), ()

    @classmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        return cls(
            rate_per_s,
            period_s=_log_uniform(rng, 1200.0, 14400.0),
            amplitude=rng.uniform(0.5, 1.0),
            phase=rng.uniform(),
        )


@dataclass(frozen=True)
class Bursts(TrainingFamily):
    """On/off bursts: a Poisson process modulated by a Markov chain with two states.

    Hidden are whether it starts in a burst (1 or 0), and when each burst or quiet time ends.

    Attributes:
        mean_on_s: mean length of a burst, seconds (exponential).
        mean_off_s: mean length of the quiet time between two, seconds (exponential).
        quiet_share: rate in the quiet time, as a share of that in a burst, 0..1.
    """

    name: ClassVar[str] = "bursts"

    mean_on_s: float = 120.0
    mean_off_s: float = 480.0
    quiet_share: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.mean_on_s > 0, "mean_on_s", self.mean_on_s, "above 0")
        _require(self.mean_off_s > 0, "mean_off_s", self.mean_off_s, "above 0")
        _require(0 <= self.quiet_share <= 1, "quiet_share", self.quiet_share, "in 0..1")

    @property
    def _on_share(self) -> float:
        return self.mean_on_s / (self.mean_on_s + self.mean_off_s)

    def phases(self, *, in_burst: bool) -> tuple[Floats, Floats]:
        """Mean length and arrivals a second of the phase it is in, and of the other."""
        on_share = self._on_share
        burst_rate = self.rate_per_s / (on_share + (1 - on_share) * self.quiet_share)
        means = np.array([self.mean_on_s, self.mean_off_s])
        rates = np.array([burst_rate, burst_rate * self.quiet_share])
        return (means, rates) if in_burst else (means[::-1], rates[::-1])

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        in_burst = rng.random() < self._on_share  # as often as a burst is met
        arrivals, ends = two_phases(rng, *self.phases(in_burst=in_burst), horizon_s)
        return arrivals, (np.array([float(in_burst)]), ends)

    @classmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        return cls(
            rate_per_s,
            mean_on_s=_log_uniform(rng, 30.0, 600.0),
            mean_off_s=_log_uniform(rng, 120.0, 1800.0),
            quiet_share=rng.uniform(0.0, 0.2),
        )


@dataclass(frozen=True)
class FlashCrowd(TrainingFamily):
    """Steady requests, and a link that suddenly everybody follows.

    The rate jumps at a random moment (between 10 % and 80 % of the horizon) and decays
    exponentially. The mean over the horizon, crowd included, is ``rate_per_s``. Hidden are the
    moments.

    Attributes:
        crowds: how many such moments a scenario has.
        peak: height of the jump, as a multiple of the steady rate.
        decay_s: time in which a crowd shrinks to 1/e, seconds.
    """

    name: ClassVar[str] = "flash-crowd"
    first_share: ClassVar[float] = 0.1
    last_share: ClassVar[float] = 0.8

    crowds: int = 1
    peak: float = 10.0
    decay_s: float = 180.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.crowds >= 0, "crowds", self.crowds, "0 or more")
        _require(self.peak >= 0, "peak", self.peak, "0 or more")
        _require(self.decay_s > 0, "decay_s", self.decay_s, "above 0")

    def steady_per_s(self, starts: Floats, horizon_s: float) -> Floats:
        """The rate without the crowds that begin at these times, shape (..., crowds)."""
        # Each crowd's intensity integrates to this over the horizon, per unit of steady rate.
        seen = 1 - np.exp((starts - horizon_s) / self.decay_s)
        weights = self.peak * self.decay_s * seen
        rate: Floats = self.rate_per_s * horizon_s / (horizon_s + weights.sum(axis=-1))
        return rate

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        low, high = self.first_share * horizon_s, self.last_share * horizon_s
        starts = rng.uniform(low, high, self.crowds)
        seen = 1 - np.exp((starts - horizon_s) / self.decay_s)
        weights = self.peak * self.decay_s * seen
        steady = float(self.steady_per_s(starts, horizon_s))
        counts = rng.poisson(steady * weights)
        quantiles = rng.random(int(counts.sum())) * np.repeat(seen, counts)
        followers = np.repeat(starts, counts) - self.decay_s * np.log1p(-quantiles)
        everything = np.concatenate([homogeneous(rng, steady, horizon_s), followers])
        return np.sort(everything), (starts,)

    @classmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        return cls(
            rate_per_s,
            crowds=int(rng.integers(1, 3, endpoint=True)),
            peak=_log_uniform(rng, 4.0, 20.0),
            decay_s=_log_uniform(rng, 60.0, 600.0),
        )


@dataclass(frozen=True)
class HeavyTail(TrainingFamily):
    """Heavy-tailed gaps: the longer nothing came, the longer nothing will come.

    Attributes:
        law: of the gaps: ``lognormal``, or ``pareto`` (the Lomax law, which starts at 0).
        gap_cv: standard deviation of a gap over its mean, above 1 (Poisson has 1).
    """

    name: ClassVar[str] = "heavy-tail"

    law: Literal["lognormal", "pareto"] = "lognormal"
    gap_cv: float = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.law in ("lognormal", "pareto"), "law", self.law, "lognormal or pareto")
        _require(1 < self.gap_cv < inf, "gap_cv", self.gap_cv, "finite and above 1")

    def lognormal(self) -> tuple[float, float]:
        """Mean and deviation of a gap's logarithm under that law."""
        # Mean exp(mu + sigma^2 / 2) and squared cv exp(sigma^2) - 1, solved for both.
        sigma = sqrt(log1p(self.gap_cv**2))
        return log(1 / self.rate_per_s) - sigma**2 / 2, sigma

    def lomax(self) -> tuple[float, float]:
        """Shape and scale (seconds) of a gap under that law."""
        # Mean scale / (shape - 1), squared cv shape / (shape - 2).
        squared = self.gap_cv**2
        shape = 2 * squared / (squared - 1)
        return shape, 1 / self.rate_per_s * (shape - 1)

    def gaps(self, rng: np.random.Generator, n: int) -> Floats:
        """Times between arrivals, seconds; shape (n,)."""
        if self.law == "lognormal":
            return rng.lognormal(*self.lognormal(), n)
        shape, scale = self.lomax()
        return scale * rng.pareto(shape, n)

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        return renewal(self.rate_per_s, horizon_s, lambda n: self.gaps(rng, n)), ()

    @classmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        return cls(
            rate_per_s,
            law="lognormal" if rng.random() < 0.5 else "pareto",
            gap_cv=rng.uniform(1.5, 4.0),
        )


@dataclass(frozen=True)
class Ramp(TrainingFamily):
    """A Poisson process whose rate rises or falls steadily over the horizon.

    Attributes:
        start_share: rate at the start, as a share of the mean, 0..2; at the end it is 2
            less that: below 1 rises, above 1 falls.
    """

    name: ClassVar[str] = "ramp"

    start_share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 <= self.start_share <= 2, "start_share", self.start_share, "in 0..2")

    @property
    def peak_per_s(self) -> float:
        """The largest rate."""
        return self.rate_per_s * max(self.start_share, 2 - self.start_share)

    def share_of_peak(self, t: Floats, horizon_s: float) -> Floats:
        """The rate at a time, as a share of the largest."""
        start, end = self.start_share, 2 - self.start_share
        return (start + (end - start) * t / horizon_s) / max(start, end)

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        share = partial(self.share_of_peak, horizon_s=horizon_s)
        return thinned(rng, self.peak_per_s, horizon_s, share), ()

    @classmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        return cls(rate_per_s, start_share=rng.uniform(0.0, 2.0))


@dataclass(frozen=True)
class NearIdle(TrainingFamily):
    """Hardly anybody there: rare visits, each with a request or a few, minutes apart.

    Hidden are when each visit's first and last request come.

    Attributes:
        visit_jobs: mean number of requests of a visit, 1 or more (geometric).
        think_s: mean time between the requests of a visit, seconds (exponential).
    """

    name: ClassVar[str] = "near-idle"
    own_load_range: ClassVar[tuple[float, float] | None] = (0.003, 0.03)

    visit_jobs: float = 1.5
    think_s: float = 90.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.visit_jobs >= 1, "visit_jobs", self.visit_jobs, "1 or more")
        _require(self.think_s >= 0, "think_s", self.think_s, "0 or more")

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        return clusters(rng, self.rate_per_s, self.visit_jobs, self.think_s, horizon_s)

    @classmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        return cls(
            rate_per_s,
            visit_jobs=rng.uniform(1.0, 3.0),
            think_s=_log_uniform(rng, 20.0, 300.0),
        )


@dataclass(frozen=True)
class Cascades(TrainingFamily):
    """A link goes round: each request leads to others, a little later (self-exciting).

    A Hawkes process with an exponential kernel, as clusters (Hawkes and Oakes 1974): over long
    windows the variance of the counts is ``cascade_jobs ** 2`` times their mean. Hidden is how much
    of the requests before the start is left: the sum of exp(-age / `delay_s`).

    Attributes:
        cascade_jobs: mean number of requests of a cascade, the first one included, 1 or more.
        delay_s: mean time between a request and one that it leads to, seconds (exponential).
    """

    name: ClassVar[str] = "cascades"

    cascade_jobs: float = 6.0
    delay_s: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.cascade_jobs >= 1, "cascade_jobs", self.cascade_jobs, "1 or more")
        _require(self.delay_s >= 0, "delay_s", self.delay_s, "0 or more")

    @property
    def led_to(self) -> float:
        """Mean number of requests that one leads to directly."""
        return 1 - 1 / self.cascade_jobs

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        # Cascades that began before are still going on at the start.
        before_s = 10.0 * self.cascade_jobs * self.delay_s
        firsts = self.rate_per_s / self.cascade_jobs
        generation = homogeneous(rng, firsts, before_s + horizon_s) - before_s
        everything = np.sort(descendants(rng, generation, self.led_to, self.delay_s, horizon_s))
        begin = int(np.searchsorted(everything, 0.0))
        return everything[begin:], (np.array([self.left_of(everything[:begin], 0.0)]),)

    def left_of(self, arrivals: Floats, now_s: float) -> float:
        """How much of earlier requests is left at a time: each is 1 when it comes, and decays."""
        return float(np.exp((arrivals - now_s) / self.delay_s).sum()) if self.delay_s else 0.0

    @classmethod
    def randomised(cls, rng: np.random.Generator, rate_per_s: float) -> Self:
        return cls(
            rate_per_s,
            cascade_jobs=_log_uniform(rng, 2.0, 30.0),
            delay_s=_log_uniform(rng, 0.2, 20.0),
        )


@dataclass(frozen=True)
class Batches(ArrivalFamily):
    """Playlists: users who upload several movies together.

    Hidden are when each playlist's first and last request come.

    Attributes:
        batch_jobs: mean number of requests of a playlist, 1 or more (geometric).
        gap_s: mean time between two requests of a playlist, seconds (exponential).
    """

    name: ClassVar[str] = "batches"

    batch_jobs: float = 8.0
    gap_s: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.batch_jobs >= 1, "batch_jobs", self.batch_jobs, "1 or more")
        _require(self.gap_s >= 0, "gap_s", self.gap_s, "0 or more")

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        return clusters(rng, self.rate_per_s, self.batch_jobs, self.gap_s, horizon_s)


@dataclass(frozen=True)
class Regular(ArrivalFamily):
    """A cron job: a fixed number of requests every so often, each a little early or late.

    The time between two ticks is ``tick_jobs / rate_per_s``. Hidden are of each request its tick
    and when it comes.

    Attributes:
        tick_jobs: requests of a tick.
        jitter_s: standard deviation of a request's distance from its tick, seconds.
    """

    name: ClassVar[str] = "regular"

    tick_jobs: int = 1
    jitter_s: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.tick_jobs >= 1, "tick_jobs", self.tick_jobs, "1 or more")
        _require(self.jitter_s >= 0, "jitter_s", self.jitter_s, "0 or more")

    def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
        period = self.tick_jobs / self.rate_per_s
        ticks = np.repeat(np.arange(rng.uniform(0.0, period), horizon_s, period), self.tick_jobs)
        arrivals = ticks + rng.normal(0.0, self.jitter_s, len(ticks))
        within = arrivals[(arrivals >= 0) & (arrivals < horizon_s)]
        return np.sort(within), (ticks, arrivals)


_FamilyType = TypeVar("_FamilyType", bound=type[ArrivalFamily])


class _Registry(dict[str, _FamilyType]):
    """Families by name; an unknown name is the user's error."""

    def __missing__(self, name: str) -> NoReturn:
        raise UnknownNameError("arrival family", name, self)


def _registry(*families: _FamilyType) -> Mapping[str, _FamilyType]:
    return MappingProxyType(_Registry({family.name: family for family in families}))


TRAINING_FAMILIES: Final[Mapping[str, type[TrainingFamily]]] = _registry(
    DaCirco, Poisson, DayNight, Bursts, FlashCrowd, HeavyTail, Ramp, NearIdle, Cascades
)
HELD_OUT_FAMILIES: Final[Mapping[str, type[ArrivalFamily]]] = _registry(Batches, Regular)
FAMILIES: Final[Mapping[str, type[ArrivalFamily]]] = _registry(
    *TRAINING_FAMILIES.values(), *HELD_OUT_FAMILIES.values()
)
TRAINING_LOADS: Final = (0.03, 1.2)


def draw_requests(
    family: ArrivalFamily, rng: np.random.Generator, catalog: Catalog, horizon_s: float
) -> list[Request]:
    """The requests of one scenario: arrivals of the family, marks of the DaCirco law.

    Args:
        family: the arrival process, with its rate and shape.
        rng: source of chance; the same state gives the same requests.
        catalog: the movies that are asked for.
        horizon_s: no request comes after this time, seconds.

    Returns:
        Requests in order of arrival, times rounded to milliseconds; may be empty.
    """
    return attach_marks(rng, catalog, family.sample(rng, horizon_s))


def random_family(
    rng: np.random.Generator,
    *,
    cores: float,
    mean_core_s: float,
    loads: tuple[float, float] = TRAINING_LOADS,
    families: Mapping[str, type[TrainingFamily]] = TRAINING_FAMILIES,
) -> TrainingFamily:
    """A training family with random shape and load, for domain randomisation.

    Args:
        rng: source of chance.
        cores: physical cores of the cluster.
        mean_core_s: mean work of a request (see `env.load.mean_core_seconds`).
        loads: smallest and largest offered load, drawn log-uniformly; a family with an
            ``own_load_range`` (near-idle) keeps to that instead.
        families: those to choose from, equally likely.
    """
    choices = list(families.values())
    family = choices[int(rng.integers(len(choices)))]
    load = _log_uniform(rng, *(family.own_load_range or loads))
    return family.randomised(rng, rate_for_load(load, cores, mean_core_s))
