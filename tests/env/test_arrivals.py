"""Arrival statistics: against brute force over all arrivals, and against the true process.

Statistical tests use fixed seeds and independent replications; a z-score is accepted up
to 4.9, which a correct estimator exceeds with probability 1e-6.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.arrivals import HORIZONS_S, LONG, MEDIUM, SHORT, ArrivalStatistics

Z_LIMIT = 4.9
ALL_HORIZONS = (SHORT, MEDIUM, LONG)
GAPS = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-3, 3000.0), st.sampled_from([0.5, 1.0, 64.0, 1024.0])),
    min_size=1,
    max_size=60,
)
EDGES_S = [0.0, *(2.0**i for i in range(-1, 12))]
"""Of the bins in which the gaps are counted; the last one is open and taken as this wide."""


def observe(arrivals_s: list[float], work_s: float = 1.0) -> ArrivalStatistics:
    statistics = ArrivalStatistics()
    for arrival in arrivals_s:
        statistics.observe(arrival, work_s)
    return statistics


def poisson(rng: np.random.Generator, rate: float, horizon_s: float) -> list[float]:
    n = rng.poisson(rate * horizon_s)
    return list(np.sort(rng.uniform(0.0, horizon_s, n)))


def z_score(sample: list[float], true: float) -> float:
    """Of the mean of independent replications."""
    return float((np.mean(sample) - true) / (np.std(sample, ddof=1) / math.sqrt(len(sample))))


# -- against brute force --------------------------------------------------------------


@given(GAPS, st.floats(0.0, 5000.0))
def test_rates_are_the_sum_of_the_faded_arrivals(gaps: list[float], later: float) -> None:
    times = list(np.cumsum(gaps))
    works = [1.0 + (i % 7) for i in range(len(times))]
    statistics = ArrivalStatistics()
    for time, work in zip(times, works, strict=True):
        statistics.observe(time, work)
    now = times[-1] + later
    for horizon, length in enumerate(HORIZONS_S):
        kernel = [math.exp(-(now - time) / length) / length for time in times]
        seen = 1.0 - math.exp(-now / length)
        correction = 1.0 / seen if seen > 0.05 else 20.0
        assert statistics.rate(now, horizon) == pytest.approx(sum(kernel) * correction)
        load = sum(weight * work for weight, work in zip(kernel, works, strict=True))
        assert statistics.offered_load(now, horizon) == pytest.approx(load * correction)
    assert statistics.count == len(times)
    assert statistics.last_s == times[-1]


@given(st.lists(st.floats(0.01, 1000.0), min_size=1, max_size=20))
def test_gap_statistics_are_plain_averages_of_the_first_20(gaps: list[float]) -> None:
    statistics = observe([0.0, *np.cumsum(gaps)])
    assert statistics.mean_gap_s == pytest.approx(np.mean(gaps))
    if len(gaps) >= 2:
        expected = np.std(gaps) / np.mean(gaps)
        assert statistics.gap_cv == pytest.approx(expected, abs=1e-6)
    else:
        assert statistics.gap_cv == 1.0


def survivors(gaps: list[float], waited: float) -> float:
    """Faded number of gaps longer than `waited`, each spread evenly over its bin."""
    total = 0.0
    for age, gap in enumerate(reversed(gaps)):
        low = max(edge for edge in EDGES_S[:-1] if edge <= gap)
        high = min(edge for edge in EDGES_S if edge > low)
        share = 1.0 - (waited - low) / (high - low)
        total += 0.98**age * min(1.0, max(0.0, share))
    return total


@given(GAPS, st.floats(0.0, 3000.0), st.floats(0.01, 3000.0))
def test_probability_within_is_the_smoothed_hazard(
    gaps: list[float], elapsed: float, within: float
) -> None:
    times = [0.0, *np.cumsum(gaps)]
    statistics = observe(times)
    gaps = list(np.diff(times))
    now = times[-1] + elapsed
    prior = 1.0 - math.exp(-statistics.rate(now, MEDIUM) * within)
    waited = now - times[-1]
    alive, after = survivors(gaps, waited), survivors(gaps, waited + within)
    expected = (alive - after + prior) / (alive + 1.0)
    assert statistics.probabilities_within(now, [within]) == pytest.approx([expected], abs=1e-9)


@given(GAPS, st.floats(0.0, 1e5), st.lists(st.floats(0.0, 1e5), min_size=1, max_size=5))
def test_probabilities_are_probabilities_and_grow_with_the_horizon(
    gaps: list[float], elapsed: float, horizons: list[float]
) -> None:
    statistics = observe(list(np.cumsum(gaps)))
    assert statistics.last_s is not None
    found = statistics.probabilities_within(statistics.last_s + elapsed, sorted(horizons))
    assert all(-1e-12 <= probability <= 1.0 + 1e-12 for probability in found)
    assert all(b >= a - 1e-12 for a, b in pairwise(found))


def test_thousands_of_arrivals_neither_overflow_nor_change_the_figures() -> None:
    # The weights inside grow by 1/0.98 with each arrival and are rescaled now and then.
    rng = np.random.default_rng(1)
    times = [0.0, *np.cumsum(rng.exponential(7.0, 5000))]
    gaps = list(np.diff(times))
    statistics = ArrivalStatistics()
    for i, time in enumerate(times):
        statistics.observe(time, 1.0)
        if i > 1200 and i % 97 == 0:
            now = time + 3.0
            prior = 1.0 - math.exp(-statistics.rate(now, MEDIUM) * 10.0)
            recent = gaps[max(0, i - 1200) : i]
            alive, after = survivors(recent, now - time), survivors(recent, now - time + 10.0)
            expected = (alive - after + prior) / (alive + 1.0)
            assert statistics.probabilities_within(now, [10.0]) == pytest.approx([expected])


def test_before_the_first_arrivals() -> None:
    statistics = ArrivalStatistics()
    assert statistics.last_s is None
    assert statistics.rate(0.0, SHORT) == 0.0
    assert statistics.rate(100.0, LONG) == 0.0
    assert statistics.gap_cv == 1.0
    assert statistics.probabilities_within(50.0, [10.0, 60.0]) == [0.0, 0.0]
    statistics.observe(60.0, 5.0)
    assert statistics.mean_gap_s == 0.0
    assert statistics.gap_cv == 1.0
    assert 0.0 < statistics.probabilities_within(61.0, [10.0])[0] < 1.0


def test_a_start_that_is_not_zero() -> None:
    shifted = ArrivalStatistics(start_s=1000.0)
    plain = ArrivalStatistics()
    for time in (5.0, 9.0, 40.0):
        shifted.observe(1000.0 + time, 2.0)
        plain.observe(time, 2.0)
    for horizon in ALL_HORIZONS:
        assert shifted.rate(1050.0, horizon) == pytest.approx(plain.rate(50.0, horizon))


# -- against the true process ---------------------------------------------------------


@pytest.mark.parametrize("horizon", ALL_HORIZONS)
@pytest.mark.parametrize("age", [0.1, 0.5, 4.0], ids=["start", "half", "long after"])
def test_the_rate_is_unbiased_from_soon_after_the_start(horizon: int, age: float) -> None:
    """Also the spread: the variance of the estimator is known in closed form."""
    true, length = 0.2, HORIZONS_S[horizon]
    now = age * length
    rng = np.random.default_rng([horizon, int(10 * age)])
    found = [observe(poisson(rng, true, now)).rate(now, horizon) for _ in range(400)]
    assert abs(z_score(found, true)) < Z_LIMIT
    # Campbell's theorem for shot noise, divided by the square of the correction.
    variance = true / (2 * length) * (1 - math.exp(-2 * age)) / (1 - math.exp(-age)) ** 2
    assert np.var(found, ddof=1) == pytest.approx(variance, rel=0.5)


def test_the_rate_converges_to_the_true_rate() -> None:
    true, horizon = 3.0, 6 * 3600.0
    statistics = observe(poisson(np.random.default_rng(3), true, horizon), work_s=20.0)
    assert statistics.rate(horizon, LONG) == pytest.approx(true, rel=0.06)
    assert statistics.offered_load(horizon, LONG) == pytest.approx(20.0 * true, rel=0.06)


def test_a_first_arrival_at_once_does_not_blow_the_rate_up() -> None:
    statistics = observe([0.0])
    for horizon, length in enumerate(HORIZONS_S):
        assert statistics.rate(0.0, horizon) <= 20.0 / length


def test_the_rate_fades_when_arrivals_stop() -> None:
    statistics = observe(list(np.arange(0.0, 3600.0, 5.0)))
    rates = [statistics.rate(3600.0 + wait, SHORT) for wait in (0.0, 60.0, 600.0)]
    assert rates[0] == pytest.approx(0.2, rel=0.1)
    assert rates[1] == pytest.approx(rates[0] / math.e, rel=0.01)
    assert rates[2] < 1e-4


def mean_cv(gaps: np.ndarray) -> float:
    """Of the running estimate, over the arrivals after the first hundred."""
    statistics = ArrivalStatistics()
    seen = []
    for i, time in enumerate(np.cumsum(gaps)):
        statistics.observe(float(time), 1.0)
        if i >= 100:
            seen.append(statistics.gap_cv)
    return float(np.mean(seen))


def test_the_spread_of_the_gaps_tells_the_processes_apart() -> None:
    # An average over about 20 gaps estimates a cv of 1 a little low.
    rng = np.random.default_rng(4)
    n = 20_000
    assert mean_cv(np.full(n, 10.0)) == pytest.approx(0.0, abs=1e-6)
    assert mean_cv(rng.exponential(10.0, n)) == pytest.approx(1.0, abs=0.1)
    bursts = np.where(rng.random(n) < 0.9, rng.exponential(1.0, n), rng.exponential(91.0, n))
    assert mean_cv(bursts) > 1.8


def test_a_periodic_process_is_expected_more_as_time_passes() -> None:
    statistics = observe(list(np.arange(0.0, 3000.0, 30.0)))
    last = statistics.last_s
    assert last is not None
    elapsed = np.linspace(0.0, 26.0, 14)  # the bin of a gap of 30 s ends at 32 s
    found = [statistics.probabilities_within(last + e, [5.0])[0] for e in elapsed]
    assert all(b >= a - 1e-3 for a, b in pairwise(found))
    assert found[0] < 0.02
    assert found[-1] > 0.7


def test_a_poisson_process_has_no_memory() -> None:
    # Over many histories, as one history counts about 50 gaps only.
    rng = np.random.default_rng(5)
    true, within = 1 / 20, 15.0
    elapsed = (0.0, 5.0, 10.0, 20.0, 40.0)
    found = np.empty((200, len(elapsed)))
    for row in found:
        times = poisson(rng, true, 3600.0)
        statistics = observe(times)
        row[:] = [statistics.probabilities_within(times[-1] + e, [within])[0] for e in elapsed]
    expected = 1 - math.exp(-true * within)
    # The bins are an octave wide and gaps are taken as even within one: hence the 0.06.
    assert found.mean(axis=0) == pytest.approx(np.full(len(elapsed), expected), abs=0.06)
