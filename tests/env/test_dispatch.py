"""Queue disciplines as orders of service."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.dispatch import AGEING, DISCIPLINES, KeyedJobs, fcfs, priority, sjf, waiting_jobs
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


@given(JOBS, st.sampled_from([fcfs, sjf]))
def test_a_keyed_queue_serves_in_the_order_of_the_keys(drawn, key) -> None:
    queue = KeyedJobs(key)
    jobs = [job(*figures) for figures in drawn]
    for each in jobs:
        queue.add(each)
    assert [queue.take(0.0) for _ in jobs] == sorted(jobs, key=key)
    assert queue.head(0.0) is None


def test_by_name() -> None:
    assert waiting_jobs("fcfs").key is fcfs  # type: ignore[attr-defined]
    assert waiting_jobs("sjf").key is sjf  # type: ignore[attr-defined]
    assert set(DISCIPLINES) == {"fcfs", "sjf", "priority"}


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="unknown queue discipline 'fcsf': did you mean"):
        waiting_jobs("fcsf")


def sized(arrival_s: float, size_mb: float, bitrate: int = 1000, speed: str = "fast") -> Job:
    request = Request(arrival_s, "m", bitrate, speed)
    return Job(object(), request, (60.0,), arrival_s, size_mb=size_mb)


class TestPriority:
    @pytest.mark.parametrize(
        ("size_mb", "bitrate", "speed", "waited", "expected"),
        [
            (0.0, 500, "fast", 0.0, 0),  # 0.15 + 0.2
            (100.0, 500, "fast", 0.0, 50),
            (0.0, 8000, "fast", 0.0, 2),  # 2.4 + 0.2
            (0.0, 8000, "ultrafast", 0.0, 2),  # 2.4 + 0.4
            (0.4, 8000, "ultrafast", 0.0, 3),  # 0.2 + 2.4 + 0.4: the fractions add up
            (59.762779, 1500, "fast", 18.5, 31),
            (0.0, 500, "fast", 9.99, 0),
            (0.0, 500, "fast", 10.0, 1),
            (0.0, 500, "fast", 19.99, 1),
            (1.0, 500, "ultrafast", 605.0, 61),  # 0.5 + 0.15 + 0.4 = 1.05
        ],
    )
    def test_is_the_formula(self, size_mb, bitrate, speed, waited, expected) -> None:
        assert priority(sized(7.0, size_mb, bitrate, speed), 7.0 + waited) == expected

    def test_the_highest_goes_first_and_of_two_alike_the_older(self) -> None:
        queue = waiting_jobs("priority")
        small, older, younger = sized(0.0, 10.0), sized(3.0, 40.0), sized(4.0, 40.5)
        for each in (small, younger, older):  # one that was put back is added after younger ones
            queue.add(each)
        assert [queue.take(5.0) for _ in range(3)] == [older, younger, small]

    def test_the_order_changes_while_they_wait(self) -> None:
        queue = waiting_jobs("priority")
        first, second = sized(0.0, 10.0), sized(8.0, 12.0)
        queue.add(first)
        queue.add(second)
        assert queue.head(9.0) is second  # 5 against 6
        assert queue.head(10.0) is first  # 6 against 6, and it came first
        assert queue.head(18.0) is second  # 6 against 7

    @given(st.lists(st.tuples(TIMES, st.integers(0, 400)), min_size=1, max_size=20), TIMES)
    def test_no_job_that_waits_is_more_urgent_than_the_head(self, drawn, later) -> None:
        queue = waiting_jobs("priority")
        jobs = [sized(arrival, size / 4) for arrival, size in drawn]
        for each in jobs:
            queue.add(each)
        now = max(j.arrival_s for j in jobs) + later
        head = queue.head(now)
        assert priority(head, now) == max(priority(j, now) for j in jobs)
        taken = [queue.take(now) for _ in jobs]
        assert taken[0] is head
        assert {id(j) for j in taken} == {id(j) for j in jobs}
