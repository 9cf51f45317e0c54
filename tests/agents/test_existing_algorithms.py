"""The existing system's four further algorithms: each cell of their table, reply by reply."""

from __future__ import annotations

import pytest

from agents.guard import Guarded
from agents.loading import UnusablePolicy
from agents.looks import Looks
from agents.registry import FURTHER, NAIVE, make_policy, policy_names, tunable_names
from env.actions import kill, spawn
from env.errors import PolicyError, UnknownNameError
from env.jobs import Job, Request
from env.metrics import measure

TINY, SMALL, MEDIUM = 0, 1, 2
QUEUE, RESERVE, ADAPTIVE, PRIORITY = FURTHER


def ask(cluster, policy):
    """The policy's orders at this moment."""
    return cluster.epoch(policy)


def settled(cluster, spec):
    """A policy that has seen the cluster as it is: what comes from now on is new to it."""
    policy = cluster.policy(spec)
    ask(cluster, policy)
    return policy


def request(cluster, bitrate=1000, size_mb=10.0, speed="fast", name=None):
    """A request of given properties comes."""
    now = cluster.cluster.now
    asked = Request(now, "bbb_0.mp4", bitrate, speed)
    job = Job(name or object(), asked, (60.0, 40.0, 30.0), size_mb=size_mb)
    cluster.cluster.job_arrived(now, job)
    return cluster


@pytest.mark.parametrize("name", FURTHER)
class TestAllFour:
    def test_come_after_the_naive_ones_and_are_not_tuned(self, name):
        assert name in policy_names()
        assert name not in tunable_names()
        assert name not in NAIVE

    def test_keep_to_max_workers(self, drive, name):
        cluster = drive()
        policy = settled(cluster, f"{name}:max_workers=2")
        for _ in range(30):
            ask(cluster.arrive(), policy)
            ask(cluster.later(1.0), policy)
        assert cluster.cluster.n_workers == 2

    def test_fill_the_cluster_by_default(self, drive, name):
        cluster = drive()
        policy = settled(cluster, name)
        for _ in range(40):
            ask(cluster.later(1.0).arrive(), policy)
        assert cluster.cluster.n_workers > 3
        assert not cluster.cluster.fits[MEDIUM]

    def test_find_what_waits_after_a_restart(self, drive, name):
        cluster = drive().arrive(12)
        assert len(ask(cluster, cluster.policy(f"{name}:max_workers=3"))) == 3

    def test_never_end_a_busy_worker(self, drive, name):
        cluster = drive(max_workers=2).busy(2)
        policy = settled(cluster, name)
        for _ in range(200):
            assert ask(cluster.later(1.0), policy) == []

    def test_end_workers_of_other_flavors_too(self, drive, name):
        cluster = drive(max_workers=3).idle(2, TINY)
        policy = settled(cluster, name)
        ends = [order for _, order in cluster.quiet_until(policy, 200.0)]
        assert all(order == kill(TINY) for order in ends if order.kind == kill(TINY).kind)

    def test_unknown_flavor(self, drive, name):
        key = "small" if name == PRIORITY else "flavor"
        with pytest.raises(UnknownNameError, match=r"'s10.smal': did you mean 's10.small'"):
            drive().policy(f"{name}:{key}=s10.smal")

    def test_flavor_beyond_the_limits(self, drive, name):
        key = "large" if name == PRIORITY else "flavor"
        with pytest.raises(PolicyError, match=rf"{key}=s10.medium.*choose a smaller"):
            drive(max_vcpus=2).policy(f"{name}:{key}=s10.medium")

    def test_a_worker_without_room_is_ordered_when_those_that_end_have_gone(self, drive, name):
        spec = f"{name}:patience=0" if name == QUEUE else name
        cluster = drive(max_workers=1).idle(1)
        policy = settled(cluster, spec)
        state = cluster.cluster
        if state.n_idle:
            cluster.carry_out(kill(SMALL))
        assert ask(cluster.later(0.4).arrive(), policy) == []
        assert ask(cluster.stopped(), policy) == [spawn(SMALL)]

    def test_as_a_fallback_it_decides_and_serves(self, drive, name):
        spec = f"{name}:patience=5" if name == QUEUE else name
        guard = Guarded(UnusablePolicy("gone", "fcfs", "it is not there"), make_policy(spec))
        cluster = drive(discipline="fcfs")
        guard.reset(cluster.cluster)
        served = 0
        for _ in range(60):
            cluster.later(1.0)
            if served < 5:
                cluster.arrive()
                served += 1
            ask(cluster, guard)
            ask(cluster.later(9.0).ready(), guard)
            ask(cluster.finish(), guard)
        assert cluster.cluster.jobs_in_system == 0
        assert not guard.failures


