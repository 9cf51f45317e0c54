"""Arrival families: their mean rate is the asked one and their shape is what they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from env.catalog import load_catalog
from env.errors import UnknownNameError
from env.families import (
    FAMILIES,
    HELD_OUT_FAMILIES,
    TRAINING_FAMILIES,
    TRAINING_LOADS,
    ArrivalFamily,
    Batches,
    Bursts,
    Cascades,
    DaCirco,
    DayNight,
    FlashCrowd,
    HeavyTail,
    NearIdle,
    Poisson,
    Ramp,
    Regular,
    draw_requests,
    random_family,
)

SIGNIFICANCE = 1e-3
RATE = 0.2
Floats = NDArray[np.float64]

# Every family, with a horizon of whole periods so that its mean rate is exact.
SHAPES: list[ArrivalFamily] = [
    DaCirco(RATE),
    Poisson(RATE),
    DayNight(RATE, period_s=2000.0),
    Bursts(RATE, mean_on_s=20.0, mean_off_s=80.0),
    FlashCrowd(RATE),
    FlashCrowd(RATE, crowds=3, peak=20.0, decay_s=2000.0),
    HeavyTail(RATE),
    HeavyTail(RATE, law="pareto", gap_cv=1.5),
    Ramp(RATE),
    Ramp(RATE, start_share=1.7),
    NearIdle(RATE),
    Cascades(RATE),
    Cascades(RATE, cascade_jobs=3.0, delay_s=50.0),
    Batches(RATE),
    Regular(RATE),
    Regular(RATE, tick_jobs=10),
]


def gaps_of(family: ArrivalFamily, horizon_s: float, seed: int = 0) -> Floats:
    return np.diff(family.sample(np.random.default_rng(seed), horizon_s))


def cv(values: Floats) -> float:
    return float(values.std() / values.mean())


def dispersion(family: ArrivalFamily, horizon_s: float, window_s: float) -> float:
    """Variance of the counts in windows over their mean: 1 for Poisson."""
    arrivals = family.sample(np.random.default_rng(0), horizon_s)
    counts, _ = np.histogram(arrivals, np.arange(0.0, horizon_s + 1, window_s))
    return float(counts.var() / counts.mean())


def test_the_registry_holds_nine_training_and_two_held_out_families() -> None:
    assert set(HELD_OUT_FAMILIES) == {"batches", "regular"}
    assert len(TRAINING_FAMILIES) == 9
    assert not set(TRAINING_FAMILIES) & set(HELD_OUT_FAMILIES)
    assert set(FAMILIES) == set(TRAINING_FAMILIES) | set(HELD_OUT_FAMILIES)
    assert all(name == family.name for name, family in FAMILIES.items())
    assert {type(family) for family in SHAPES} == set(FAMILIES.values())


def test_an_unknown_family_suggests_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'day-night'"):
        FAMILIES["daynight"]


@pytest.mark.parametrize("family", SHAPES, ids=repr)
def test_the_mean_rate_is_the_asked_one(family: ArrivalFamily) -> None:
    counts = [len(family.sample(np.random.default_rng(seed), 20_000.0)) for seed in range(60)]
    expected = RATE * 20_000.0
    spread = max(float(np.std(counts, ddof=1)), 1.0) / np.sqrt(len(counts))
    # A renewal process that starts with a gap and a cluster cut at the end are off by a few.
    assert float(np.mean(counts)) == pytest.approx(expected, abs=4 * spread + 10)


@pytest.mark.parametrize("family", SHAPES, ids=repr)
@given(seed=st.integers(0, 2**32 - 1), horizon_s=st.floats(0.01, 5000.0))
def test_arrivals_are_sorted_and_within_the_horizon(
    family: ArrivalFamily, seed: int, horizon_s: float
) -> None:
    arrivals = family.sample(np.random.default_rng(seed), horizon_s)
    assert arrivals.dtype == np.float64
    assert np.all(np.diff(arrivals) >= 0)
    assert np.all((arrivals >= 0) & (arrivals <= horizon_s))
    again = family.sample(np.random.default_rng(seed), horizon_s)
    assert np.array_equal(arrivals, again)


def test_dacirco_at_its_own_rate_is_the_generator() -> None:
    arrivals = DaCirco().sample(np.random.default_rng(2), 60_000.0)
    assert arrivals[0] == 0.0
    gaps = np.diff(arrivals)
    assert gaps.min() >= 0.1 - 1e-9
    law = stats.truncnorm((0.1 - 6) / 2, np.inf, loc=6, scale=2)
    assert stats.kstest(gaps[gaps > 0.1001], law.cdf).pvalue > SIGNIFICANCE


def test_poisson_gaps_are_exponential() -> None:
    gaps = gaps_of(Poisson(RATE), 50_000.0)
    assert stats.kstest(gaps, stats.expon(scale=1 / RATE).cdf).pvalue > SIGNIFICANCE
    assert dispersion(Poisson(RATE), 100_000.0, 100.0) == pytest.approx(1.0, abs=0.15)


def test_day_and_night_follow_the_sine() -> None:
    family = DayNight(RATE, period_s=1000.0, amplitude=0.8, phase=0.0)
    arrivals = family.sample(np.random.default_rng(3), 100_000.0)
    counts, edges = np.histogram(arrivals % 1000.0, 20, (0.0, 1000.0))
    cumulative = edges / 1000.0 - 0.8 / (2 * np.pi) * np.cos(2 * np.pi * edges / 1000.0)
    expected = len(arrivals) * np.diff(cumulative)
    assert stats.chisquare(counts, expected).pvalue > SIGNIFICANCE


def test_the_day_starts_where_the_phase_says() -> None:
    night = DayNight(RATE, period_s=10_000.0, amplitude=1.0, phase=0.75)
    noon = DayNight(RATE, period_s=10_000.0, amplitude=1.0, phase=0.25)
    first_hour = [len(f.sample(np.random.default_rng(0), 1000.0)) for f in (night, noon)]
    assert first_hour[0] < 0.2 * RATE * 1000
    assert first_hour[1] > 1.5 * RATE * 1000


def test_bursts_are_dense_and_the_quiet_between_is_quiet() -> None:
    family = Bursts(RATE, mean_on_s=100.0, mean_off_s=900.0, quiet_share=0.0)
    gaps = gaps_of(family, 200_000.0)
    assert cv(gaps) > 3.0
    assert dispersion(family, 200_000.0, 100.0) > 20.0
    # Within a burst the rate is ten times the mean.
    assert float(np.median(gaps)) == pytest.approx(np.log(2) / (10 * RATE), rel=0.1)


def test_bursts_of_equal_rates_are_poisson() -> None:
    gaps = gaps_of(Bursts(RATE, quiet_share=1.0), 50_000.0)
    assert stats.kstest(gaps, stats.expon(scale=1 / RATE).cdf).pvalue > SIGNIFICANCE


def test_bursts_start_quiet_as_often_as_it_is_quiet() -> None:
    family = Bursts(1.0, mean_on_s=1e6, mean_off_s=3e6, quiet_share=0.0)
    busy = [len(family.sample(np.random.default_rng(seed), 100.0)) > 0 for seed in range(400)]
    assert stats.binomtest(sum(busy), len(busy), 0.25).pvalue > SIGNIFICANCE


def test_cascades_spread_as_hawkes_says() -> None:
    """Over long windows the index of dispersion is 1 / (1 - n)**2, n requests led to by each."""
    family = Cascades(RATE, cascade_jobs=3.0, delay_s=2.0)
    assert dispersion(family, 1_000_000.0, 500.0) == pytest.approx(9.0, rel=0.12)


def test_cascades_of_one_are_poisson() -> None:
    gaps = gaps_of(Cascades(RATE, cascade_jobs=1.0), 50_000.0)
    assert stats.kstest(gaps, stats.expon(scale=1 / RATE).cdf).pvalue > SIGNIFICANCE


def test_cascades_are_going_on_at_the_start() -> None:
    family = Cascades(RATE, cascade_jobs=10.0, delay_s=20.0)
    counts = [len(family.sample(np.random.default_rng(seed), 100.0)) for seed in range(2000)]
    spread = float(np.std(counts)) / np.sqrt(len(counts))
    assert float(np.mean(counts)) == pytest.approx(RATE * 100.0, abs=4 * spread)


def test_a_flash_crowd_comes_at_once_and_fades() -> None:
    family = FlashCrowd(RATE, peak=30.0, decay_s=100.0)
    arrivals = family.sample(np.random.default_rng(4), 4000.0)
    counts, edges = np.histogram(arrivals, np.arange(0.0, 4001.0, 50.0))
    top = int(counts.argmax())
    assert 300.0 <= edges[top] <= 3300.0
    usual = np.median(counts)
    assert counts[top] > 8 * usual
    assert counts[max(top - 2, 0)] < 4 * usual
    assert np.all(counts[top + 12 :] < 4 * usual)


def test_without_crowds_the_flash_crowd_is_poisson() -> None:
    gaps = gaps_of(FlashCrowd(RATE, crowds=0), 50_000.0)
    assert stats.kstest(gaps, stats.expon(scale=1 / RATE).cdf).pvalue > SIGNIFICANCE


@pytest.mark.parametrize(
    ("family", "law"),
    [
        (
            HeavyTail(RATE, gap_cv=2.5),
            stats.lognorm(s=np.sqrt(np.log(7.25)), scale=5 / np.sqrt(7.25)),
        ),
        (
            HeavyTail(RATE, law="pareto", gap_cv=2.0),
            stats.lomax(8 / 3, scale=5 * (8 / 3 - 1)),
        ),
    ],
)
def test_heavy_tailed_gaps_follow_their_law(
    family: HeavyTail, law: stats.distributions.rv_frozen
) -> None:
    assert law.mean() == pytest.approx(1 / RATE)
    assert law.std() / law.mean() == pytest.approx(family.gap_cv)
    gaps = gaps_of(family, 100_000.0, seed=5)
    assert stats.kstest(gaps, law.cdf).pvalue > SIGNIFICANCE
    assert cv(gaps) > 1.3


@pytest.mark.parametrize("law", ["lognormal", "pareto"])
def test_the_longer_nothing_came_the_longer_nothing_will(law: str) -> None:
    gaps = gaps_of(HeavyTail(RATE, law=law, gap_cv=3.0), 200_000.0)  # type: ignore[arg-type]
    threshold = float(np.quantile(gaps, 0.9))
    residual = float((gaps[gaps > threshold] - threshold).mean())
    assert residual > 2 * gaps.mean()


@pytest.mark.parametrize(("start", "rises"), [(0.1, True), (1.9, False)])
def test_a_ramp_is_linear(start: float, rises: bool) -> None:
    arrivals = Ramp(RATE, start_share=start).sample(np.random.default_rng(6), 50_000.0)
    counts, edges = np.histogram(arrivals, 20, (0.0, 50_000.0))
    middle = (edges[1:] + edges[:-1]) / 2 / 50_000.0
    expected = start + (2 - 2 * start) * middle
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > SIGNIFICANCE
    assert (counts[-1] > counts[0]) == rises


def test_near_idle_is_long_silence_and_short_visits() -> None:
    family = NearIdle(0.001, visit_jobs=2.0, think_s=30.0)
    gaps = gaps_of(family, 3e6)
    within = gaps < 200.0
    assert within.mean() == pytest.approx(0.5 + 0.5 * (1 - np.exp(-0.1)), abs=0.05)
    assert cv(gaps) > 1.2


def test_batches_come_together_and_their_sizes_are_geometric() -> None:
    family = Batches(0.01, batch_jobs=8.0, gap_s=0.5)
    gaps = gaps_of(family, 2e6)
    sizes = np.diff(np.flatnonzero(np.concatenate([[True], gaps > 20.0, [True]])))
    assert sizes.mean() == pytest.approx(8.0, rel=0.1)
    assert sizes.std() == pytest.approx(np.sqrt(8 * 7), rel=0.15)
    assert float(np.median(gaps)) < 1.0


def test_regular_requests_keep_their_period() -> None:
    gaps = gaps_of(Regular(0.01, jitter_s=2.0), 1e5)
    assert gaps.mean() == pytest.approx(100.0, abs=0.5)
    assert gaps.std() == pytest.approx(2.0 * np.sqrt(2), rel=0.1)
    ticks = Regular(0.05, tick_jobs=10, jitter_s=0.0).sample(np.random.default_rng(0), 10_000.0)
    assert np.array_equal(ticks.reshape(-1, 10), np.repeat(ticks[::10], 10).reshape(-1, 10))
    assert np.diff(ticks[::10]) == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("build", "parameter"),
    [
        (lambda: Poisson(0.0), "rate_per_s"),
        (lambda: Poisson(float("inf")), "rate_per_s"),
        (lambda: DaCirco(gap_cv=-1), "gap_cv"),
        (lambda: DayNight(period_s=0), "period_s"),
        (lambda: DayNight(amplitude=1.1), "amplitude"),
        (lambda: Bursts(mean_on_s=0), "mean_on_s"),
        (lambda: Bursts(mean_off_s=-1), "mean_off_s"),
        (lambda: Bursts(quiet_share=2), "quiet_share"),
        (lambda: FlashCrowd(crowds=-1), "crowds"),
        (lambda: FlashCrowd(peak=-1), "peak"),
        (lambda: FlashCrowd(decay_s=0), "decay_s"),
        (lambda: HeavyTail(gap_cv=1), "gap_cv"),
        (lambda: HeavyTail(law="normal"), "law"),  # type: ignore[arg-type]
        (lambda: Ramp(start_share=2.1), "start_share"),
        (lambda: NearIdle(visit_jobs=0.5), "visit_jobs"),
        (lambda: NearIdle(think_s=-1), "think_s"),
        (lambda: Cascades(cascade_jobs=0.9), "cascade_jobs"),
        (lambda: Cascades(delay_s=-1), "delay_s"),
        (lambda: Batches(batch_jobs=0), "batch_jobs"),
        (lambda: Batches(gap_s=-1), "gap_s"),
        (lambda: Regular(tick_jobs=0), "tick_jobs"),
        (lambda: Regular(jitter_s=-1), "jitter_s"),
    ],
)
def test_parameters_out_of_range_are_refused(
    build: Callable[[], ArrivalFamily], parameter: str
) -> None:
    with pytest.raises(ValueError, match=f"^{parameter} must be"):
        build()


def test_draws_are_requests_in_whole_milliseconds() -> None:
    catalog = load_catalog()
    requests = draw_requests(Poisson(RATE), np.random.default_rng(0), catalog, 5000.0)
    again = draw_requests(Poisson(RATE), np.random.default_rng(0), catalog, 5000.0)
    assert requests == again
    times = [request.arrival_s for request in requests]
    assert times == sorted(round(time, 3) for time in times)
    assert {request.movie for request in requests} == set(catalog)


def test_random_families_are_of_every_training_kind_and_never_held_out() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_family(rng, cores=18, mean_core_s=42.0) for _ in range(2000)]
    assert {family.name for family in drawn} == set(TRAINING_FAMILIES)
    loads = np.array([f.rate_per_s * 42.0 / 18 for f in drawn if not isinstance(f, NearIdle)])
    low, high = np.log(TRAINING_LOADS)
    law = stats.uniform(low, high - low)
    assert stats.kstest(np.log(loads), law.cdf).pvalue > SIGNIFICANCE
    idle = [f.rate_per_s * 42.0 / 18 for f in drawn if isinstance(f, NearIdle)]
    assert max(idle) <= TRAINING_LOADS[0] + 1e-9
    assert len(set(drawn)) == len(drawn)


@given(seed=st.integers(0, 2**32 - 1))
def test_random_families_are_valid_and_reproducible(seed: int) -> None:
    first, second = (
        random_family(np.random.default_rng(seed), cores=18, mean_core_s=42.0, loads=(0.5, 0.5))
        for _ in range(2)
    )
    assert first == second
    if not isinstance(first, NearIdle):
        assert first.rate_per_s == pytest.approx(0.5 * 18 / 42)
    first.sample(np.random.default_rng(seed), 1000.0)
