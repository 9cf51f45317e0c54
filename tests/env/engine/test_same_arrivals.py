"""The compiled arrival statistics are the plain ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from env.arrivals import HORIZONS_S, ArrivalStatistics
from env.engine import arrivals as twin
from env.engine.compiling import entry


@entry
def start(row: twin.Row) -> None:
    twin.start_arrivals(row)


@entry
def observe(row: twin.Row, now: float, work_s: float) -> None:
    twin.observe_arrival(row, now, work_s)


@entry
def read(row: twin.Row, now: float, boot_s: float, found: twin.Row) -> None:
    for horizon in range(len(HORIZONS_S)):
        found[horizon] = twin.arrival_rate(row, now, horizon)
        found[3 + horizon] = twin.arriving_load(row, now, horizon)
    found[6], found[7] = twin.arrivals_within(row, now, boot_s, 60.0)
    found[8] = twin.gap_cv(row)
    found[9] = row[twin.MEAN_GAP]
    found[10] = row[twin.COUNT]


GAPS = st.one_of(
    st.floats(0.0, 3000.0),
    st.sampled_from([0.0, 0.001, 0.5, 1.0, 2.0, 8.0, 1024.0]),
)


def compare(plain: ArrivalStatistics, row: twin.Row, now: float, boot_s: float) -> None:
    found = np.zeros(11)
    read(row, now, boot_s, found)
    expected = [
        *(plain.rate(now, horizon) for horizon in range(3)),
        *plain.offered_loads(now),
        *plain.probabilities_within(now, (boot_s, 60.0)),
        plain.gap_cv,
        plain.mean_gap_s,
        plain.count,
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-300)


@settings(max_examples=60)
@given(
    gaps=st.lists(st.tuples(GAPS, st.floats(0.1, 500.0)), max_size=40),
    later=st.lists(GAPS, min_size=1, max_size=3),
    boot_s=st.floats(1.0, 120.0),
)
def test_the_statistics_are_the_same(
    gaps: list[tuple[float, float]], later: list[float], boot_s: float
) -> None:
    plain, row = ArrivalStatistics(), np.full(twin.SIZE, 7.0)
    start(row)
    compare(plain, row, 0.0, boot_s)
    now = 0.0
    for gap, work_s in gaps:
        now += gap
        plain.observe(now, work_s)
        observe(row, now, work_s)
        for passed in later:
            compare(plain, row, now + passed, boot_s)


def test_the_weights_are_made_small_again_alike() -> None:
    rng = np.random.default_rng(0)
    plain, row = ArrivalStatistics(), np.zeros(twin.SIZE)
    start(row)
    now = 0.0
    for gap in rng.exponential(5.0, 2000).tolist():  # 0.98 ** -2000 is far beyond the limit
        now += gap
        plain.observe(now, gap)
        observe(row, now, gap)
    compare(plain, row, now + 3.0, 16.0)
    assert row[twin._WEIGHT] == pytest.approx(plain._weight, rel=1e-12)