class TestSchedulerWithQueue:
    def test_a_new_request_goes_to_an_idle_worker(self, drive):
        cluster = drive().busy(1)
        policy = settled(cluster, QUEUE)
        cluster.idle()
        assert ask(cluster.arrive(), policy) == []
        assert cluster.cluster.n_busy == 2

    def test_nine_may_wait_and_the_tenth_starts_one_worker(self, drive):
        cluster = drive()
        policy = settled(cluster, QUEUE)
        for _ in range(9):
            assert ask(cluster.later(1.0).arrive(), policy) == []
        assert ask(cluster.later(1.0).arrive(), policy) == [spawn(SMALL)]
        assert ask(cluster.later(1.0).arrive(), policy) == [spawn(SMALL)]

    def test_booting_workers_do_not_count(self, drive):
        cluster = drive().boot(3).arrive(9)
        policy = settled(cluster, QUEUE)
        assert ask(cluster.later(1.0).arrive(), policy) == [spawn(SMALL)]

    def test_requests_of_one_moment_are_answered_one_by_one(self, drive):
        cluster = drive().arrive(7)
        policy = settled(cluster, QUEUE)
        assert ask(cluster.later(1.0).arrive(4), policy) == [spawn(SMALL)] * 2  # 8, 9, 10, 11

    def test_the_threshold_is_a_parameter(self, drive):
        cluster = drive()
        policy = settled(cluster, f"{QUEUE}:queue_threshold=0")
        assert ask(cluster.arrive(), policy) == [spawn(SMALL)]

    def test_a_worker_that_becomes_free_takes_the_oldest(self, drive):
        cluster = drive(max_workers=1, discipline="fcfs").busy(1)
        policy = settled(cluster, QUEUE)
        for name in ("older", "younger"):
            ask(request(cluster.later(1.0), name=name), policy)
        assert ask(cluster.finish(), policy) == []
        assert [w.job.job_id for w in cluster.cluster.workers.values()] == ["older"]

    def test_a_worker_that_becomes_free_ends_if_nothing_waits(self, drive):
        cluster = drive().busy(2)
        policy = settled(cluster, QUEUE)
        assert ask(cluster.finish(1), policy) == [kill(SMALL)]
        assert ask(cluster.boot().ready(), policy) == [kill(SMALL)]

    def test_nothing_is_done_periodically(self, drive):
        cluster = drive().arrive(9)
        policy = settled(cluster, QUEUE)
        assert policy.wake_at(cluster.cluster) is None
        assert ask(cluster.later(1e5), policy) == []

    def test_a_worker_that_is_lost_is_replaced_while_more_than_nine_wait(self, drive):
        cluster = drive().arrive(10)
        policy = cluster.policy(QUEUE)
        assert ask(cluster, policy) == [spawn(SMALL)]
        state = cluster.cluster
        state.worker_lost(state.now, next(iter(state.workers)))
        assert ask(cluster, policy) == [spawn(SMALL)]

    def test_with_patience_nobody_waits_for_ever(self, drive):
        cluster = drive()
        policy = settled(cluster, f"{QUEUE}:patience=30")
        assert ask(cluster.at(10.0).arrive(), policy) == []
        assert cluster.quiet_until(policy, 1000.0) == [(40.0, spawn(SMALL))]

    def test_patience_is_for_want_of_any_worker(self, drive):
        cluster = drive().boot()
        policy = settled(cluster, f"{QUEUE}:patience=30")
        ask(cluster.arrive(3), policy)
        assert cluster.quiet_until(policy, 1000.0) == []

    def test_a_run_of_nine_requests_has_no_worker_and_one_of_ten_has(self, simulate, requests_at):
        nine, ten = (
            measure(simulate(make_policy(QUEUE), requests_at([float(i) for i in range(n)])))
            for n in (9, 10)
        )
        assert (nine.boots, nine.unfinished) == (0, 9)
        assert (ten.boots, ten.unfinished) == (1, 0)


