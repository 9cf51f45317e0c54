"""Queue disciplines as orders of service."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.dispatch import AGEING, DISCIPLINES, fcfs, queue_key, sjf
from env.errors import UnknownNameError
from env.jobs import Job, Request

TIMES = st.integers(0, 100_000).map(lambda n: n / 4)
JOBS = st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=20)


def job(arrival_s: float, service_s: float) -> Job:
    # The second flavor is there to catch a key that looks at the wrong one.
    request = Request(arrival_s, "m", 1000, "fast")
    return Job(object(), request, (service_s, 1e6 - service_s), arrival_s)


@given(JOBS)
def test_first_come_first_served_goes_by_arrival(drawn: list[tuple[float, float]]) -> None:
    jobs = [job(*figures) for figures in drawn]
    assert [j.arrival_s for j in sorted(jobs, key=fcfs)] == sorted(a for a, _ in drawn)


@given(JOBS, TIMES)
def test_shortest_job_first_goes_by_aged_priority_at_any_time(
    drawn: list[tuple[float, float]], later: float
) -> None:
    jobs = sorted((job(*figures) for figures in drawn), key=sjf)
    now = max(j.arrival_s for j in jobs) + later
    priorities = [j.service_s[0] - AGEING * (now - j.arrival_s) for j in jobs]
    for first, second in pairwise(priorities):
        assert first <= second + 1e-6


def test_no_job_starves() -> None:
    long = job(0.0, 500.0)
    patience = (500.0 - 1.0) / AGEING
    assert sjf(job(patience - 1.0, 1.0)) < sjf(long) < sjf(job(patience + 1.0, 1.0))


def test_by_name() -> None:
    assert queue_key("fcfs") is fcfs
    assert queue_key("sjf") is sjf
    assert set(DISCIPLINES) == {"fcfs", "sjf"}


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="unknown queue discipline 'fcsf': did you mean"):
        queue_key("fcsf")
