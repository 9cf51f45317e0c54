"""A future that is drawn anew has the law of the family, given what has happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from env.catalog import load_catalog
from env.continuation import ArrivalSource, Moment, draw_with_source, normal_above, resume
from env.families import (
    FAMILIES,
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
    draw_requests,
)

stats = pytest.importorskip("scipy.stats")

HORIZON_S = 600.0
NOW_S = 250.0
LAWS: tuple[ArrivalFamily, ...] = (
    Poisson(0.2),
    DaCirco(0.2),
    DaCirco(2.0, gap_cv=1.0),  # many gaps at the least
    DayNight(0.2, period_s=400.0, amplitude=1.0, phase=0.1),
    Ramp(0.2, start_share=0.1),
    Bursts(0.2, mean_on_s=60.0, mean_off_s=120.0, quiet_share=0.02),
    FlashCrowd(0.3, crowds=1, peak=8.0, decay_s=100.0),
    FlashCrowd(0.3, crowds=3, peak=8.0, decay_s=200.0),
    HeavyTail(0.2, law="lognormal", gap_cv=2.0),
    HeavyTail(0.2, law="pareto", gap_cv=3.0),
    NearIdle(0.05, visit_jobs=4.0, think_s=30.0),
    Batches(0.3, batch_jobs=8.0, gap_s=10.0),
    Cascades(0.3, cascade_jobs=6.0, delay_s=15.0),
    Regular(0.2, tick_jobs=3, jitter_s=20.0),
)


def named(family: ArrivalFamily) -> str:
    return f"{family.name}-{LAWS.index(family)}"


def figures(arrivals: Floats) -> list[float]:
    """What the law of a whole path shows at its seam, and around it."""
    before = float(((arrivals > NOW_S - 40.0) & (arrivals <= NOW_S)).sum())
    soon = float(((arrivals > NOW_S) & (arrivals <= NOW_S + 40.0)).sum())
    later = arrivals[arrivals > NOW_S]
    past = arrivals[arrivals <= NOW_S]
    over = (past[-1] if len(past) else 0.0, later[0] if len(later) else HORIZON_S)
    counts = np.histogram(later, bins=10, range=(NOW_S, HORIZON_S))[0]
    return [
        soon,
        before + soon,
        before * soon,
        over[1] - over[0],
        over[1] - NOW_S,
        float(len(later)),
        float(len(past) * len(later)),
        float(counts.var() / max(counts.mean(), 0.1)),
    ]


def paths(family: ArrivalFamily, n: int, seed: int, hidden: Any = None) -> tuple[Any, Any]:
    """Figures of fresh episodes, and of others whose future is drawn anew."""
    fresh, anew = [], []
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        fresh.append(figures(family.sample(rng, HORIZON_S)))
        arrivals, own = family.draw(rng, HORIZON_S)
        past = arrivals[arrivals <= NOW_S]
        own = hidden(own) if hidden else own
        later = resume(family, Moment(rng, own, past, NOW_S, HORIZON_S, HORIZON_S))
        later = later[later < HORIZON_S]
        assert (later >= NOW_S).all()
        anew.append(figures(np.sort(np.concatenate((past, later)))))
    return np.array(fresh), np.array(anew)


def least_p(fresh: Floats, anew: Floats) -> float:
    return min(float(stats.ks_2samp(a, b).pvalue) for a, b in zip(fresh.T, anew.T, strict=True))


@pytest.mark.parametrize("family", LAWS, ids=named)
def test_a_path_whose_future_is_drawn_anew_has_the_law_of_the_family(family: ArrivalFamily) -> None:
    assert least_p(*paths(family, 500, seed=1)) > 1e-4


@pytest.mark.parametrize(
    ("family", "forgets"),
    [
        (LAWS[5], lambda hidden: (1.0 - hidden[0], hidden[1])),
        (LAWS[10], lambda hidden: (hidden[0], hidden[0])),
        (LAWS[6], lambda hidden: (hidden[0] + HORIZON_S,)),
    ],
)
def test_without_the_hidden_state_the_law_is_another(family: ArrivalFamily, forgets: Any) -> None:
    """The test above would see it."""
    assert least_p(*paths(family, 500, seed=1, hidden=forgets)) < 1e-6


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_go_on_and_brings_nothing_outside(name: str) -> None:
    family, catalog = FAMILIES[name](0.3), load_catalog()
    requests, source = draw_with_source(family, np.random.default_rng(5), catalog, 900.0)
    assert requests == draw_requests(family, np.random.default_rng(5), catalog, 900.0)
    times = np.array([request.arrival_s for request in requests])
    for now, until in ((0.0, 900.0), (300.0, 450.0), (899.0, 5000.0), (900.0, 950.0)):
        past = times[times <= now]
        drawn = [source.after(np.random.default_rng(seed), past, now, until) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1]
        assert drawn[0] != drawn[2] or not drawn[0] or until - now < 2.0
        later = [request.arrival_s for request in drawn[0]]
        assert later == sorted(later)
        assert all(now <= t <= min(until, 900.0) for t in later)
        if now >= 900.0:
            assert not later


def test_the_phase_of_a_burst_is_kept_and_then_forgotten() -> None:
    family = Bursts(0.5, mean_on_s=100.0, mean_off_s=100.0, quiet_share=0.0)
    ends = np.array([200.0, 500.0])
    for first, expected in ((1.0, 0.0), (0.0, 1.0)):
        source = ArrivalSource(family, (np.array([first]), ends), 1e6, load_catalog())
        counts = [
            len(source.after(np.random.default_rng(seed), np.empty(0), 300.0, 310.0))
            for seed in range(300)
        ]
        # In a burst 10 requests come in 10 s; the phase seldom changes meanwhile.
        assert np.mean(counts) == pytest.approx(10.0 * expected, abs=0.8)


def test_the_normal_tail() -> None:
    rng = np.random.default_rng(0)
    for z in (-9.0, 0.0, 2.0, 8.0, 25.0):
        found = np.array([normal_above(rng, z) for _ in range(2000)])
        assert (found >= z).all()
        uniform = 1.0 - stats.norm.sf(found) / stats.norm.sf(z)
        assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    assert 50.0 < normal_above(rng, 50.0) < 51.0


def test_a_family_without_a_continuation_is_named() -> None:
    @dataclass(frozen=True)
    class Never(ArrivalFamily):
        name: ClassVar[str] = "never"

        def draw(self, rng: np.random.Generator, horizon_s: float) -> tuple[Floats, Hidden]:
            return np.empty(0), ()

    rng = np.random.default_rng(0)
    with pytest.raises(NotImplementedError, match="'never'"):
        resume(Never(), Moment(rng, (), np.empty(0), 0.0, 1.0, 1.0))
