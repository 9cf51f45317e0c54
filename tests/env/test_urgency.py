"""Urgent jobs go first, nobody starves, and jobs without urgency are served as ever."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.dispatch import (
    AGEING,
    DISCIPLINES,
    MOST_HEAD_START_S,
    counted_arrival,
    fcfs,
    sjf,
    waiting_jobs,
)
from env.jobs import PLAIN, Job, Request, Urgency

REQUEST = Request(0.0, "bbb_0.mp4", 1000, "fast")
TIMES = st.floats(-1e6, 1e6, allow_nan=False)
SERVICES = st.floats(1.0, 1e4)
ANY = st.builds(Urgency, TIMES, TIMES | st.just(inf))


def job(name: str, arrival: float, service: float = 60.0, urgency: Urgency = PLAIN) -> Job:
    return Job(name, REQUEST, (service,), arrival, urgency=urgency)


def order(discipline: str, now: float, *jobs: Job) -> str:
    queue = waiting_jobs(discipline)
    for each in jobs:
        queue.add(each)

    def taken() -> Iterator[str]:
        while queue.head(now) is not None:
            yield str(queue.take(now).job_id)

    assert [str(each.job_id) for each in queue.in_order(now)] == list("".join(taken()))
    for each in jobs:
        queue.add(each)
    return "".join(str(each.job_id) for each in queue.in_order(now))


@given(TIMES, SERVICES)
def test_without_urgency_the_keys_are_what_they_were(arrival: float, service: float) -> None:
    for urgency in (PLAIN, Urgency()):
        plain = job("a", arrival, service, urgency)
        assert fcfs(plain) == arrival
        assert sjf(plain) == service + AGEING * arrival


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_the_classes_in_order(discipline: str) -> None:
    jobs = [
        job("l", 0.0, urgency=Urgency(-1800.0)),
        job("n", 10.0),
        job("h", 20.0, urgency=Urgency(1800.0)),
    ]
    assert order(discipline, 30.0, *jobs) == "hnl"


def test_a_high_job_does_not_overtake_one_that_has_waited_long() -> None:
    assert order("fcfs", 1900.0, job("n", 0.0), job("h", 1801.0, urgency=Urgency(1800.0))) == "nh"


@pytest.mark.parametrize("discipline", ["fcfs", "sjf"])
@given(SERVICES, SERVICES, st.floats(0.0, 3000.0))
def test_from_its_urgent_moment_on_no_newcomer_goes_before_a_job(
    discipline: str, service: float, other: float, urgent_at: float
) -> None:
    if service / AGEING > MOST_HEAD_START_S:
        service = MOST_HEAD_START_S * AGEING
    urgent = job("u", 0.0, service, Urgency(0.0, urgent_at))
    newcomer = job("n", urgent_at + 0.01, other)
    assert order(discipline, urgent_at + 1.0, newcomer, urgent) == "un"


@given(ANY, ANY, TIMES, SERVICES, SERVICES)
def test_nobody_starves(
    mine: Urgency, theirs: Urgency, arrival: float, service: float, other: float
) -> None:
    waiting = job("w", arrival, service, mine)
    worst = max(0.0, counted_arrival(waiting) - arrival)  # a low class waits so much longer
    for key, more in ((fcfs, 0.0), (sjf, service / AGEING)):
        late = arrival + MOST_HEAD_START_S + worst + more + 1.0
        assert key(waiting) < key(job("n", late, other, theirs))


@given(ANY, TIMES)
def test_a_head_start_has_bounds(urgency: Urgency, arrival: float) -> None:
    assert counted_arrival(job("a", arrival, urgency=urgency)) >= arrival - MOST_HEAD_START_S
