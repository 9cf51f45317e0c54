"""The histogram of idle times against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.idle_histogram import IdleHistogram

idle_times = st.lists(st.floats(0, 150), min_size=1, max_size=80)


def filled(times, width_s=5.0, bins=20):
    histogram = IdleHistogram(width_s, bins)
    for time in times:
        histogram.add(time)
    return histogram


def test_empty():
    histogram = filled([])
    assert (histogram.count, histogram.out_of_bounds, histogram.variation) == (0, 0, 0.0)


def test_the_edges_around_a_single_idle_time():
    assert filled([33.0]).percentiles(0.05, 0.99) == (30.0, 35.0)


def test_one_early_and_one_late_in_a_hundred():
    histogram = filled([2.0] * 4 + [41.0] * 95 + [77.0])
    assert histogram.percentiles(0.05, 0.99) == (40.0, 45.0)
    assert histogram.percentiles(0.0, 1.0) == (0.0, 80.0)


@given(times=idle_times, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
def test_percentiles_enclose_the_true_ones(times, shares):
    head, tail = shares
    histogram = filled(times)
    inside = sorted(time for time in times if time < 100.0)
    assert histogram.count == len(times)
    assert histogram.out_of_bounds == len(times) - len(inside)
    low, high = histogram.percentiles(head, tail)
    assert low < high
    if inside:
        assert low <= np.quantile(inside, head, method="higher")
        assert high >= np.quantile(inside, tail, method="lower")


@given(times=idle_times)
def test_variation(times):
    counts, _ = np.histogram(times, bins=20, range=(0, 99.999999))
    expected = counts.std() / counts.mean() if counts.sum() else 0.0
    assert filled(times).variation == pytest.approx(expected)


def test_percentiles_are_not_stale():
    histogram = filled([10.0])
    assert histogram.percentiles(0.0, 1.0) == (10.0, 15.0)
    histogram.add(60.0)
    assert histogram.percentiles(0.0, 1.0) == (10.0, 65.0)
