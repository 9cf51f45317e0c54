"""Whatever the policy and whatever happens: random event sequences, and the simulator's faults.

The number of sequences is small enough for every run of the tests; set DACIRCO_SEQUENCES to try
more of each.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agents.guard import Guarded
from agents.policy import Policy
from agents.registry import make_policy
from agents.shield import ShieldLimits
from env.actions import KEEP, ActionKind
from env.catalog import load_catalog
from env.config import load_profile
from env.families import FAMILIES, draw_requests
from env.simulator import Simulator
from env.worker import WorkerState
from tests.agents.adversaries import (
    Adversary,
    HandNetwork,
    Random,
    Undecided,
    adversaries,
    box,
    killing_and_spawning,
)
from tests.agents.referee import Referee

SEQUENCES = int(os.environ.get("DACIRCO_SEQUENCES", "0"))
EVENTS = 60
NAMES = [policy.name for policy in adversaries()]


def random_limits(rng: np.random.Generator) -> ShieldLimits:
    return ShieldLimits(
        max_wait_s=float(rng.choice([20.0, 100.0, 300.0])),
        spawns_per_minute=None if rng.random() < 0.3 else int(rng.integers(2, 12)),
        orders_per_epoch=int(rng.integers(1, 17)),
        backoff_s=float(rng.choice([1.0, 5.0])),
        backoff_limit_s=float(rng.choice([5.0, 120.0])),
    )


def random_cluster(rng: np.random.Generator) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if rng.random() < 0.5:
        limits["max_workers"] = int(rng.integers(1, 10))
    if rng.random() < 0.3:
        limits["max_vcpus"] = float(rng.integers(4, 18))
    if rng.random() < 0.3:
        limits["max_ram_gib"] = float(rng.integers(8, 40))
    return limits


class World:
    """Events at random, the policy asked after each and when it wishes."""

    def __init__(self, driver: Any, referee: Referee, rng: np.random.Generator) -> None:
        self.driver, self.referee, self.rng = driver, referee, rng
        self.fails = float(rng.choice([0.0, 0.3, 1.0], p=[0.4, 0.4, 0.2]))
        referee.reset(driver.cluster)

    def epoch(self) -> None:
        """Dispatch, orders until KEEP, carried out."""
        self.driver.dispatch()
        while (action := self.referee.act(self.driver.cluster)).kind is not ActionKind.KEEP:
            self.driver.carry_out(action)

    def wait(self, seconds: float) -> None:
        """Time passes; the policy is woken as it wishes (at most so often, for speed)."""
        cluster = self.driver.cluster
        end = cluster.now + seconds
        for _ in range(50):
            wake = self.referee.wake_at(cluster)
            if wake is None or wake >= end:
                break
            self.driver.at(wake)
            self.epoch()
        self.driver.at(end)
        self.epoch()

    def event(self, which: int) -> None:
        """Something happens, if it can."""
        driver, rng = self.driver, self.rng
        cluster, now = driver.cluster, driver.cluster.now
        if which == 0:
            driver.arrive(int(rng.integers(1, 6)))
        elif which == 1:
            for worker in driver.in_state(WorkerState.BOOTING)[: int(rng.integers(1, 5))]:
                if rng.random() < self.fails:
                    cluster.spawn_failed(now, worker.worker_id)
                else:
                    cluster.worker_ready(now, worker.worker_id)
        elif which == 2:
            driver.finish(int(rng.integers(1, 4)))
        elif which == 3 and cluster.workers:
            ids = list(cluster.workers)
            cluster.worker_lost(now, ids[int(rng.integers(len(ids)))])
        elif which == 4:
            driver.stopped()
        elif which == 5:
            for worker in driver.in_state(WorkerState.BUSY)[:1]:
                cluster.task_failed(now, worker.worker_id)
        self.epoch()

    def step(self) -> None:
        if self.rng.random() < 0.6:
            self.wait(float(self.rng.exponential(self.rng.choice([0.5, 10.0, 100.0]))))
        self.event(int(self.rng.choice(6, p=[0.25, 0.3, 0.2, 0.05, 0.15, 0.05])))


@pytest.mark.parametrize("which", range(len(NAMES)), ids=NAMES)
def test_the_bounds_hold_whatever_happens(drive: Any, which: int) -> None:
    decisions = 0
    for seed in range(SEQUENCES or 150):
        rng = np.random.default_rng([which, seed])
        policy = adversaries(seed)[which]
        if rng.random() < 0.5:  # with a guard, as in a live service
            policy = Guarded(policy, make_policy("grace-period"))  # type: ignore[assignment]
        referee = Referee(policy, random_limits(rng))
        world = World(drive(**random_cluster(rng)), referee, rng)
        for _ in range(EVENTS):
            world.step()
        decisions += referee.decisions
    assert decisions > EVENTS


def hostile_networks() -> list[HandNetwork]:
    """Networks that answer nonsense, and one that is sound but sees what it does not know."""
    rng = np.random.default_rng(3)

    def moody(_: Any) -> list[float]:
        return [float(x) for x in rng.choice([np.nan, np.inf, -np.inf, 0.0, 1.0], 7)]

    def wrong_width(_: Any) -> list[float]:
        return [0.0] * int(rng.choice([6, 7]))

    return [
        HandNetwork(lambda _: [float("nan")] * 7),
        HandNetwork(moody),
        HandNetwork(wrong_width),
        HandNetwork(lambda _: [float(x) for x in rng.normal(size=7)]),
    ]


@pytest.mark.parametrize("which", range(5))
def test_the_bounds_hold_for_networks_that_answer_nonsense(drive: Any, which: int) -> None:
    for seed in range(SEQUENCES or 100):
        rng = np.random.default_rng([99, which, seed])
        network = hostile_networks()[min(which, 3)]
        driver = drive(**random_cluster(rng))
        if which == 4:
            network.envelope = box(driver.cluster, 0.0, 0.5)
        guard = Guarded(network, make_policy("minimize-workers"))
        referee = Referee(guard, random_limits(rng))
        world = World(driver, referee, rng)
        for _ in range(EVENTS):
            world.step()
        assert guard.unusable or guard.failures or which == 3


def test_attempts_to_spawn_grow_rare_when_all_fail(drive: Any) -> None:
    limits = ShieldLimits(max_wait_s=60.0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        referee = Referee(Adversary("never keeps", Undecided(seed)), limits)
        driver = drive().arrive(3)
        world = World(driver, referee, rng)
        world.fails = 1.0
        while driver.cluster.now < 3600.0:
            world.wait(1.0)
            world.event(1)
        for flavor in range(3):
            # 5, 10, 20, 40, 80 seconds, then every 120; several at once count once.
            instants = sorted(set(referee.attempts_in_vain(flavor)))
            assert 20 <= len(instants) <= 6 + 3600 / 120


FAULTS = {"spawn_failure": 0.3, "worker_loss_per_hour": 2.0, "transcode_error": 0.1}


@pytest.mark.parametrize("which", range(len(NAMES)), ids=NAMES)
def test_every_job_ends_in_the_simulator_with_faults_under_any_policy(which: int) -> None:
    profile = load_profile("openstack")
    profile = replace(
        profile,
        cluster=replace(profile.cluster, max_workers=8),
        faults=replace(profile.faults, **FAULTS),
    )
    movies = load_catalog()
    for seed in range(SEQUENCES or 3):
        rng = np.random.default_rng(seed)
        requests = draw_requests(FAMILIES["poisson"](0.03), rng, movies, 1200.0)
        referee = Referee(adversaries(seed)[which], ShieldLimits(max_wait_s=120.0))
        simulator = Simulator(profile, requests, movies, seed=seed, discipline=referee.discipline)
        simulator.run(referee)
        cluster = simulator.cluster
        assert simulator.done
        assert cluster.completed + cluster.failed == len(requests)
        assert simulator.invalid_actions == 0
        if NAMES[which] == "never spawns":
            assert referee.forced == cluster.boots > 0


class ShieldMachine(RuleBasedStateMachine):
    """The same by hypothesis, which finds the shortest sequence that breaks a bound."""

    drive: Any

    @initialize(
        which=st.sampled_from(
            [
                lambda: Adversary("random", Random(1)),
                lambda: Adversary("undecided", Undecided(1)),
                lambda: Adversary("churn", killing_and_spawning),
                lambda: Adversary("keeps", lambda _: KEEP),
            ]
        ),
        limits=st.builds(
            ShieldLimits,
            max_wait_s=st.sampled_from([10.0, 60.0]),
            spawns_per_minute=st.sampled_from([None, 2, 5]),
            orders_per_epoch=st.integers(1, 4),
            backoff_s=st.sampled_from([1.0, 5.0]),
            backoff_limit_s=st.sampled_from([5.0, 40.0]),
        ),
        max_workers=st.none() | st.integers(1, 4),
    )
    def start(self, which: Any, limits: ShieldLimits, max_workers: int | None) -> None:
        driver = self.drive() if max_workers is None else self.drive(max_workers=max_workers)
        policy: Policy = which()
        self.world = World(driver, Referee(policy, limits), np.random.default_rng(0))

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 60.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(which=st.integers(0, 5))
    def something_happens(self, which: int) -> None:
        self.world.event(which)

    @rule(fails=st.sampled_from([0.0, 1.0]))
    def spawns_begin_to_fail_or_work(self, fails: float) -> None:
        self.world.fails = fails

    @invariant()
    def books_agree(self) -> None:
        cluster = self.world.driver.cluster
        assert len(cluster.workers) <= cluster.capacity_of(0)


def test_the_bounds_hold_in_any_order_of_events(drive: Any) -> None:
    from hypothesis import settings
    from hypothesis.stateful import run_state_machine_as_test

    machine = type("Machine", (ShieldMachine,), {"drive": drive})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=max(SEQUENCES, 60), stateful_step_count=40, deadline=None),
    )