class TestSchedulerWithReserve:
    def test_no_worker_idle_two_are_started(self, drive):
        cluster = drive(max_workers=9)
        policy = settled(cluster, RESERVE)
        assert ask(cluster.later(0.5).arrive(), policy) == [spawn(SMALL)] * 2

    def test_one_idle_one_is_started(self, drive):
        cluster = drive().idle()
        policy = settled(cluster, RESERVE)
        assert ask(cluster.later(0.5).arrive(), policy) == [spawn(SMALL)]
        assert cluster.cluster.n_busy == 1

    def test_two_idle_none_is_started(self, drive):
        cluster = drive().idle()
        policy = settled(cluster, RESERVE)
        cluster.later(0.5).idle()
        assert ask(cluster.arrive(), policy) == []

    def test_of_several_at_one_moment_each_is_answered(self, drive):
        cluster = drive().idle()
        policy = settled(cluster, RESERVE)
        # The first takes the idle worker (one is started); the second finds none (two).
        assert ask(cluster.later(0.5).arrive(), policy) == [spawn(SMALL)]
        assert ask(cluster.arrive(), policy) == [spawn(SMALL)] * 2

    def test_a_worker_that_becomes_free_takes_the_oldest(self, drive):
        cluster = drive(max_workers=1, discipline="fcfs").busy(1)
        policy = settled(cluster, RESERVE)
        for name in ("older", "younger"):
            ask(request(cluster.later(1.0), name=name), policy)
        assert ask(cluster.finish(), policy) == []
        assert [w.job.job_id for w in cluster.cluster.workers.values()] == ["older"]

    def test_a_worker_that_becomes_free_ends_if_another_idles(self, drive):
        cluster = drive().idle().busy(0)
        policy = settled(cluster, RESERVE)
        cluster.boot().later(0.5)
        assert ask(cluster.ready(), policy) == [kill(SMALL)]

    def test_a_worker_that_becomes_free_stays_if_none_idles(self, drive):
        cluster = drive(max_workers=1).busy(1)
        policy = settled(cluster, RESERVE)
        assert ask(cluster.finish(), policy) == []
        assert cluster.cluster.n_idle == 1

    def test_a_look_starts_one_while_none_idles(self, drive):
        cluster = drive()
        policy = settled(cluster, f"{RESERVE}:max_workers=3")
        # Those that boot are no reserve yet.
        expected = [(1.0, spawn(SMALL)), (2.0, spawn(SMALL)), (3.0, spawn(SMALL))]
        assert cluster.quiet_until(policy, 100.0) == expected
        assert ask(cluster.ready(), policy) == [kill(SMALL)] * 2

    def test_keeps_exactly_one_for_ever(self, drive):
        cluster = drive().idle()
        policy = settled(cluster, RESERVE)
        assert cluster.quiet_until(policy, 1e5) == []
        assert ask(cluster.at(1e5 + 3), policy) == []

    def test_a_look_serves_what_waits(self, drive):
        cluster = drive().busy(1)
        policy = settled(cluster, f"{RESERVE}:max_workers=4")
        ask(cluster.later(0.5).arrive(), policy)
        assert cluster.quiet_until(policy, 10.0) == [(1.0, spawn(SMALL))]


def at_looks(cluster, policy, until):
    """The grace period after each second of quiet."""
    grace = []
    while cluster.cluster.now < until:
        ask(cluster.later(1.0), policy)
        grace.append(policy.grace_s)
    return grace


