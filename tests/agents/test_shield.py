"""Each bound by itself; `test_shield_holds.py` shows that they hold whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf
from typing import Any

import pytest

from agents.decision import Decision, Explained, Source
from agents.policy import Policy
from agents.registry import make_policy
from agents.shield import Shielded, ShieldLimits
from env.actions import KEEP, Action, ActionKind, kill, spawn
from env.cluster import Cluster
from env.errors import DaCircoError
from env.worker import WorkerState
from tests.agents.adversaries import NOT_ACTIONS, NOT_POSSIBLE, Adversary, raising


def shielded(act: Any, wake: Any = lambda _: None, **limits: Any) -> Shielded:
    policy = act if isinstance(act, Policy) else Adversary("test", act, wake)
    return Shielded(policy, ShieldLimits(**limits))


def keep(_: Cluster) -> Action:
    return KEEP


def orders(shield: Shielded, driver: Any) -> list[Decision]:
    """The decisions of one epoch, carried out, without the last KEEP."""
    found = []
    while (decision := shield.decide(driver.cluster)).action is not KEEP:
        driver.carry_out(decision.action)
        found.append(decision)
    return [*found, decision]


def fail_boots(driver: Any) -> None:
    for worker in driver.in_state(WorkerState.BOOTING):
        driver.cluster.spawn_failed(driver.cluster.now, worker.worker_id)


# -- what passes --------------------------------------------------------------------------


def test_what_is_within_the_bounds_passes_unchanged(drive: Any) -> None:
    driver = drive().idle(1)
    for action in (KEEP, spawn(1), kill(1)):
        decision = shielded(lambda _, a=action: a).decide(driver.cluster)
        assert (decision.action, decision.source, decision.reason) == (
            action,
            Source.POLICY,
            "policy",
        )


def test_the_inner_explanation_is_kept(drive: Any) -> None:
    given = Decision(spawn(0), Source.FALLBACK, "raised", "why", "abc")

    class Explains(Adversary):
        def decide(self, cluster: Cluster) -> Decision:
            return given

    assert shielded(Explains("x", raising)).decide(drive().cluster) is given
    assert isinstance(shielded(keep), Explained)


# -- what cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize("action", [*NOT_ACTIONS, *NOT_POSSIBLE], ids=repr)
def test_what_is_not_possible_becomes_keep(drive: Any, action: Any) -> None:
    shield = shielded(lambda _: action)
    decision = shield.decide(drive().busy(1).cluster)
    assert (decision.action, decision.source) == (KEEP, Source.SHIELD)
    assert decision.reason == ("masked-action" if action in NOT_POSSIBLE else "not-an-action")
    assert shield.interventions == {decision.reason: 1}


def test_a_busy_worker_is_not_killed(drive: Any) -> None:
    driver = drive().busy(2)
    decision = shielded(lambda _: kill(1)).decide(driver.cluster)
    assert (decision.action, decision.reason) == (KEEP, "masked-action")


@pytest.mark.parametrize("limits", [{"max_workers": 2}, {"max_vcpus": 4.0}, {"max_ram_gib": 8.0}])
def test_no_limit_is_exceeded(drive: Any, limits: dict[str, Any]) -> None:
    driver = drive(**limits)
    decisions = orders(shielded(lambda _: spawn(1)), driver)
    assert [d.action for d in decisions] == [spawn(1), spawn(1), KEEP]
    assert decisions[-1].reason == "masked-action"


def test_a_policy_that_raises_keeps(drive: Any) -> None:
    shield = shielded(raising, raising)
    decision = shield.decide(drive().cluster)
    assert (decision.action, decision.reason) == (KEEP, "raised")
    assert shield.wake_at(drive().cluster) is None


# -- too much -----------------------------------------------------------------------------


def test_an_epoch_has_so_many_orders_at_most(drive: Any) -> None:
    driver = drive()
    shield = shielded(lambda _: spawn(0), orders_per_epoch=4)
    decisions = orders(shield, driver)
    assert len(decisions) == 5
    assert (decisions[-1].source, decisions[-1].reason) == (Source.SHIELD, "too-many-orders")
    assert len(orders(shield, driver)) == 5  # another event at the same time
    driver.later(1.0)
    assert len(orders(shield, driver)) == 5


def test_spawns_a_minute_are_bounded_in_every_minute(drive: Any) -> None:
    driver = drive()
    shield = shielded(
        lambda c: kill(0) if c.idle[0] else spawn(0), spawns_per_minute=6, orders_per_epoch=2
    )
    spawned: list[float] = []
    for _ in range(400):
        driver.later(1.5)
        spawned += [
            driver.cluster.now
            for decision in orders(shield, driver)
            if decision.action.kind is ActionKind.SPAWN
        ]
        driver.ready().stopped()
    assert len(spawned) == pytest.approx(400 * 1.5 / 60 * 5, abs=5)
    for first, sixth in zip(spawned, spawned[5:], strict=False):
        assert sixth - first >= 60.0
    assert shield.interventions["spawn-rate"] > 0


def test_the_default_rate_follows_the_cluster(drive: Any) -> None:
    shield = shielded(keep)
    shield.reset(drive().cluster)
    assert shield.spawns_per_minute == 2 * 18
    shield.reset(drive(max_workers=3).cluster)
    assert shield.spawns_per_minute == 20


def test_a_refused_spawn_is_tried_again_when_it_may_be(drive: Any) -> None:
    driver = drive()
    shield = shielded(lambda _: spawn(0), spawns_per_minute=2)
    orders(shield, driver.at(7.0))
    assert shield.wake_at(driver.cluster) == pytest.approx(67.0)
    driver.at(shield.wake_at(driver.cluster))
    assert orders(shield, driver)[0].action == spawn(0)


# -- failed spawns ------------------------------------------------------------------------


def test_a_failed_spawn_backs_off_and_doubles_up_to_the_limit(drive: Any) -> None:
    driver = drive()
    shield = shielded(lambda _: spawn(0), orders_per_epoch=1, backoff_s=5.0, backoff_limit_s=30.0)
    tried = []
    while len(tried) < 6:
        if orders(shield, driver)[0].action == spawn(0):
            tried.append(driver.cluster.now)
            fail_boots(driver)
            assert orders(shield, driver)[0].reason == "spawn-backoff"
        driver.at(shield.wake_at(driver.cluster))
    assert [b - a for a, b in pairwise(tried)] == pytest.approx([5, 10, 20, 30, 30])


def test_spawns_that_fail_together_count_once(drive: Any) -> None:
    driver = drive()
    shield = shielded(lambda _: spawn(0), orders_per_epoch=8, backoff_s=5.0)
    assert len(orders(shield, driver)) == 9
    fail_boots(driver)
    orders(shield, driver)
    assert shield.wake_at(driver.cluster) == pytest.approx(5.0)


def test_a_worker_that_comes_ends_the_back_off(drive: Any) -> None:
    driver = drive().boot(1, 0)
    shield = shielded(lambda _: spawn(0), orders_per_epoch=1)
    shield.reset(driver.cluster)
    driver.boot(1, 0)
    second = driver.in_state(WorkerState.BOOTING)[1]
    driver.cluster.spawn_failed(0.0, second.worker_id)
    assert shield.decide(driver.cluster).reason == "spawn-backoff"
    driver.ready()
    assert shield.decide(driver.cluster).action == spawn(0)


def test_one_flavors_failure_leaves_the_others_alone_but_not_two(drive: Any) -> None:
    driver = drive()
    wanted = [2]
    shield = shielded(lambda _: spawn(wanted[0]), orders_per_epoch=1, backoff_s=5.0)
    assert orders(shield, driver)[0].action == spawn(2)
    fail_boots(driver)
    wanted[0] = 0
    assert orders(shield, driver.later(1.0))[0].action == spawn(0)
    fail_boots(driver)
    wanted[0] = 1
    decision = orders(shield, driver.later(1.0))[0]
    assert decision.reason == "spawn-backoff"
    assert "s10.small" in decision.detail


# -- waiting ------------------------------------------------------------------------------


def test_capacity_is_forced_when_a_job_has_waited_too_long(drive: Any) -> None:
    driver = drive().at(10.0).arrive()
    shield = shielded(keep, max_wait_s=100.0)
    assert orders(shield, driver.at(109.0))[0].action is KEEP
    assert shield.wake_at(driver.cluster) == pytest.approx(110.0)
    first, last = orders(shield, driver.at(110.0))
    assert (first.action, first.source, first.reason) == (
        spawn(0),
        Source.SHIELD,
        "waiting-too-long",
    )
    assert first.detail == "a job has waited for 100 s"
    assert last.source is Source.POLICY
    assert shield.wake_at(driver.cluster) is None  # the boot's end is an event
    driver.ready().dispatch()
    assert driver.cluster.waiting == 0


def test_the_smallest_flavor_that_fits_and_does_not_fail_is_forced(drive: Any) -> None:
    driver = drive().arrive()
    shield = shielded(keep, max_wait_s=100.0, backoff_s=50.0)
    assert orders(shield, driver.at(100.0))[0].action == spawn(0)
    fail_boots(driver)
    assert orders(shield, driver.at(101.0))[0].action == spawn(1)
    fail_boots(driver)
    assert orders(shield, driver.at(102.0))[0].action is KEEP  # two in a row: all wait
    assert shield.wake_at(driver.cluster) == pytest.approx(152.0)
    assert orders(shield, driver.at(152.0))[0].action == spawn(0)


def test_nothing_is_forced_while_there_is_no_room_or_help_is_on_its_way(drive: Any) -> None:
    shield = shielded(keep, max_wait_s=100.0)
    full = drive(max_workers=1).busy(1).arrive()
    assert orders(shield, full.at(500.0))[0].action is KEEP
    assert shield.wake_at(full.cluster) is None
    booting = drive().boot(1).arrive()
    assert orders(shield, booting.at(500.0))[0].action is KEEP
    full.finish()
    assert full.cluster.n_idle  # it takes the job at the dispatch that follows
    assert orders(shield, full)[0].action is KEEP


def test_a_hostile_policy_cannot_use_up_what_is_kept_for_waiting_jobs(drive: Any) -> None:
    driver = drive(max_workers=1)
    churn: Callable[[Cluster], Action] = lambda c: kill(0) if c.idle[0] else spawn(0)  # noqa: E731
    shield = shielded(churn, spawns_per_minute=4, max_wait_s=20.0)
    for _ in range(3):
        orders(shield, driver.later(1.0))
        orders(shield, driver.later(1.0).ready())
        driver.stopped()
    assert orders(shield, driver)[0].reason == "spawn-rate"
    driver.arrive()
    assert orders(shield, driver.later(20.0))[0].reason == "waiting-too-long"


# -- waking -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (None, None),
        (40.0, 40.0),
        (10.0, None),
        (3.0, None),
        (10.0 + 1e-9, 10.05),
        (float("nan"), None),
        (inf, None),
        ("soon", None),
    ],
)
def test_a_policys_wish_to_be_woken(drive: Any, wish: Any, expected: float | None) -> None:
    driver = drive().at(10.0)
    shield = shielded(keep, lambda _: wish)
    orders(shield, driver)
    assert shield.wake_at(driver.cluster) == expected


def test_the_shields_own_time_comes_before_a_later_wish(drive: Any) -> None:
    driver = drive().arrive().at(10.0)
    shield = shielded(keep, lambda _: 1000.0, max_wait_s=30.0)
    orders(shield, driver)
    assert shield.wake_at(driver.cluster) == 30.0


# -- the rest -----------------------------------------------------------------------------


def test_it_counts_from_what_the_cluster_says_at_the_reset(drive: Any) -> None:
    driver = drive().boot(4, 0)
    driver.cluster.spawn_failed(0.0, driver.in_state(WorkerState.BOOTING)[0].worker_id)
    shield = shielded(lambda _: spawn(0), spawns_per_minute=2)
    shield.reset(driver.cluster)
    assert shield.decide(driver.cluster).action == spawn(0)


def test_a_rule_passes_through(drive: Any) -> None:
    rule = make_policy("reserve-k:spares=2")
    shield = Shielded(rule)
    assert (shield.name, shield.spec, shield.discipline) == (
        "reserve-k",
        rule.spec,
        rule.discipline,
    )
    driver = drive()
    shield.reset(driver.cluster)
    assert driver.epoch(shield) == [spawn(1), spawn(1)]


@pytest.mark.parametrize(
    "limit", ["max_wait_s", "spawns_per_minute", "orders_per_epoch", "backoff_s", "backoff_limit_s"]
)
def test_limits_that_make_no_sense(limit: str) -> None:
    with pytest.raises(DaCircoError, match=limit):
        ShieldLimits(**{limit: 0})
