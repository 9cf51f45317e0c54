"""Regression that knows what it cannot see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.calibration.knee import choose_knee
from training.calibration.regression import (
    Coefficient,
    Regression,
    SlopeTerm,
    Term,
    regress,
    regress_with_slope,
)

RNG = np.random.default_rng(1)
ONES = np.ones(60)
X = RNG.normal(size=60)
Z = RNG.normal(size=60)


@settings(max_examples=40)
@given(st.floats(-3, 3), st.floats(-3, 3), st.booleans())
def test_exact_data_give_exact_coefficients(a: float, b: float, robust: bool) -> None:
    terms = [Term("a", ONES, 0.0), Term("b", X, 0.0)]
    fit = regress(a + b * X, terms, robust=robust)
    assert fit["a"] == pytest.approx(a, abs=1e-8)
    assert fit["b"] == pytest.approx(b, abs=1e-8)
    assert fit.sigma == pytest.approx(0.0, abs=1e-8)


def test_a_column_that_others_explain_keeps_its_prior() -> None:
    terms = [Term("a", ONES, 0.0), Term("b", X, 0.0), Term("c", 2 * X + 1, 0.5)]
    fit = regress(3 + 2 * X, terms, robust=False)
    assert fit.coefficients["c"].origin == "prior"
    assert fit["c"] == 0.5
    assert fit["b"] == pytest.approx(2 - 2 * 0.5)
    assert fit["a"] == pytest.approx(3 - 0.5)


def test_a_constant_column_stands_in_for_a_fixed_intercept() -> None:
    terms = [Term("a", ONES, 1.0, fixed=True), Term("b", 2 * ONES, 0.0), Term("c", X, 0.0)]
    fit = regress(5 + 3 * X, terms, robust=False)
    assert fit.coefficients["a"].origin == "prior"
    assert (fit["b"], fit["c"]) == (pytest.approx(2.0), pytest.approx(3.0))


def test_a_column_that_too_few_observations_vary_keeps_its_prior() -> None:
    rare = np.zeros(60)
    rare[:2] = 1.0
    fit = regress(X, [Term("a", ONES, 0.0), Term("b", rare, 0.7, least=3)], robust=False)
    assert (fit["b"], fit.coefficients["b"].origin) == (0.7, "prior")


def test_a_coefficient_outside_its_range_is_held_at_its_bound() -> None:
    y = 1 - 2 * X + 3 * Z
    terms = [Term("a", ONES, 0.0), Term("b", X, 0.5, low=0.0), Term("c", Z, 0.0)]
    fit = regress(y, terms, robust=False)
    assert (fit["b"], fit.coefficients["b"].origin) == (0.0, "bound")
    assert np.isnan(fit.coefficients["b"].standard_error)
    assert fit["c"] == pytest.approx(3 + -2 * float(np.cov(X, Z)[0, 1] / Z.var(ddof=1)), abs=0.2)
    assert fit.n_fitted == 2


def test_outliers_hardly_move_a_robust_fit() -> None:
    y = 1 + 2 * X + 0.01 * Z
    y[:6] += 5.0
    terms = [Term("a", ONES, 0.0), Term("b", X, 0.0)]
    assert regress(y, terms, robust=True)["a"] == pytest.approx(1.0, abs=0.01)
    assert regress(y, terms, robust=False)["a"] > 1.3


def test_gauss_newton_finds_the_slope_of_a_curve() -> None:
    height = np.abs(X)

    def curve(slope: float) -> tuple[np.ndarray, np.ndarray]:
        return np.log1p(slope * height), height / (1 + slope * height)

    y = 2.0 + np.log1p(0.8 * height)
    fit = regress_with_slope(
        y, [Term("a", ONES, 0.0)], SlopeTerm("s", curve, prior=0.1), robust=False
    )
    assert fit["s"] == pytest.approx(0.8, abs=1e-5)
    assert fit["a"] == pytest.approx(2.0, abs=1e-5)


def test_the_knee_must_earn_its_parameter() -> None:
    def fit(knee: float) -> Regression:
        residuals = np.full(100, np.exp(-0.005 if knee == 3.0 else 0.0))
        return Regression({"s": Coefficient(0.1, 0.1, "fitted")}, residuals, 2)

    flat = Regression({}, np.ones(100), 1).aic
    chosen = choose_knee(fit, "s", [2.0, 3.0], prior=4.0, aic_without=flat)
    assert (chosen.load, chosen.seen) == (4.0, False)
    chosen = choose_knee(fit, "s", [2.0, 3.0], prior=4.0, aic_without=flat + 10)
    assert (chosen.load, chosen.seen, chosen.as_good) == (3.0, True, [2.0, 3.0])
