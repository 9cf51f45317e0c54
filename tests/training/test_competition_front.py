"""Pareto fronts, the area they dominate, and the statistics of the competition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.competition.front import Point, beaten_by, hypervolume, is_monotone, pareto_front
from training.competition.statistics import (
    interquartile_mean,
    interquartile_ratio,
    probability_of_improvement,
    stratified_interval,
)

coordinates = st.floats(0.5, 12.0)
some_points = st.lists(st.builds(Point, coordinates, coordinates), max_size=12)
REFERENCE = Point(10.0, 10.0)


def test_the_area_of_two_steps() -> None:
    points = [Point(2.0, 6.0), Point(6.0, 2.0), Point(7.0, 7.0), Point(11.0, 1.0)]
    assert hypervolume(points, REFERENCE) == pytest.approx((8 * 4 + 4 * 4) / 100)
    assert hypervolume([], REFERENCE) == 0.0
    assert hypervolume([Point(0.0, 0.0)], REFERENCE) == 1.0


@given(points=some_points)
def test_the_area_is_what_a_grid_counts(points: list[Point]) -> None:
    cells = (np.arange(200) + 0.5) / 20
    delay, core = np.meshgrid(cells, cells)
    dominated = np.zeros_like(delay, dtype=bool)
    for point in points:
        dominated |= (delay >= point.delay_s) & (core >= point.core_s)
    assert hypervolume(points, REFERENCE) == pytest.approx(dominated.mean(), abs=0.03)


@given(points=some_points, more=st.builds(Point, coordinates, coordinates))
def test_another_point_never_takes_away(points: list[Point], more: Point) -> None:
    before = hypervolume(points, REFERENCE)
    assert hypervolume([*points, more], REFERENCE) >= before - 1e-12
    assert hypervolume(pareto_front(points), REFERENCE) == pytest.approx(before)


@given(points=some_points)
def test_nobody_beats_the_front(points: list[Point]) -> None:
    front = pareto_front(points)
    assert not any(beaten_by(point, points, 0.0) for point in front)
    assert is_monotone(front[::-1], 0.0)
    for point in points:
        assert any(f.delay_s <= point.delay_s and f.core_s <= point.core_s for f in front)


def test_small_steps_back_are_chance() -> None:
    curve = [Point(10.0, 5.0), Point(10.01, 6.0), Point(8.0, 7.0)]
    assert is_monotone(curve, 0.002)
    assert not is_monotone(curve, 0.0005)
    assert not is_monotone([Point(10.0, 5.0), Point(9.0, 4.9)], 0.002)


def test_better_in_both_by_more_than_the_margin() -> None:
    others = [Point(9.7, 9.7), Point(9.9, 5.0), Point(5.0, 9.9), Point(9.0, 9.0)]
    assert beaten_by(Point(10.0, 10.0), others, 0.02) == [0, 3]


def test_the_middle_half() -> None:
    assert interquartile_mean(np.array([[100.0, 1.0], [2.0, -50.0]])) == 1.5
    logs = np.log([[0.5, 0.5], [0.8, 0.8], [0.8, 0.8], [9.0, 9.0]])
    assert interquartile_ratio(logs).value == pytest.approx(0.8)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_only_runs_are_drawn_anew(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tasks = rng.normal(size=(6, 1)) * 10
    same = stratified_interval(np.repeat(tasks, 3, axis=1), lambda v: float(v.mean()), 50)
    assert same.low == pytest.approx(same.value)
    assert same.high == pytest.approx(same.value)
    noisy = stratified_interval(tasks + rng.normal(size=(6, 3)), lambda v: float(v.mean()), 200)
    assert noisy.low is not None
    assert noisy.high is not None
    assert noisy.low < noisy.value < noisy.high


def test_one_run_has_no_interval() -> None:
    assert stratified_interval(np.ones((3, 1)), lambda v: float(v.sum())).low is None


def test_the_probability_counts_all_pairs() -> None:
    ours, theirs = np.array([[1.0, 3.0]]), np.array([[2.0, 3.0]])
    assert probability_of_improvement(ours, theirs).value == pytest.approx((2 + 0.5) / 4)
    assert probability_of_improvement(ours, ours).value == 0.5
    assert probability_of_improvement(ours - 5, theirs).value == 1.0
