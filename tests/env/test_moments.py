"""Moments and durations as text: the existing forms, written and read, also at clock changes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.moments import (
    duration_text,
    epoch_text,
    local_offset,
    local_text,
    parse_duration,
    parse_moment,
    text_with_offset,
)

MOMENTS = st.integers(0, 4 * 10**15).map(lambda micro: micro / 1e6)
AUTUMN = 1_792_886_400.0
"""2026-10-25 02:00 in Rome, for the first time; an hour later it is 02:00 again."""


@pytest.fixture
def rome(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Rome")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("rome")
def test_the_existing_forms() -> None:
    moment = parse_moment("2026-11-30 14:30:29.643842+01:00")
    assert epoch_text(moment) == "1796045429.643842"
    assert local_text(moment) == "2026-11-30 14:30:29.643842"
    zone = local_offset(moment)
    assert text_with_offset(moment, zone) == "2026-11-30 14:30:29.643842+01:00"
    assert text_with_offset(moment) == "2026-11-30 13:30:29.643842+00:00"
    assert parse_moment(local_text(moment)) == moment
    assert local_text(1_796_045_429.0) == "2026-11-30 14:30:29.000000"


@pytest.mark.usefixtures("rome")
def test_an_hour_that_comes_twice_is_the_first_unless_the_epoch_tells() -> None:
    first, second = AUTUMN + 600.5, AUTUMN + 4200.5
    assert local_text(first) == local_text(second) == "2026-10-25 02:10:00.500000"
    assert parse_moment(local_text(second)) == first
    assert parse_moment(epoch_text(second)) == second
    summer = local_offset(first)
    assert summer == timezone(timedelta(hours=2))
    assert text_with_offset(second, summer) == "2026-10-25 03:10:00.500000+02:00"
    assert parse_moment(text_with_offset(second, local_offset(second))) == second


@given(MOMENTS)
def test_a_moment_comes_back_to_the_microsecond(moment: float) -> None:
    assert parse_moment(epoch_text(moment)) == float(epoch_text(moment))
    for zone in (UTC, timezone(timedelta(hours=-3, minutes=-30))):
        assert parse_moment(text_with_offset(moment, zone)) == float(epoch_text(moment))


@given(st.integers(-(10**13), 10**14))
def test_a_duration_is_what_pandas_reads_and_writes(micro: int) -> None:
    text = duration_text(micro / 1e6)
    assert pd.to_timedelta(text) == pd.Timedelta(microseconds=micro)
    assert parse_duration(text) == micro / 1e6
    assert parse_duration(str(pd.Timedelta(microseconds=micro))) == micro / 1e6


def test_a_duration_as_the_existing_tables_have_it() -> None:
    assert duration_text(4.737676) == "0 days 00:00:04.737676"
    assert duration_text(90061.0) == "1 days 01:01:01.000000"
    assert parse_duration("4.5") == 4.5


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12.5", 12.5),
        ("1970-01-01T00:01:00+00:00", 60.0),
        ("1970-01-01 00:00:01.5Z", 1.5),
        ("2026-11-30 14:30:29.643842123+01:00", 1_796_045_429.643842),
    ],
)
def test_other_forms(text: str, moment: float) -> None:
    assert parse_moment(text) == moment


def test_what_did_not_happen() -> None:
    for text in ("", " ", "NaT"):
        assert math.isnan(parse_moment(text))
        assert math.isnan(parse_duration(text))
    assert text_with_offset(math.nan) == duration_text(math.nan) == ""


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "0001-01-01 00:00:00+12:00x", "1 day 3"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_moment(text)
    with pytest.raises(ValueError, match="could not convert"):
        parse_duration(text)
