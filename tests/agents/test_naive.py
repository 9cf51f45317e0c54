"""The two algorithms of the existing system, decision by decision."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.grace_period import GracePeriod, GracePeriodParameters
from agents.minimize_workers import MinimizeWorkers
from env.actions import KEEP, kill, spawn
from env.errors import PolicyError, UnknownNameError
from env.metrics import measure

TINY, SMALL, MEDIUM = 0, 1, 2
NAIVE = ("minimize-workers", "grace-period")


@pytest.mark.parametrize("spec", NAIVE)
class TestBoth:
    def test_serves_first_come_first_served(self, drive, spec):
        assert drive().policy(spec).discipline == "fcfs"

    def test_keeps_an_empty_cluster(self, drive, spec):
        cluster = drive()
        assert cluster.policy(spec).act(cluster.cluster) is KEEP

    def test_starts_a_worker_for_each_waiting_request(self, drive, spec):
        cluster = drive().arrive(3)
        assert cluster.epoch(cluster.policy(spec)) == [spawn(SMALL)] * 3

    def test_needs_no_second_worker_for_a_request_with_one_coming(self, drive, spec):
        cluster = drive().boot(2).arrive(3)
        assert cluster.epoch(cluster.policy(spec)) == [spawn(SMALL)]

    def test_needs_none_while_an_idle_worker_can_take_the_request(self, drive, spec):
        cluster = drive().idle().arrive()
        assert cluster.epoch(cluster.policy(spec)) == []
        assert cluster.cluster.n_busy == 1

    def test_stops_at_max_workers(self, drive, spec):
        cluster = drive().arrive(5)
        assert cluster.epoch(cluster.policy(f"{spec}:max_workers=2")) == [spawn(SMALL)] * 2

    def test_draining_workers_do_not_count_to_max_workers(self, drive, spec):
        cluster = drive().idle()
        policy = cluster.policy(f"{spec}:max_workers=1")
        cluster.carry_out(kill(SMALL))
        assert cluster.arrive().epoch(policy) == [spawn(SMALL)]

    def test_fills_the_cluster_by_default_and_keeps_when_it_is_full(self, drive, spec):
        cluster = drive().arrive(20)
        assert cluster.epoch(cluster.policy(spec)) == [spawn(SMALL)] * 9

    def test_uses_the_flavor_that_it_is_given(self, drive, spec):
        cluster = drive().arrive(4)
        assert cluster.epoch(cluster.policy(f"{spec}:flavor=s10.medium")) == [spawn(MEDIUM)] * 3

    def test_never_ends_a_busy_worker(self, drive, spec):
        cluster = drive().busy(2)
        policy = cluster.policy(spec)
        assert cluster.later(1000).epoch(policy) == []

    def test_ends_idle_workers_of_other_flavors_too(self, drive, spec):
        cluster = drive().idle(1, MEDIUM).later(1).idle(1, TINY)
        policy = cluster.policy(spec)
        assert cluster.later(100).epoch(policy) == [kill(MEDIUM), kill(TINY)]

    def test_unknown_flavor(self, drive, spec):
        with pytest.raises(UnknownNameError, match=r"'s10.smal': did you mean 's10.small'"):
            drive().policy(f"{spec}:flavor=s10.smal")

    def test_flavor_beyond_the_limits(self, drive, spec):
        with pytest.raises(PolicyError, match=r"flavor=s10.medium.*choose a smaller"):
            drive(max_vcpus=2).policy(f"{spec}:flavor=s10.medium")


class TestMinimizeWorkers:
    def test_ends_an_idle_worker_at_once(self, drive):
        cluster = drive().busy(2)
        policy = cluster.policy("minimize-workers")
        assert cluster.finish().epoch(policy) == [kill(SMALL)] * 2

    def test_ends_a_worker_that_came_too_late(self, drive):
        cluster = drive().boot()
        policy = cluster.policy("minimize-workers")
        assert cluster.ready().epoch(policy) == [kill(SMALL)]

    def test_keeps_workers_while_requests_wait(self, drive):
        cluster = drive(max_workers=1).busy(1).arrive(2)
        policy = cluster.policy("minimize-workers")
        assert cluster.finish().epoch(policy) == []
        assert cluster.cluster.n_busy == 1

    def test_wants_no_wake_up(self, drive):
        cluster = drive().idle()
        assert cluster.policy("minimize-workers").wake_at(cluster.cluster) is None


class TestGracePeriod:
    def test_ends_an_idle_worker_after_exactly_a_minute(self, drive):
        cluster = drive().at(12.3).idle()
        policy = cluster.policy("grace-period")
        assert cluster.at(12.3 + 59.9).epoch(policy) == []
        assert policy.wake_at(cluster.cluster) == 12.3 + 60.0
        assert cluster.at(12.3 + 60.0).epoch(policy) == [kill(SMALL)]

    def test_each_worker_has_its_own_time(self, drive):
        cluster = drive().idle().later(25).idle(2).later(5)
        policy = cluster.policy("grace-period:max_idle_time=40")
        assert cluster.quiet_until(policy, 200.0) == [
            (40.0, kill(SMALL)),
            (65.0, kill(SMALL)),
            (65.0, kill(SMALL)),
        ]

    def test_a_request_starts_the_time_anew(self, drive):
        cluster = drive().idle()
        policy = cluster.policy("grace-period")
        assert cluster.at(59).arrive().epoch(policy) == []
        assert cluster.at(70).epoch(policy) == []
        assert cluster.at(80).finish().epoch(policy) == []
        assert cluster.quiet_until(policy, 500.0) == [(140.0, kill(SMALL))]

    def test_wants_no_wake_up_without_idle_workers(self, drive):
        cluster = drive().busy()
        assert cluster.policy("grace-period").wake_at(cluster.cluster) is None

    @given(start=st.floats(0, 1e7), idle=st.floats(0, 86_400))
    def test_a_wake_up_that_is_early_by_rounding_still_counts(self, drive, start, idle):
        cluster = drive().at(start).idle()
        policy = GracePeriod(GracePeriodParameters(max_idle_time=idle))
        policy.reset(cluster.cluster)
        wake = policy.wake_at(cluster.cluster)
        now = cluster.cluster.now
        # An event scheduled after a delay comes at now + (wake - now), which is rounded.
        assert cluster.at(now + (wake - now)).epoch(policy) == [kill(SMALL)]


arrival_times = st.lists(st.integers(0, 900_000), min_size=1, max_size=40).map(
    lambda times: [time / 1000 for time in sorted(times)]
)


@settings(max_examples=30, deadline=None)
@given(times=arrival_times)
def test_no_grace_is_minimize_workers(simulate, requests_at, times):
    requests = requests_at(times)
    runs = [
        simulate(policy, requests)
        for policy in (MinimizeWorkers(), GracePeriod(GracePeriodParameters(max_idle_time=0.0)))
    ]
    assert measure(runs[0]) == measure(runs[1])
    assert runs[0].ended_s == runs[1].ended_s


class _Witness(GracePeriod):
    """Notes how long each worker had been idle when it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.idle_s: list[float] = []

    def act(self, cluster):
        action = super().act(cluster)
        if action is not KEEP and action == kill(action.flavor):
            self.idle_s.append(cluster.now - cluster.longest_idle(action.flavor).idle_since)
        return action


@settings(max_examples=30, deadline=None)
@given(times=arrival_times)
def test_grace_is_exact_on_the_simulator(simulate, requests_at, times):
    witness = _Witness()
    # A last request long after the others, so that every worker's time runs out before it.
    run = simulate(witness, requests_at([*times, times[-1] + 7200]))
    assert run.invalid_actions == 0
    assert len(witness.idle_s) >= 1
    assert witness.idle_s == pytest.approx([60.0] * len(witness.idle_s), abs=1e-6)
