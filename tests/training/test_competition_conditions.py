"""Worlds off the profile: what is true, what the policies believe, and who meets whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from env.catalog import load_catalog
from env.config import load_profile
from env.scenario import load_scenario
from env.simulator import Simulator
from training.competition.conditions import AT_HOME, ELSEWHERE, FAULTS, OFF_PROFILE, SIZES
from training.competition.entrants import Rival, heeds_preference, scaled, tuned_at

HOME = load_profile("openstack")
CATALOG = load_catalog()
REQUESTS = load_scenario("train/poisson-mild").requests[:20]
BY_NAME = {condition.name: condition for condition in ELSEWHERE}


def test_home_is_as_it_is() -> None:
    assert AT_HOME.true(HOME) == AT_HOME.believed(HOME) == HOME
    assert AT_HOME.requests(REQUESTS, HOME) == REQUESTS


def test_names_are_different() -> None:
    assert len(BY_NAME) == len(ELSEWHERE) == len(OFF_PROFILE) + len(SIZES) + 1


@pytest.mark.parametrize("condition", OFF_PROFILE, ids=lambda c: c.name)
def test_what_is_off_is_not_believed(condition) -> None:
    assert condition.believed(HOME) == HOME
    true = condition.true(HOME)
    simulators = [
        Simulator(profile, condition.requests(REQUESTS, HOME), CATALOG, believed=HOME)
        for profile in (HOME, true)
    ]
    expected = [(s.cluster.boot_s, s.cluster.profile) for s in simulators]
    assert expected[0] == expected[1]
    alone = [simulator.alone().transcode_s.sum() for simulator in simulators]
    assert alone[1] / alone[0] == pytest.approx(condition.speed)
    assert true.timing.boot.median_s == pytest.approx(condition.boot * HOME.timing.boot.median_s)


def test_jobs_are_believed_to_take_what_the_profile_says() -> None:
    slow = BY_NAME["transcodes +30 %"].true(HOME)

    def expected(**more: object) -> tuple[float, ...]:
        simulator = Simulator(slow, REQUESTS, CATALOG, **more)  # type: ignore[arg-type]
        while not simulator.cluster.jobs:
            simulator.advance()
        return next(iter(simulator.cluster.jobs.values())).service_s

    assert expected(believed=HOME) < expected()
    at_home = Simulator(HOME, REQUESTS, CATALOG)
    while not at_home.cluster.jobs:
        at_home.advance()
    assert next(iter(at_home.cluster.jobs.values())).service_s == expected(believed=HOME)


def test_a_higher_rate_is_shorter() -> None:
    sooner = BY_NAME["arrivals +30 %"].requests(REQUESTS, HOME)
    assert sooner[-1].arrival_s == pytest.approx(REQUESTS[-1].arrival_s / 1.3)
    assert [replace(r, arrival_s=0.0) for r in sooner] == [
        replace(r, arrival_s=0.0) for r in REQUESTS
    ]


@pytest.mark.parametrize("condition", SIZES, ids=lambda c: c.name)
def test_the_rate_grows_with_the_nodes_that_are_known(condition) -> None:
    true = condition.true(HOME)
    assert len(true.cluster.nodes) == condition.nodes
    assert condition.believed(HOME) == true
    last = condition.requests(REQUESTS, HOME)[-1].arrival_s
    assert last == pytest.approx(REQUESTS[-1].arrival_s * 3 / condition.nodes)


def test_faults() -> None:
    assert FAULTS.true(HOME).faults.spawn_failure == 0.05
    assert FAULTS.true(HOME).faults.worker_loss_per_hour > 0
    assert FAULTS.believed(HOME) == HOME


def test_the_nearest_tuned_setting_counts() -> None:
    every = [
        Rival("a", "a", None),
        *(Rival("a", f"a:x={w}", w) for w in (0.1, 0.5, 0.9)),
        Rival("b", "b:y=1", 0.5),
    ]
    assert [r.spec for r in tuned_at(every, 0.1)] == ["a:x=0.1", "b:y=1"]
    assert [r.spec for r in tuned_at(every, 0.67)] == ["a:x=0.5", "b:y=1"]
    assert [r.spec for r in tuned_at(every, 0.9)] == ["a:x=0.9", "b:y=1"]


def test_counts_of_workers_grow_with_the_nodes() -> None:
    rival = Rival("reserve-k", "reserve-k:max_workers=7,spares=2,max_idle_time=5", 0.5)
    larger = scaled(rival, 4.0)
    assert larger is not None
    assert larger.spec == "reserve-k:max_workers=28,spares=8,max_idle_time=5"
    smaller = scaled(rival, 2 / 3)
    assert smaller is not None
    assert smaller.spec == "reserve-k:max_workers=5,spares=2,max_idle_time=5"
    assert scaled(rival, 1.0) is None
    assert scaled(Rival("break-even", "break-even:factor=2", 0.5), 4.0) is None
    assert scaled(Rival("reserve-k", "reserve-k:max_workers=none", 0.5), 4.0) is None


def test_who_heeds_the_preference() -> None:
    assert heeds_preference("models/dacirco")
    assert heeds_preference("break-even:factor=2")
    assert not heeds_preference("grace-period")
