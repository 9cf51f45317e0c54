"""Moving windows against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.windows import MovingAverage, MovingMaximum

steps = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), min_size=1, max_size=60)
windows = st.integers(1, 120)


@given(steps=steps, window=windows)
def test_maximum(steps, window):
    maximum, now, seen = MovingMaximum(window), 0, []
    for passed, value in steps:
        now += passed
        seen.append((now, value))
        assert maximum.push(now, value) == max(v for t, v in seen if t >= now - window)


@given(steps=steps, window=windows)
def test_average(steps, window):
    """Against the value of each whole second."""
    average, now, integral, seconds = MovingAverage(window, 0.0, 0.0), 0, 0, []
    for passed, value in steps:
        now += passed
        integral += passed * value
        seconds += [value] * passed
        last = seconds[-window:]
        assert average.push(now, integral) == pytest.approx(sum(last) / len(last))


def test_average_before_any_time_has_passed():
    assert MovingAverage(60.0, 5.0, 1.0).push(5.0, 1.0) == 0.0
