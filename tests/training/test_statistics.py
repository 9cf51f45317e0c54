"""Ratios, means and intervals against known answers."""

from __future__ import annotations

from math import exp, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import bootstrap, trim_mean

from training.evaluation.statistics import (
    Estimate,
    bootstrap_means,
    geometric_mean_ratio,
    interquartile_mean_ratio,
    log_ratios,
    mean_of_known,
)

Floats = NDArray[np.float64]
COSTS = arrays(np.float64, (2, 4, 3), elements=st.floats(0.01, 1e4))


def figures(*values: float) -> Floats:
    """One preference, one seed, a scenario for each value."""
    return np.array(values, dtype=np.float64).reshape(1, -1, 1)


def known(estimate: Estimate | None) -> tuple[float, float, float]:
    """An estimate that must exist with its interval."""
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.value, estimate.low, estimate.high


def test_the_mean_is_geometric() -> None:
    value, low, high = known(geometric_mean_ratio(figures(2, 8), figures(1, 1)))
    assert value == pytest.approx(4)
    # Of two scenarios a resample holds two, one, or the other.
    assert (low, high) == (pytest.approx(2), pytest.approx(8))


def test_a_constant_ratio_has_no_spread() -> None:
    theirs = figures(3, 50, 0.2, 1000)
    assert known(geometric_mean_ratio(0.8 * theirs, theirs)) == pytest.approx((0.8, 0.8, 0.8))


def test_pairing_takes_out_what_both_share() -> None:
    # Scenarios differ a thousandfold, the policies by one per cent on each.
    theirs = np.geomspace(1, 1000, 12).reshape(1, 12, 1)
    ours = theirs * np.linspace(0.98, 1.0, 12).reshape(1, 12, 1)
    value, low, high = known(geometric_mean_ratio(ours, theirs))
    assert 0.98 <= low < value < high <= 1.0


@given(COSTS, COSTS)
def test_the_other_way_round_is_the_reciprocal(ours: Floats, theirs: Floats) -> None:
    value, low, high = known(geometric_mean_ratio(ours, theirs, resamples=50))
    back = known(geometric_mean_ratio(theirs, ours, resamples=50))
    assert (1 / value, 1 / high, 1 / low) == pytest.approx(back, rel=1e-9)
    assert low <= high


@given(COSTS)
def test_units_do_not_matter(ours: Floats) -> None:
    theirs = np.full_like(ours, 7.0)
    plain = known(geometric_mean_ratio(ours, theirs, resamples=50))
    assert known(geometric_mean_ratio(60 * ours, 60 * theirs, resamples=50)) == pytest.approx(plain)


def test_one_run_has_no_interval() -> None:
    assert geometric_mean_ratio(figures(3), figures(4)) == Estimate(0.75)
    # Two preferences of one scenario and seed share their jobs: still one.
    one = np.array([1.0, 4.0]).reshape(2, 1, 1)
    assert geometric_mean_ratio(one, np.ones_like(one)) == Estimate(2.0)


def test_preferences_of_a_scenario_are_drawn_together() -> None:
    # They balance within each scenario, so no resample of scenarios can move the mean.
    ours = np.stack([np.full((5, 2), 2.0), np.full((5, 2), 0.5)])
    assert known(geometric_mean_ratio(ours, np.ones_like(ours))) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("value", [nan, 0.0, -1.0, float("inf")])
def test_a_ratio_that_does_not_exist_is_none(value: float) -> None:
    for ours, theirs in ((figures(1, value), figures(1, 1)), (figures(1, 1), figures(1, value))):
        assert log_ratios(ours, theirs) is None
        assert geometric_mean_ratio(ours, theirs) is None
        assert interquartile_mean_ratio(ours, theirs) is None


def test_the_same_figures_give_the_same_interval() -> None:
    rng = np.random.default_rng(4)
    ours, theirs = rng.lognormal(size=(2, 1, 6, 3))
    assert geometric_mean_ratio(ours, theirs) == geometric_mean_ratio(ours, theirs)


def test_over_scenarios_alone_it_is_scipys_percentile_bootstrap() -> None:
    logs = np.random.default_rng(1).normal(0.1, 0.4, 25)
    _, low, high = known(geometric_mean_ratio(np.exp(logs).reshape(1, 25, 1), np.ones((1, 25, 1))))
    theirs = bootstrap(
        (logs,), np.mean, method="percentile", rng=np.random.default_rng(2), n_resamples=10_000
    ).confidence_interval
    assert np.log([low, high]) == pytest.approx([theirs.low, theirs.high], abs=0.01)


def test_within_one_scenario_the_seeds_are_drawn() -> None:
    values = np.random.default_rng(3).normal(0.0, 1.0, (1, 40))
    means = bootstrap_means(values, np.random.default_rng(0), 20_000)
    assert means is not None
    assert means.std() == pytest.approx(values.std() / sqrt(40), rel=0.03)


def test_both_levels_add_their_variance() -> None:
    rng = np.random.default_rng(8)
    scenarios, seeds = 30, 6
    values = rng.normal(0, 0.5, (scenarios, 1)) + rng.normal(0, 1.0, (scenarios, seeds))
    means = bootstrap_means(values, np.random.default_rng(0), 20_000)
    assert means is not None
    between = values.mean(axis=1).var() / scenarios
    within = values.var(axis=1).mean() / (scenarios * seeds)
    assert means.mean() == pytest.approx(values.mean(), abs=0.005)
    assert means.std() == pytest.approx(sqrt(between + within), rel=0.03)


def test_a_row_brings_only_its_own_columns() -> None:
    values = np.array([[1.0, 1.0], [100.0, 100.0]])
    means = bootstrap_means(values, np.random.default_rng(0), 400)
    assert means is not None
    assert set(means) == {1.0, 50.5, 100.0}


@pytest.mark.parametrize("resamples", [1, 499, 500, 501, 1234])
def test_as_many_resamples_as_asked(resamples: int) -> None:
    means = bootstrap_means(np.ones((2, 2)), np.random.default_rng(0), resamples)
    assert means is not None
    assert means.shape == (resamples,)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    truth, trials, covered = 0.9, 200, 0
    for _ in range(trials):
        logs = np.log(truth) + rng.normal(0, 0.2, (1, 30, 1)) + rng.normal(0, 0.1, (1, 30, 3))
        _, low, high = known(geometric_mean_ratio(np.exp(logs), np.ones_like(logs), resamples=400))
        covered += low <= truth <= high
    assert 0.9 <= covered / trials <= 0.99


@given(COSTS, COSTS)
def test_the_interquartile_mean_is_scipys_trimmed_mean(ours: Floats, theirs: Floats) -> None:
    expected = exp(trim_mean(np.log(ours / theirs), 0.25, axis=None))
    assert interquartile_mean_ratio(ours, theirs) == pytest.approx(expected)


def test_the_interquartile_mean_is_not_moved_by_one_extreme_run() -> None:
    plain = interquartile_mean_ratio(figures(1, 1, 1, 1, 2), figures(1, 1, 1, 1, 1))
    assert plain == interquartile_mean_ratio(figures(1, 1, 1, 1, 1e6), figures(1, 1, 1, 1, 1))


def test_the_mean_of_what_is_known() -> None:
    assert mean_of_known(np.array([1.0, nan, 3.0])) == 2.0
    assert mean_of_known(np.array([[nan], [nan]])) is None
