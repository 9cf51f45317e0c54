"""What the guard takes for a failure, what it does then, and who is in charge."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.breaker import BreakerLimits, BreakerState
from agents.decision import Explained, Source
from agents.frozen import FrozenPolicy
from agents.guard import Guarded, GuardLimits, Switch
from agents.policy import Policy
from agents.registry import make_policy
from env.actions import KEEP, Action, ActionKind, spawn
from env.cluster import Cluster
from env.errors import DaCircoError, PolicyError
from env.jobs import Request
from env.metrics import measure
from env.observation import Observer, features
from env.simulator import Simulator
from tests.agents.adversaries import (
    NOT_ACTIONS,
    NOT_POSSIBLE,
    Adversary,
    FakeClock,
    HandNetwork,
    box,
    raising,
)

MODEL = Path(__file__).parents[2] / "models" / "dacirco"
SPAWN_TINY = Adversary("spawns tiny", lambda _: spawn(0))
KEEPS = Adversary("keeps", lambda _: KEEP)


def guarded(policy: Policy, **changes: Any) -> Guarded:
    """The policy with a fallback that spawns a tiny worker, which tells the two apart."""
    return Guarded(policy, SPAWN_TINY, **changes)


def likes(index: int) -> Callable[[Any], list[float]]:
    """Logits that favour an action."""
    return lambda _: [float(i == index) for i in range(7)]


# -- one decision -------------------------------------------------------------------------


def test_a_policy_that_is_well_decides(drive: Any) -> None:
    decision = guarded(KEEPS).decide(drive().cluster)
    assert (decision.action, decision.source, decision.reason) == (KEEP, Source.POLICY, "policy")


@pytest.mark.parametrize("action", [*NOT_ACTIONS, *NOT_POSSIBLE], ids=repr)
def test_what_is_no_possible_action_is_not_carried_out(drive: Any, action: Any) -> None:
    guard = guarded(Adversary("lies", lambda _: action))
    decision = guard.decide(drive().cluster)
    assert (decision.action, decision.source) == (spawn(0), Source.FALLBACK)
    reason = "masked-action" if action in NOT_POSSIBLE else "not-an-action"
    assert decision.reason == reason
    assert decision.detail
    assert guard.failures == {reason: 1}


def test_a_policy_that_raises_is_told_of_in_one_line(drive: Any) -> None:
    guard = guarded(Adversary("raises", raising))
    decision = guard.decide(drive().cluster)
    assert (decision.action, decision.reason) == (spawn(0), "raised")
    assert decision.detail == "RuntimeError: no idea at all"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 3, 6])
def test_an_output_that_is_not_finite_is_refused(drive: Any, bad: float, position: int) -> None:
    network = HandNetwork(likes(0))
    guard, driver = guarded(network), drive()
    guard.reset(driver.cluster)
    network.answer = lambda _: [bad if i == position else 0.0 for i in range(7)]
    decision = guard.decide(driver.cluster)
    assert (decision.action, decision.reason) == (spawn(0), "non-finite")


def test_a_network_cannot_choose_what_the_mask_forbids(drive: Any) -> None:
    decision = guarded(HandNetwork(likes(6))).decide(drive().cluster)  # kill, but nobody is there
    assert decision.source is Source.POLICY
    assert decision.action is KEEP or decision.action.kind is ActionKind.SPAWN


@pytest.mark.parametrize(("took_s", "source"), [(0.05, "policy"), (0.0501, "fallback")])
def test_a_late_answer_is_not_used(drive: Any, took_s: float, source: str) -> None:
    clock = FakeClock()

    def slow(_: Cluster) -> Action:
        clock.now += took_s
        return KEEP

    decision = guarded(Adversary("slow", slow), clock=clock).decide(drive().cluster)
    assert decision.source == source
    if source == "fallback":
        assert (decision.action, decision.reason) == (spawn(0), "deadline-missed")
        assert decision.detail == "took 50.1 ms of 50 ms"


def test_an_observation_outside_the_envelope_is_named(drive: Any) -> None:
    driver = drive()
    network = HandNetwork(likes(0))
    network.envelope = box(driver.cluster, -1.0, 0.9)
    guard = guarded(network)
    assert guard.decide(driver.cluster).source is Source.POLICY
    asked: list[Any] = []
    network.answer = asked.append
    driver.arrive(1000)
    decision = guard.decide(driver.cluster)
    assert (decision.action, decision.reason) == (spawn(0), "outside-envelope")
    assert decision.detail.startswith("waiting is 1.73, known is -1.38 to 1.28; and ")
    assert asked == []  # what it would say means nothing


def test_a_failing_fallback_keeps(drive: Any) -> None:
    for wrong in (*NOT_ACTIONS, *NOT_POSSIBLE):
        guard = Guarded(Adversary("a", raising), Adversary("b", lambda _, w=wrong: w))  # type: ignore[misc]
        decision = guard.decide(drive().cluster)
        assert (decision.action, decision.reason) == (KEEP, "fallback-failed")
    guard = Guarded(Adversary("a", raising), Adversary("b", raising, raising))
    decision = guard.decide(drive().cluster)
    assert (decision.action, decision.source) == (KEEP, Source.FALLBACK)
    assert "no idea" in decision.detail
    assert guard.wake_at(drive().cluster) is None


# -- what was seen ------------------------------------------------------------------------


def observation_hash(cluster: Cluster) -> str:
    row = np.zeros(len(features([f.name for f in cluster.flavors])), dtype="<f4")
    Observer(cluster).write(row)
    return hashlib.sha256(row.tobytes()).hexdigest()


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_the_hash_is_that_of_the_observation(drive: Any, network: bool, fails: bool) -> None:
    driver = drive().busy(2).arrive(3).later(7.0)
    answer = likes(0)
    policy: Policy = HandNetwork(answer) if network else KEEPS
    guard = guarded(policy, hashed=True)
    guard.reset(driver.cluster)
    if fails and isinstance(policy, HandNetwork):
        policy.answer = raising
    elif fails:
        guard = guarded(Adversary("raises", raising), hashed=True)
    decision = guard.decide(driver.cluster)
    assert (decision.source is Source.FALLBACK) == fails
    assert decision.observation == observation_hash(driver.cluster)
    driver.later(1.0)
    assert guard.decide(driver.cluster).observation != decision.observation


def test_a_rules_observation_is_made_only_on_request(drive: Any) -> None:
    assert guarded(KEEPS).decide(drive().cluster).observation == ""


# -- who is in charge ---------------------------------------------------------------------

LIMITS = GuardLimits(breaker=BreakerLimits(failures=3, window_s=60.0, cool_down_s=30.0, trials=2))


class Moody:
    """Raises while it is in a mood; counts how often it was asked."""

    def __init__(self) -> None:
        self.mood, self.asked = True, 0

    def __call__(self, _: Cluster) -> Action:
        self.asked += 1
        if self.mood:
            raise RuntimeError("moody")
        return KEEP


def test_the_breaker_opens_and_hands_back_after_a_trial(drive: Any) -> None:
    driver, moody = drive(), Moody()
    switches: list[Switch] = []
    guard = guarded(Adversary("moody", moody), limits=LIMITS, on_switch=switches.append)
    decide = lambda: guard.decide(driver.later(1.0).cluster)  # noqa: E731
    assert [decide().reason for _ in range(4)] == ["raised"] * 3 + ["breaker-open"]
    assert (guard.state, guard.in_charge, moody.asked) == (
        BreakerState.OPEN,
        Source.FALLBACK,
        3,
    )
    assert guard.wake_at(driver.cluster) == 33.0
    driver.at(32.0)
    assert decide().reason == "raised"  # on trial, and still moody
    assert (guard.state, moody.asked, guard.times_opened) == (BreakerState.OPEN, 4, 2)
    assert decide().detail == "raised: RuntimeError: moody"
    moody.mood = False
    driver.at(92.0)  # twice as long
    assert decide().source is Source.POLICY
    assert (guard.state, guard.in_charge) == (BreakerState.HALF_OPEN, Source.POLICY)
    assert decide().source is Source.POLICY
    assert guard.state is BreakerState.CLOSED
    assert [(s.before.value, s.after.value, s.source.value, s.reason) for s in switches] == [
        ("closed", "open", "fallback", "raised"),
        ("open", "half-open", "policy", "cool-down-over"),
        ("half-open", "open", "fallback", "raised"),
        ("open", "half-open", "policy", "cool-down-over"),
        ("half-open", "closed", "policy", "trial-passed"),
    ]
    assert [s.now for s in switches] == [3.0, 33.0, 33.0, 93.0, 94.0]
    assert guard.failures == {"raised": 4}


def test_many_failures_at_one_instant_do_not_open_the_breaker(drive: Any) -> None:
    guard, driver = guarded(Adversary("raises", raising), limits=LIMITS), drive()
    for _ in range(10):
        guard.decide(driver.cluster)
    assert guard.state is BreakerState.CLOSED
    assert guard.failures["raised"] == 10


@pytest.mark.parametrize("wake", [raising, lambda _: "soon", lambda _: float("nan")])
def test_a_bad_wish_to_be_woken_is_a_failure_too(drive: Any, wake: Any) -> None:
    fallback = Adversary("sleeps", lambda _: KEEP, lambda _: 77.0)
    guard, cluster = Guarded(Adversary("bad", lambda _: KEEP, wake), fallback), drive().cluster
    guard.reset(cluster)
    assert guard.wake_at(cluster) == 77.0
    assert guard.failures == {"raised": 1}


def test_the_wish_is_that_of_who_is_in_charge(drive: Any) -> None:
    fallback = Adversary("b", lambda _: KEEP, lambda _: 7.0)
    guard, cluster = (
        Guarded(Adversary("a", lambda _: KEEP, lambda _: 9.0), fallback),
        drive().cluster,
    )
    guard.reset(cluster)
    assert guard.wake_at(cluster) == 9.0
    assert isinstance(guard, Explained)


# -- a policy that cannot serve the cluster -----------------------------------------------


class Refuses(Adversary):
    """Cannot be reset."""

    def __init__(self, error: Exception) -> None:
        super().__init__("refuses", lambda _: KEEP)
        self.error = error

    def reset(self, cluster: Cluster) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [(PolicyError("other flavors"), "other flavors"), (ValueError("x"), "ValueError: x")],
)
def test_the_fallback_serves_where_the_policy_cannot(
    drive: Any, error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    switches: list[Switch] = []
    guard = guarded(Refuses(error), on_switch=switches.append)
    driver = drive()
    guard.reset(driver.cluster)
    assert told in caplog.text
    assert guard.unusable == told
    assert [(s.source.value, s.reason, s.detail) for s in switches] == [
        ("fallback", "unusable", told)
    ]
    for _ in range(200):
        decision = guard.decide(driver.later(10.0).cluster)
        assert (decision.action, decision.reason, decision.detail) == (spawn(0), "unusable", told)
    assert guard.state is BreakerState.OPEN
    assert guard.wake_at(driver.cluster) is None


@pytest.mark.parametrize("answer", [lambda _: [0.0] * 6, raising])
def test_a_network_that_cannot_answer_is_found_at_the_start(drive: Any, answer: Any) -> None:
    guard = guarded(HandNetwork(answer))
    guard.reset(drive().cluster)
    assert guard.unusable


def test_a_fallback_that_cannot_serve_the_cluster_is_an_error(drive: Any) -> None:
    with pytest.raises(DaCircoError, match="huge"):
        Guarded(KEEPS, make_policy("grace-period:flavor=huge")).reset(drive().cluster)


def test_another_cluster_is_a_new_start(drive: Any) -> None:
    guard = guarded(Adversary("raises", raising), limits=LIMITS)
    driver = drive()
    for _ in range(3):
        guard.decide(driver.later(1.0).cluster)
    assert guard.state is BreakerState.OPEN
    assert guard.decide(drive().cluster).reason == "raised"
    assert guard.state is BreakerState.CLOSED


# -- in the simulator ---------------------------------------------------------------------


@pytest.mark.skipif(not MODEL.is_dir(), reason="needs the shipped policy")
def test_a_sound_policy_does_the_same_under_guard(
    simulate: Callable[..., Simulator], requests_at: Callable[..., list[Request]]
) -> None:
    requests = requests_at([i * 9.0 for i in range(60)])
    free = simulate(FrozenPolicy(MODEL), requests)
    # Its own clock: a machine that is busy must not miss the deadline for it.
    guard = Guarded(FrozenPolicy(MODEL), make_policy("grace-period"), clock=FakeClock())
    held = simulate(guard, requests)
    assert measure(held) == measure(free)
    assert guard.failures == {}


def test_a_failing_policy_leaves_the_simulator_to_the_fallback(
    simulate: Callable[..., Simulator], requests_at: Callable[..., list[Request]]
) -> None:
    requests = requests_at([i * 9.0 for i in range(60)])
    fallback = make_policy("grace-period:max_idle_time=30")
    expected = measure(simulate(fallback, requests))
    bad = Adversary("raises", raising, raising)
    bad.discipline = "fcfs"
    guard = Guarded(bad, fallback)
    assert measure(simulate(guard, requests)) == expected
    assert guard.times_opened > 0


def test_limits_that_make_no_sense() -> None:
    with pytest.raises(DaCircoError, match="deadline_s"):
        GuardLimits(deadline_s=0.0)