class TestAdaptiveGracePeriod:
    def test_a_new_request_starts_one_worker(self, drive):
        cluster = drive()
        policy = settled(cluster, ADAPTIVE)
        assert ask(cluster.later(0.5).arrive(), policy) == [spawn(SMALL)]

    def test_whoever_boots_already(self, drive):
        cluster = drive().boot(2)
        policy = settled(cluster, ADAPTIVE)
        assert ask(cluster.later(0.5).arrive(), policy) == [spawn(SMALL)]

    def test_a_worker_that_becomes_free_takes_the_oldest_else_it_idles(self, drive):
        cluster = drive(max_workers=1, discipline="fcfs").busy(1)
        policy = settled(cluster, ADAPTIVE)
        for name in ("older", "younger"):
            ask(request(cluster.later(1.0), name=name), policy)
        assert ask(cluster.finish(), policy) == []
        assert [w.job.job_id for w in cluster.cluster.workers.values()] == ["older"]
        ask(cluster.finish(), policy)
        ask(cluster.finish(), policy)
        assert cluster.cluster.n_idle == 1

    def test_a_busy_share_above_seven_tenths_lets_it_grow_to_twice(self, drive):
        cluster = drive(max_workers=4).busy(3).boot(1)  # 0.75: booting ones are workers
        policy = settled(cluster, ADAPTIVE)
        grace = at_looks(cluster, policy, 15.0)
        assert grace[:4] == [65.0, 70.0, 75.0, 80.0]
        assert grace[-1] == 120.0

    def test_exactly_seven_tenths_changes_nothing(self, drive):
        cluster = drive(max_workers=10).busy(7, TINY).boot(3, TINY)
        policy = settled(cluster, ADAPTIVE)
        assert set(at_looks(cluster, policy, 10.0)) == {60.0}

    def test_below_it_shrinks_to_half(self, drive):
        cluster = drive(max_workers=3).busy(2).boot(1)  # 0.67
        policy = settled(cluster, ADAPTIVE)
        grace = at_looks(cluster, policy, 10.0)
        assert grace[:3] == [55.0, 50.0, 45.0]
        assert grace[-1] == 30.0

    def test_more_than_one_waiting_for_each_second_lets_it_grow(self, drive):
        cluster = drive(max_workers=3).boot(3).arrive(2)
        policy = settled(cluster, ADAPTIVE)
        assert at_looks(cluster, policy, 2.0) == [65.0, 70.0]

    def test_one_waiting_changes_nothing(self, drive):
        cluster = drive(max_workers=3).boot(3).arrive(1)  # the rate is 1, and not below 0.1
        policy = settled(cluster, ADAPTIVE)
        assert at_looks(cluster, policy, 2.0) == [60.0, 60.0]

    def test_looks_at_which_nobody_was_woken_count_too(self, drive):
        cluster = drive(max_workers=1).busy(1)
        policy = settled(cluster, ADAPTIVE)
        assert policy.wake_at(cluster.cluster) is None
        ask(cluster.at(7.2), policy)
        assert policy.grace_s == 95.0

    def test_what_they_saw_was_before_the_event(self, drive):
        cluster = drive(max_workers=1).busy(1)
        policy = settled(cluster, ADAPTIVE)
        ask(cluster.at(4.5).finish(), policy)
        assert policy.grace_s == 80.0  # four looks at a busy worker
        ask(cluster.at(5.0), policy)
        assert policy.grace_s == 75.0

    def test_idle_workers_beyond_it_end_at_a_look(self, drive):
        cluster = drive(max_workers=2).at(0.5).idle(2)
        policy = cluster.policy(ADAPTIVE)
        ask(cluster, policy)
        # It has shrunk to 30 s after six looks, which come at 1.5, 2.5, ...
        expected = [(30.5, kill(SMALL)), (30.5, kill(SMALL))]
        assert cluster.quiet_until(policy, 200.0) == expected

    def test_of_workers_that_end_at_other_times_each_has_its_own(self, drive):
        # As measured: 36 s for the one that idled while it shrank, and 66 s for the next,
        # because the share of busy ones then grew to three of four.
        cluster = drive(max_workers=5).busy(5)
        policy = settled(cluster, ADAPTIVE)
        ask(cluster.at(424.0).finish(1), policy)
        orders = cluster.quiet_until(policy, 444.0)
        ask(cluster.finish(1), policy)
        orders += cluster.quiet_until(policy, 499.0)
        ask(cluster.finish(1), policy)
        orders += cluster.quiet_until(policy, 529.5)
        assert orders == [(461.0, kill(SMALL)), (510.0, kill(SMALL)), (529.0, kill(SMALL))]

    def test_a_look_starts_one_more_if_more_wait_than_workers_run(self, drive):
        cluster = drive().busy(2).arrive(3)
        policy = settled(cluster, f"{ADAPTIVE}:max_workers=3")
        assert ask(cluster.later(1.0), policy) == []  # at the limit since it has seen the three
        cluster = drive(max_workers=9).busy(2)
        policy = settled(cluster, ADAPTIVE)
        state = cluster.cluster
        cluster.arrive(3)
        policy._requests = state.arrivals.count  # as if they had come while it was at its limit
        assert cluster.quiet_until(policy, 2.5) == [(1.0, spawn(SMALL))]

    def test_the_usual_time_is_a_parameter(self, drive):
        cluster = drive(max_workers=1).idle(1)
        policy = settled(cluster, f"{ADAPTIVE}:max_idle_time=20")
        assert cluster.quiet_until(policy, 100.0) == [(10.0, kill(SMALL))]


