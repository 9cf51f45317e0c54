"""Levels against a brute-force account of every stretch of time.

All times are multiples of 1/8 s, so that floats are exact and the tests need no tolerance.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.level import Level

EIGHTHS = st.one_of(st.integers(0, 12), st.integers(0, 10_000)).map(lambda n: n / 8)
CHANGES = st.lists(st.tuples(EIGHTHS, st.integers(-5000, 5000)), max_size=40)


def play(
    start: float, value: int, changes: list[tuple[float, int]], rest: float
) -> tuple[Level, float, list[tuple[Fraction, int]]]:
    """A level after the changes, the time then, and (seconds, value) of each stretch."""
    level, now = Level(start, value), start
    stretches = []
    for wait, change in changes:
        now += wait
        stretches.append((Fraction(wait), value))
        level.add(now, change)
        value += change
        assert level.value == value
    stretches.append((Fraction(rest), value))
    return level, now + rest, stretches


@given(EIGHTHS, st.integers(-100, 100), CHANGES, EIGHTHS)
def test_integral_and_mean_and_seconds(
    start: float, value: int, changes: list[tuple[float, int]], rest: float
) -> None:
    level, now, stretches = play(start, value, changes, rest)
    area = sum(seconds * height for seconds, height in stretches)
    total = sum(seconds for seconds, _ in stretches)
    assert level.integral(now) == area
    assert level.mean(now) == (float(area / total) if total else level.value)
    assert level.seconds_at(now) == {
        height: sum(seconds for seconds, other in stretches if other == height)
        for height in {height for seconds, height in stretches if seconds}
    }


@given(EIGHTHS, st.integers(-100, 100), CHANGES, EIGHTHS, st.integers(0, 64))
def test_percentile_is_the_smallest_value_not_exceeded_for_the_share(
    start: float, value: int, changes: list[tuple[float, int]], rest: float, part: int
) -> None:
    level, now, stretches = play(start, value, changes, rest)
    share = Fraction(part, 64)
    held = [(seconds, height) for seconds, height in stretches if seconds]
    total = sum(seconds for seconds, _ in held)
    expected = min(
        (
            height
            for _, height in held
            if sum(seconds for seconds, other in held if other <= height) >= share * total
        ),
        default=level.value,
    )
    assert level.percentile(now, float(share)) == expected


@given(CHANGES, EIGHTHS)
def test_reading_changes_nothing(changes: list[tuple[float, int]], rest: float) -> None:
    quiet, now, _ = play(0.0, 3, changes, rest)
    read = Level(0.0, 3)
    time = 0.0
    for wait, change in changes:
        time += wait
        for at in (time, time + 1.0):
            read.integral(at), read.mean(at), read.percentile(at, 0.95), read.seconds_at(at)
        read.add(time, change)
    assert read.seconds_at(now) == quiet.seconds_at(now)
    assert read.integral(now) == quiet.integral(now)


def test_the_95th_percentile_ignores_a_peak_of_5_percent_of_the_time() -> None:
    level = Level()
    level.add(0.0, 2)
    level.add(95.0, 10)
    assert level.percentile(100.0, 0.95) == 2
    assert level.percentile(100.5, 0.95) == 12


def test_many_changes_do_not_drift() -> None:
    level = Level()
    now = 0.0
    for _ in range(100_000):
        now += 0.1
        level.add(now, 1)
        now += 0.1
        level.add(now, -1)
    assert level.value == 0
    assert level.integral(now) == pytest.approx(10_000.0, rel=1e-9)
    assert level.mean(now) == pytest.approx(0.5, rel=1e-9)
