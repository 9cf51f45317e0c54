"""The regret of ends: what hindsight tells, the same whether it is read or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.regret import EndRegret

EVENTS = st.lists(
    st.tuples(
        st.floats(0.0, 300.0),
        st.sampled_from(["ended", "spawned"]),
        st.floats(1.0, 200.0),
    ),
    max_size=30,
)


def test_before_the_first_end_nothing_is_regretted() -> None:
    regret = EndRegret()
    regret.spawned(5.0)
    assert regret.at(1e9) == 0.0


@pytest.mark.parametrize(
    ("gap_s", "regret"), [(0.0, 1.0), (50.0, 0.5), (100.0, 0.0), (150.0, -0.5), (200.0, -1.0)]
)
def test_the_gap_to_the_next_spawn_tells(gap_s: float, regret: float) -> None:
    ends = EndRegret()
    ends.ended(10.0, 100.0)
    ends.spawned(10.0 + gap_s)
    assert ends.mean == pytest.approx(0.1 * regret)
    ends.spawned(11.0 + gap_s)  # no end is left for it
    assert ends.mean == pytest.approx(0.1 * regret)


def test_an_end_that_no_spawn_follows_was_right() -> None:
    ends = EndRegret()
    ends.ended(0.0, 100.0)
    assert ends.at(200.0) == 0.0
    assert ends.at(200.1) == pytest.approx(-0.1)
    ends.spawned(201.0)
    assert ends.mean == pytest.approx(-0.1)


def test_the_latest_end_is_the_one_that_was_for_nothing() -> None:
    ends = EndRegret()
    ends.ended(0.0, 100.0)
    ends.ended(90.0, 100.0)
    ends.spawned(100.0)  # 10 s after the second
    assert ends.mean == pytest.approx(0.09)
    assert ends.at(201.0) == pytest.approx(0.09 - 0.1 * 1.09)  # the first was right


def test_a_habit_shows_after_some_ends_and_fades_again() -> None:
    ends, now, means = EndRegret(), 0.0, []
    for gap_s in [*[20.0] * 15, *[150.0] * 15]:
        ends.ended(now, 100.0)
        now += gap_s
        ends.spawned(now)
        means.append(ends.mean)
    rising, falling = means[:15], means[15:]
    assert rising == sorted(rising)
    assert rising[-1] == pytest.approx(0.8 * (1 - 0.9**15))
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] < -0.2


@given(events=EVENTS, reads=st.sets(st.integers(0, 29)))
def test_reading_changes_nothing_and_the_mean_stays_in_its_range(
    events: list[tuple[float, str, float]], reads: set[int]
) -> None:
    read, unread, now = EndRegret(), EndRegret(), 0.0
    for i, (passed_s, kind, break_even_s) in enumerate(events):
        if i in reads:
            read.at(now + passed_s / 2)
        now += passed_s
        for ends in (read, unread):
            if kind == "ended":
                ends.ended(now, break_even_s)
            else:
                ends.spawned(now)
    assert read.at(now + 1e6) == unread.at(now + 1e6)
    assert -1.0 <= unread.mean <= 1.0