class TestPriorityBasedDynamic:
    def test_serves_by_priority(self):
        assert make_policy(PRIORITY).discipline == "priority"

    @pytest.mark.parametrize(("bitrate", "flavor"), [(5000, SMALL), (5001, MEDIUM)])
    def test_a_new_request_starts_one_large_above_5000(self, drive, bitrate, flavor):
        cluster = drive(discipline="priority")
        policy = settled(cluster, PRIORITY)
        assert ask(request(cluster.later(0.5), bitrate), policy) == [spawn(flavor)]

    def test_the_first_by_priority_counts_not_the_new_one(self, drive):
        cluster = drive(discipline="priority")
        policy = settled(cluster, PRIORITY)
        ask(request(cluster, 7000, size_mb=50.0), policy)
        assert ask(request(cluster.later(0.5), 800, size_mb=1.0), policy) == [spawn(MEDIUM)]
        assert ask(request(cluster.later(0.5), 800, size_mb=90.0), policy) == [spawn(SMALL)]

    def test_small_and_large_are_parameters(self, drive):
        cluster = drive(discipline="priority")
        policy = settled(cluster, f"{PRIORITY}:small=s10.tiny,large=s10.small")
        assert ask(request(cluster, 800), policy) == [spawn(TINY)]
        assert ask(request(cluster.later(0.5), 8000, size_mb=50.0), policy) == [spawn(SMALL)]

    def test_a_worker_that_becomes_free_takes_the_highest_priority(self, drive):
        cluster = drive(max_workers=1, discipline="priority").busy(1)
        policy = settled(cluster, PRIORITY)
        for name, size in (("small", 4.0), ("large", 60.0), ("middle", 20.0)):
            ask(request(cluster.later(1.0), size_mb=size, name=name), policy)
        taken = []
        for _ in range(3):
            ask(cluster.later(1.0).finish(), policy)
            taken += [w.job.job_id for w in cluster.cluster.workers.values()]
        assert taken == ["large", "middle", "small"]

    @pytest.mark.parametrize(("waiting", "flavor"), [(5, SMALL), (6, MEDIUM)])
    def test_a_look_starts_one_more_large_if_more_than_five_wait(self, drive, waiting, flavor):
        cluster = drive(discipline="priority").busy(4)
        policy = settled(cluster, PRIORITY)
        cluster.arrive(waiting)
        policy._requests = cluster.cluster.arrivals.count
        assert cluster.quiet_until(policy, 1.5) == [(1.0, spawn(flavor))]

    def test_not_while_a_fifth_boots(self, drive):
        cluster = drive(discipline="priority").busy(4).boot(1).arrive(8)
        policy = cluster.policy(PRIORITY)
        policy._requests = cluster.cluster.arrivals.count
        assert ask(cluster.later(1.0), policy) == []  # 0.8 is not above 0.8
        assert policy.wake_at(cluster.cluster) is None

    def test_not_while_no_more_wait_than_there_are_workers(self, drive):
        cluster = drive(discipline="priority").busy(4).arrive(4)
        policy = cluster.policy(PRIORITY)
        policy._requests = cluster.cluster.arrivals.count
        assert ask(cluster.later(1.0), policy) == []

    def test_idle_workers_end_at_the_first_look_after_their_time(self, drive):
        cluster = drive(discipline="priority")
        policy = settled(cluster, PRIORITY)
        cluster.at(0.4).idle(1).at(0.7).idle(1, MEDIUM)
        assert ask(cluster, policy) == []
        assert ask(cluster.at(60.9), policy) == []  # between two looks
        assert cluster.quiet_until(policy, 200.0) == [(61.0, kill(SMALL)), (61.0, kill(MEDIUM))]

    def test_waits_for_nothing_else(self, drive):
        cluster = drive(discipline="priority").busy(2)
        assert settled(cluster, PRIORITY).wake_at(cluster.cluster) is None


class TestLooks:
    def test_come_every_second_from_the_start(self):
        looks = Looks(0.3)
        assert [looks.due(t) for t in (0.3, 1.29, 1.3, 1.3, 2.9, 7.3)] == [0, 0, 1, 0, 1, 5]
        assert looks.next() == 8.3

    def test_the_first_at_or_after_a_time(self):
        looks = Looks(0.3)
        assert looks.first_from(60.3) == pytest.approx(60.3)
        assert looks.first_from(60.31) == pytest.approx(61.3)
        assert looks.first_from(-5.0) == pytest.approx(1.3)

    def test_stay_exact_over_a_long_life(self):
        looks = Looks(0.1)
        for _ in range(3):
            at = looks.next()
            assert looks.due(at) == 1
        looks.due(1e8)
        at = looks.next()
        assert looks.due(at) == 1
