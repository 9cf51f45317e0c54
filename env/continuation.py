"""Another future of the same arrivals: from a moment on they are drawn anew.

What came until then stays. What comes later is drawn from the law that it has given the past and
the hidden state of the generator at that moment (the phase of a burst, the visits that are not
over). So an episode whose future was drawn anew has the law of any other episode of its family.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from math import erfc, exp, log, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from env.catalog import Catalog
from env.families import (
    ArrivalFamily,
    Batches,
    Bursts,
    Cascades,
    DaCirco,
    DayNight,
    FlashCrowd,
    Floats,
    HeavyTail,
    Hidden,
    NearIdle,
    Poisson,
    Ramp,
    Regular,
    clusters,
    descendants,
    homogeneous,
    members,
    renewal,
    thinned,
    two_phases,
)
from env.generator import MIN_GAP_S, attach_marks
from env.jobs import Request

Rng = np.random.Generator

_NORMAL: Final = NormalDist()
_FAR: Final = 30.0
"""So many deviations beyond its mean a normal variable's tail is that of an exponential one."""
_CANDIDATES: Final = 1024
_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalSource:
    """Where the requests of an episode came from.

    Attributes:
        family: the arrival process.
        hidden: of its draw, see `ArrivalFamily.draw`.
        horizon_s: that it was drawn for, seconds.
        catalog: the movies that are asked for.
    """

    family: ArrivalFamily
    hidden: Hidden
    horizon_s: float
    catalog: Catalog

    def after(self, rng: Rng, past_s: Floats, now_s: float, until_s: float) -> list[Request]:
        """Requests that might come next; they ask for what any request asks for.

        Args:
            rng: source of chance.
            past_s: when the requests until now arrived, seconds, ascending.
            now_s: the present, seconds.
            until_s: no later ones are drawn; nor are there any after the horizon.

        Returns:
            In order of arrival, times rounded to milliseconds but not before now.
        """
        until = min(until_s, self.horizon_s)
        if not now_s < until:
            return []
        drawn = resume(
            self.family,
            Moment(rng, self.hidden, past_s, now_s, until, self.horizon_s),
        )
        requests = attach_marks(rng, self.catalog, np.sort(drawn[drawn < until]))
        # A time may have been rounded into the past.
        return [replace(one, arrival_s=max(one.arrival_s, now_s)) for one in requests]


