"""Log-linear regression that tells which of its coefficients the data can show.

A column that does not vary, or that the columns before it already explain, keeps its
prior coefficient. A coefficient that leaves its allowed range is set to the nearest end
of it and the others are fitted again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, log

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from training.calibration.estimates import Origin

Floats = NDArray[np.float64]
MIN_TOLERANCE = 0.005
"""A column is used if the columns before it leave at least this share of its variance."""
_EXACT = 1e-9


@dataclass(frozen=True)
class Term:
    """A column of the regression.

    Attributes:
        name: of the coefficient.
        column: its values, shape (n,).
        prior: the coefficient to keep where the data cannot show it.
        low, high: allowed range of the coefficient.
        least: how many observations must differ from the commonest value of the column.
        fixed: keep the prior whatever the data say.
    """

    name: str
    column: Floats
    prior: float
    low: float = -inf
    high: float = inf
    least: int = 3
    fixed: bool = False


@dataclass(frozen=True)
class Coefficient:
    """A coefficient, its standard error (NaN unless fitted) and its origin."""

    value: float
    standard_error: float
    origin: Origin


@dataclass(frozen=True)
class Regression:
    """A fitted regression.

    Attributes:
        coefficients: by the terms' names.
        residuals: measured minus fitted, shape (n,).
        n_fitted: how many coefficients were fitted.
    """

    coefficients: Mapping[str, Coefficient]
    residuals: Floats
    n_fitted: int

    @property
    def sigma(self) -> float:
        """Standard deviation of the residuals."""
        freedom = max(1, len(self.residuals) - self.n_fitted)
        return float(np.sqrt((self.residuals**2).sum() / freedom))

    @property
    def aic(self) -> float:
        """Akaike's information criterion, less a constant, with normal residuals."""
        n = len(self.residuals)
        mean_square = max(float((self.residuals**2).mean()), _EXACT**2)
        return n * log(mean_square) + 2 * self.n_fitted

    def __getitem__(self, name: str) -> float:
        return self.coefficients[name].value


def regress(y: Floats, terms: Sequence[Term], *, robust: bool) -> Regression:
    """Fit ``y = sum(coefficient * column)``.

    Args:
        y: shape (n,).
        terms: the columns; where two explain the same, the first one is fitted.
        robust: Tukey's biweight, which outliers hardly move, instead of least squares.
    """
    bound: dict[str, float] = {}
    while True:
        held = {t.name: t.prior for t in terms if t.fixed} | bound
        free = _identifiable([t for t in terms if t.name not in held])
        names = [t.name for t in free]
        rest = y - sum(
            (held.get(t.name, t.prior) * t.column for t in terms if t.name not in names),
            np.zeros_like(y),
        )
        values, errors = _solve(rest, [t.column for t in free], robust)
        outside = [
            (t, float(np.clip(value, t.low, t.high)))
            for t, value in zip(free, values, strict=True)
            if not t.low <= value <= t.high
        ]
        if not outside:
            break
        worst, nearest = outside[0]
        bound[worst.name] = nearest
    fitted = dict(zip(names, zip(values, errors, strict=True), strict=True))
    coefficients = {}
    for term in terms:
        if term.name in fitted:
            value, error = fitted[term.name]
            coefficients[term.name] = Coefficient(float(value), float(error), "fitted")
        elif term.name in bound:
            coefficients[term.name] = Coefficient(bound[term.name], np.nan, "bound")
        else:
            coefficients[term.name] = Coefficient(term.prior, np.nan, "prior")
    predicted = sum((coefficients[t.name].value * t.column for t in terms), np.zeros_like(y))
    return Regression(coefficients, y - predicted, len(names))


@dataclass(frozen=True)
class SlopeTerm:
    """A term that is not linear in its coefficient, such as a slow-down.

    Attributes:
        name: of the coefficient.
        curve: coefficient -> (values, derivatives), each of shape (n,).
        prior: as in `Term`; the coefficient must be 0 or more.
        fixed: keep the prior.
    """

    name: str
    curve: Callable[[float], tuple[Floats, Floats]]
    prior: float
    fixed: bool = False


def regress_with_slope(
    y: Floats, terms: Sequence[Term], slope: SlopeTerm, *, robust: bool, rounds: int = 30
) -> Regression:
    """Fit ``y = sum(coefficient * column) + curve(slope)`` by Gauss-Newton steps.

    The standard errors are those of the last linear step.
    """
    at = slope.prior
    for _ in range(rounds):
        value, derivative = slope.curve(at)
        linear = Term(slope.name, derivative, at, low=0.0, fixed=slope.fixed)
        fit = regress(y - value + at * derivative, [*terms, linear], robust=robust)
        step = fit[slope.name] - at
        at = fit[slope.name]
        if abs(step) < 1e-7:
            break
    return fit


def _identifiable(terms: Sequence[Term]) -> list[Term]:
    chosen: list[Term] = []
    for term in terms:
        values, counts = np.unique(term.column, return_counts=True)
        intercept = len(values) == 1 and values[0] != 0 and not chosen
        if not intercept:
            if len(term.column) - counts.max() < term.least:
                continue
            if _left_over(term.column, [t.column for t in chosen]) < MIN_TOLERANCE:
                continue
        chosen.append(term)
    return chosen


def _left_over(column: Floats, others: Sequence[Floats]) -> float:
    """Share of a column's variance that the other columns do not explain."""
    variance = float(np.var(column))
    if variance == 0.0:
        return 0.0
    if not others:
        return 1.0
    design = np.column_stack(others)
    solution, *_ = np.linalg.lstsq(design, column, rcond=None)
    return float(np.mean((column - design @ solution) ** 2) / variance)


def _solve(y: Floats, columns: Sequence[Floats], robust: bool) -> tuple[Floats, Floats]:
    if not columns:
        return np.zeros(0), np.zeros(0)
    design = np.column_stack(columns)
    least_squares = sm.OLS(y, design).fit()
    if robust and isfinite(least_squares.scale) and least_squares.scale > _EXACT:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            robust_fit = sm.RLM(y, design, M=sm.robust.norms.TukeyBiweight()).fit()
        if np.isfinite(robust_fit.params).all() and np.isfinite(robust_fit.bse).all():
            return np.asarray(robust_fit.params), np.asarray(robust_fit.bse)
    return np.asarray(least_squares.params), np.asarray(least_squares.bse)
