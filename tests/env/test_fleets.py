"""Fleets in thought: their cost by hand and by brute force, and what is remembered of the jobs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.fleets import Fleet, FleetHindsight, Seen
from env.jobs import Job, Request

ONE = Fleet(flavor=0, limit=1, cores=1.0, boot_s=10.0, keep_alive_s=5.0)

JOBS = st.lists(st.tuples(st.floats(0.0, 60.0), st.floats(0.5, 80.0)), max_size=40).map(
    lambda gaps: [
        (sum(gap for gap, _ in gaps[: i + 1]), (service, service / 2))
        for i, (_, service) in enumerate(gaps)
    ]
)


def job(arrival_s: float, *service_s: float) -> Job:
    one = Job("a", Request(arrival_s, "m", 1000, "fast"), service_s)
    one.arrival_s = arrival_s
    return one


def cost_by_search(fleet: Fleet, jobs: list[Seen], preference: float) -> float:
    """The same rule with a list of workers, each as [birth, free from, gone]."""
    workers: list[list[float]] = []
    delay = 0.0
    for arrival_s, service_s in jobs:
        alive = [w for w in workers if arrival_s <= w[1] + fleet.keep_alive_s or w[1] > arrival_s]
        idle = [w for w in alive if w[1] <= arrival_s]
        soonest = min((w for w in alive if w[1] > arrival_s), key=lambda w: w[1], default=None)
        boots = len(alive) < fleet.limit
        if idle:
            worker, start = max(idle, key=lambda w: w[1]), arrival_s
        elif boots and (soonest is None or arrival_s + fleet.boot_s < soonest[1]):
            worker, start = [arrival_s, 0.0], arrival_s + fleet.boot_s
            workers.append(worker)
        else:
            assert soonest is not None
            worker, start = soonest, soonest[1]
        worker[1] = start + service_s[fleet.flavor]
        delay += worker[1] - arrival_s
    reserved = sum(free - birth + fleet.keep_alive_s for birth, free in workers)
    return preference * delay + (1 - preference) * fleet.cores * reserved


def test_by_hand() -> None:
    # Boots until 10, serves until 13; the second waits for it; the third finds nobody any more.
    jobs = [(0.0, (3.0,)), (5.0, (2.0,)), (21.0, (1.0,))]
    delay, reserved = 13.0 + 10.0 + 11.0, (15.0 + 5.0) + (11.0 + 5.0)
    assert ONE.cost(jobs, 0.9) == pytest.approx(0.9 * delay + 0.1 * reserved)
    assert ONE._replace(cores=2.0).cost(jobs, 0.1) == pytest.approx(0.1 * delay + 1.8 * reserved)


def test_an_idle_worker_is_taken_and_need_not_boot() -> None:
    jobs = [(0.0, (3.0,)), (17.0, (2.0,))]
    assert ONE.cost(jobs, 0.5) == pytest.approx(0.5 * (13.0 + 2.0) + 0.5 * (19.0 + 5.0))


@given(
    jobs=JOBS,
    limit=st.integers(1, 5),
    boot_s=st.floats(0.1, 40.0),
    keep_alive_s=st.floats(0.1, 100.0),
    preference=st.floats(0.1, 0.9),
    flavor=st.integers(0, 1),
)
def test_as_a_search_finds_it(
    jobs: list[Seen],
    limit: int,
    boot_s: float,
    keep_alive_s: float,
    preference: float,
    flavor: int,
) -> None:
    fleet = Fleet(flavor, limit, 1.5, boot_s, keep_alive_s)
    expected = cost_by_search(fleet, jobs, preference)
    assert fleet.cost(jobs, preference) == pytest.approx(expected)


def test_what_is_found_does_not_depend_on_who_asks_when() -> None:
    often, seldom = FleetHindsight(24), FleetHindsight(24)
    for i in range(100):
        for hindsight in (often, seldom):
            hindsight.observe(job(5.0 * i, 1.0 + i % 7), i % 11)
        often.look(lambda: [ONE], 0.5)
    seldom.look(lambda: [ONE], 0.5)
    assert often.costs == seldom.costs
    # Told after every fourth job, of the 24 before it.
    told = [(5.0 * i, (1.0 + i % 7,)) for i in range(76, 100)]
    assert often.costs == [ONE.cost(told, 0.5)]
    assert often.peak == seldom.peak == 10


def test_nothing_is_told_before_there_are_some_jobs() -> None:
    hindsight = FleetHindsight(24)
    for i in range(3):
        hindsight.observe(job(float(i), 1.0), i)
        hindsight.look(lambda: [ONE], 0.5)
    assert hindsight.costs == []
    hindsight.observe(job(3.0, 1.0), 4)
    hindsight.look(lambda: [ONE], 0.5)
    assert len(hindsight.costs) == 1


def test_fleets_are_made_only_where_they_are_needed() -> None:
    hindsight, made = FleetHindsight(6), []

    def fleets() -> list[Fleet]:
        made.append(ONE)
        return [ONE]

    for i in range(5):
        hindsight.observe(job(float(i), 1.0), i)
        hindsight.look(fleets, 0.5)
        hindsight.look(fleets, 0.5)
    assert len(made) == 5
    hindsight.look(fleets, 0.9)  # the operator's dial was turned
    assert len(made) == 6