def draw_with_source(
    family: ArrivalFamily, rng: Rng, catalog: Catalog, horizon_s: float
) -> tuple[list[Request], ArrivalSource]:
    """As `env.families.draw_requests`, and what it takes to draw another future of them."""
    arrivals, hidden = family.draw(rng, horizon_s)
    return attach_marks(rng, catalog, arrivals), ArrivalSource(family, hidden, horizon_s, catalog)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a draw.

    Attributes:
        rng: source of chance.
        hidden: see `ArrivalFamily.draw`.
        past_s: arrivals until now, ascending.
        now_s: the present.
        until_s: what comes later is not wanted; above `now_s`.
        horizon_s: of the draw.
    """

    rng: Rng
    hidden: Hidden
    past_s: Floats
    now_s: float
    until_s: float
    horizon_s: float

    @property
    def length_s(self) -> float:
        """How long the future is that is wanted."""
        return self.until_s - self.now_s


@singledispatch
def resume(family: ArrivalFamily, at: Moment) -> Floats:
    """Arrivals after the moment, in any order; some may come after its `until_s`.

    Raises:
        NotImplementedError: nothing is registered for the family.
    """
    raise NotImplementedError(
        f"no continuation of the arrival family {family.name!r}: register one in env.continuation"
    )


@resume.register
def _(family: Poisson, at: Moment) -> Floats:
    return at.now_s + homogeneous(at.rng, family.rate_per_s, at.length_s)


@resume.register
def _(family: DayNight, at: Moment) -> Floats:
    return at.now_s + thinned(
        at.rng, family.noon_per_s, at.length_s, lambda t: family.share_of_noon(at.now_s + t)
    )


@resume.register
def _(family: Ramp, at: Moment) -> Floats:
    return at.now_s + thinned(
        at.rng,
        family.peak_per_s,
        at.length_s,
        lambda t: family.share_of_peak(at.now_s + t, at.horizon_s),
    )


@resume.register
def _(family: Bursts, at: Moment) -> Floats:
    """The rest of a phase is as long as a whole one."""
    first, ends = at.hidden
    passed = int(np.searchsorted(ends, at.now_s, side="right"))
    in_burst = bool(first[0]) == (passed % 2 == 0)
    return at.now_s + two_phases(at.rng, *family.phases(in_burst=in_burst), at.length_s)[0]


@resume.register
def _(family: DaCirco, at: Moment) -> Floats:
    """The gap that has begun is longer than it is old."""
    if not len(at.past_s):
        return family.sample(at.rng, at.until_s)
    mean = 1 / family.rate_per_s
    sigma = family.gap_cv * mean
    last = float(at.past_s[-1])
    age = at.now_s - last
    if sigma == 0.0 or age < MIN_GAP_S:
        gap = float(family.gaps(at.rng, 1)[0])
    else:
        gap = mean + sigma * normal_above(at.rng, (age - mean) / sigma)
    return _renewed(family, at, last + gap)


@resume.register
def _(family: HeavyTail, at: Moment) -> Floats:
    last = float(at.past_s[-1]) if len(at.past_s) else 0.0
    age = at.now_s - last
    if family.law == "lognormal":
        mu, sigma = family.lognormal()
        beyond = normal_above(at.rng, (log(age) - mu) / sigma) if age > 0.0 else None
        gap = exp(mu + sigma * (at.rng.standard_normal() if beyond is None else beyond))
    else:
        shape, scale = family.lomax()
        gap = age + (scale + age) * float(at.rng.pareto(shape))
    return _renewed(family, at, last + gap)


def _renewed(family: DaCirco | HeavyTail, at: Moment, following: float) -> Floats:
    """The next arrival, which an early rounding must not put into the past, and those after it."""
    following = max(following, at.now_s)
    if following >= at.until_s:
        return np.empty(0)
    later = renewal(family.rate_per_s, at.until_s - following, lambda n: family.gaps(at.rng, n))
    return np.concatenate(([following], following + later))


@resume.register
def _(family: NearIdle, at: Moment) -> Floats:
    return _clustered(family.rate_per_s, family.visit_jobs, family.think_s, at)


@resume.register
def _(family: Batches, at: Moment) -> Floats:
    return _clustered(family.rate_per_s, family.batch_jobs, family.gap_s, at)


def _clustered(rate_per_s: float, mean_size: float, gap_s: float, at: Moment) -> Floats:
    """What is left of a geometric number is geometric, and of an exponential time exponential."""
    starts, lasts = at.hidden
    n = int(((starts <= at.now_s) & (lasts > at.now_s)).sum())
    going, _ = members(at.rng, at.rng.exponential(gap_s, n), mean_size, gap_s)
    new, _ = clusters(at.rng, rate_per_s, mean_size, gap_s, at.length_s)
    return at.now_s + np.concatenate((going, new))


@resume.register
def _(family: Cascades, at: Moment) -> Floats:
    """What past requests still lead to is Poisson: its mean is what is left of them."""
    before = float(at.hidden[0][0])
    left = family.left_of(at.past_s, at.now_s)
    if family.delay_s:
        left += before * exp(-at.now_s / family.delay_s)
    n = at.rng.poisson(family.led_to * left)
    next_ones = at.now_s + at.rng.exponential(family.delay_s, n)
    firsts = at.now_s + homogeneous(at.rng, family.rate_per_s / family.cascade_jobs, at.length_s)
    return descendants(
        at.rng, np.concatenate((next_ones, firsts)), family.led_to, family.delay_s, at.until_s
    )


@resume.register
def _(family: FlashCrowd, at: Moment) -> Floats:
    """Later crowds come at other moments; the steady rate follows from all of them."""
    moments = at.hidden[0]
    starts = _crowds(family, moments[moments <= at.now_s], at)
    steady = float(family.steady_per_s(starts, at.horizon_s))
    begin = np.maximum(starts, at.now_s)
    wanted = begin < at.until_s
    starts, begin = starts[wanted], begin[wanted]
    share = -np.expm1((begin - at.until_s) / family.decay_s)
    weights = family.peak * family.decay_s * np.exp((starts - begin) / family.decay_s) * share
    counts = at.rng.poisson(steady * weights)
    quantiles = at.rng.random(int(counts.sum())) * np.repeat(share, counts)
    followers = np.repeat(begin, counts) - family.decay_s * np.log1p(-quantiles)
    return np.concatenate((at.now_s + homogeneous(at.rng, steady, at.length_s), followers))


def _crowds(family: FlashCrowd, past: Floats, at: Moment) -> Floats:
    """When the crowds come: those of the past, and later ones given the arrivals so far.

    The later moments are uniform, but weighed by how likely the steady rate that they stand for
    makes the past (rejection sampling).
    """
    later = family.crowds - len(past)
    if later == 0:
        return past
    low = max(at.now_s, family.first_share * at.horizon_s)
    high = family.last_share * at.horizon_s
    decayed = -np.expm1((past - at.now_s) / family.decay_s)
    exposure = at.now_s + float((family.peak * family.decay_s * decayed).sum())
    n = len(at.past_s)
    bounds = [
        float(family.steady_per_s(np.concatenate((past, np.full(later, moment))), at.horizon_s))
        for moment in (low, high)
    ]
    likeliest = min(max(n / exposure if exposure else max(bounds), min(bounds)), max(bounds))
    most = n * log(likeliest) - likeliest * exposure
    for _ in range(_ATTEMPTS):
        candidates = at.rng.uniform(low, high, (_CANDIDATES, later))
        starts = np.hstack((np.tile(past, (_CANDIDATES, 1)), candidates))
        steady = family.steady_per_s(starts, at.horizon_s)
        likelihood = n * np.log(steady) - steady * exposure - most
        accepted = np.flatnonzero(np.log1p(-at.rng.random(_CANDIDATES)) < likelihood)
        if len(accepted):
            break
    # None in a hundred thousand: the likeliest of them stands for what was meant.
    chosen: Floats = starts[accepted[0] if len(accepted) else int(likelihood.argmax())]
    return chosen


@resume.register
def _(family: Regular, at: Moment) -> Floats:
    """Whoever has not come yet comes later than now."""
    ticks, arrivals = at.hidden
    ticks = ticks[arrivals > at.now_s]
    drawn = ticks + at.rng.normal(0.0, family.jitter_s, len(ticks))
    for k in np.flatnonzero(drawn <= at.now_s).tolist():
        beyond = normal_above(at.rng, (at.now_s - float(ticks[k])) / family.jitter_s)
        drawn[k] = float(ticks[k]) + family.jitter_s * beyond
    return drawn


def normal_above(rng: Rng, z: float) -> float:
    """A standard normal variable, given that it is above `z`."""
    u = 1.0 - float(rng.random())
    if z > _FAR:
        return z - log(u) / z
    tail = min(u * 0.5 * erfc(z / sqrt(2.0)), 1.0 - 2.0**-53)
    return max(z, -_NORMAL.inv_cdf(tail))
