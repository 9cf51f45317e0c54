"""The scalers that steer towards a number of workers, review by review."""

from __future__ import annotations

from math import ceil, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from agents.horizontal_pod_autoscaler import Stabiliser
from agents.square_root_staffing import optimal_margin, waiting_probability
from env.actions import kill, spawn
from env.arrivals import MEDIUM as TEN_MINUTES

TINY, SMALL, MEDIUM = 0, 1, 2


def test_stabiliser_goes_up_at_once_and_down_when_the_whole_window_agrees():
    stabiliser = Stabiliser(300.0)
    wanted, current = [2, 6, 3, 4, 2, 2], 0
    settled = []
    for step, recommended in enumerate(wanted):
        current = stabiliser.settle(100.0 * step, current, recommended)
        settled.append(current)
    assert settled == [2, 6, 6, 6, 6, 4]


class TestQueueScaling:
    def test_one_from_none_then_in_proportion(self, drive):
        cluster = drive()
        policy = cluster.policy("queue-scaling")
        assert cluster.epoch(policy) == []
        assert cluster.at(10).arrive(3).epoch(policy) == []  # the next poll is at 30 s
        assert cluster.quiet_until(policy, 46.0) == [
            (30.0, spawn(SMALL)),
            (45.0, spawn(SMALL)),
            (45.0, spawn(SMALL)),
        ]

    @pytest.mark.parametrize(("target", "workers"), [(1, 7), (2, 4), (3, 3), (0.5, 9), (100, 1)])
    def test_target(self, drive, target, workers):
        cluster = drive().busy(1).arrive(6)
        policy = cluster.policy(f"queue-scaling:target={target},tolerance=0")
        cluster.epoch(policy)
        cluster.quiet_until(policy, 16.0)
        assert cluster.cluster.n_workers == workers

    def test_none_after_the_cooldown_whatever_the_stabilisation(self, drive):
        cluster = drive().busy(3)
        policy = cluster.policy("queue-scaling:cooldown=60,stabilisation=300")
        cluster.epoch(policy)
        cluster.quiet_until(policy, 20.0)
        assert cluster.finish().epoch(policy) == []
        # The last look with a job was at 15 s: the first one 60 s later ends all.
        assert cluster.quiet_until(policy, 500.0) == [(75.0, kill(SMALL))] * 3

    def test_last_worker_stays_during_the_cooldown(self, drive):
        cluster = drive().busy(3)
        policy = cluster.policy("queue-scaling:cooldown=100,stabilisation=0")
        cluster.epoch(policy)
        cluster.quiet_until(policy, 20.0)
        cluster.finish().epoch(policy)
        times = [time for time, _ in cluster.quiet_until(policy, 500.0)]
        assert times == [30.0, 30.0, 120.0]

    def test_within_tolerance_nothing_changes(self, drive):
        cluster = drive(max_workers=8).busy(7).arrive(1)
        policy = cluster.policy("queue-scaling:tolerance=0.15")
        cluster.epoch(policy)
        assert cluster.quiet_until(policy, 31.0) == []


class TestTargetUtilisation:
    def test_keeps_the_minimum(self, drive):
        cluster = drive()
        assert cluster.epoch(cluster.policy("target-utilisation:min_workers=2")) == (
            [spawn(SMALL)] * 2
        )

    def test_first_worker_for_a_waiting_job(self, drive):
        cluster = drive()
        policy = cluster.policy("target-utilisation:min_workers=0")
        assert cluster.epoch(policy) == []
        assert cluster.at(1).arrive(2).epoch(policy) == []
        assert cluster.quiet_until(policy, 20.0) == [(15.0, spawn(SMALL))]

    @pytest.mark.parametrize(
        ("busy", "idle", "target", "wanted"),
        [
            (4, 0, 0.8, 5),  # 4 * 1 / 0.8
            (4, 0, 0.5, 8),
            (4, 0, 0.4, 9),  # 10, but the cluster holds 9
            (4, 0, 0.95, 4),  # 1.05: within the tolerance
            (3, 1, 0.8, 4),  # 0.94: within the tolerance
            (2, 2, 0.3, 7),  # 4 * 0.5 / 0.3 = 6.7
        ],
    )
    def test_grows_by_the_ratio(self, drive, busy, idle, target, wanted):
        cluster = drive().busy(busy).idle(idle)
        policy = cluster.policy(f"target-utilisation:target={target}")
        cluster.epoch(policy)
        cluster.quiet_until(policy, 1.0)
        assert cluster.cluster.n_workers == wanted

    def test_shrinks_when_the_window_agrees(self, drive):
        cluster = drive().busy(1).idle(3)
        policy = cluster.policy("target-utilisation:target=0.5,stabilisation=30")
        assert cluster.epoch(policy) == [kill(SMALL)] * 2  # 4 * 0.25 / 0.5, first review
        assert cluster.at(10).finish().epoch(policy) == []
        orders = cluster.quiet_until(policy, 200.0)
        # One of two was busy for 10 of 15 s: at 15 s still 2 are wanted (2 * 0.33 / 0.5),
        # which is out of the window at the second review after 30 s.
        assert orders == [(60.0, kill(SMALL))]

    def test_booting_workers_count_as_unused_when_growing(self, drive):
        cluster = drive().busy(2).boot(2)
        policy = cluster.policy("target-utilisation:target=0.8")
        # 1 / 0.8 would grow, 0.5 / 0.8 would shrink: nothing is done.
        assert cluster.epoch(policy) == []
        assert cluster.quiet_until(policy, 16.0) == []

    def test_never_ends_busy_workers(self, drive):
        cluster = drive().busy(9)
        policy = cluster.policy("target-utilisation:target=1,max_workers=1")
        cluster.epoch(policy)
        assert cluster.quiet_until(policy, 1000.0) == []


class TestConcurrencyWindows:
    def test_first_job_is_acted_on_at_once_and_its_burst_at_the_next_review(self, drive):
        cluster = drive()
        policy = cluster.policy("concurrency-windows")
        assert cluster.epoch(policy) == []
        cluster.at(30)
        cluster.epoch(policy)
        assert cluster.at(31).arrive().epoch(policy) == [spawn(SMALL)]
        # 1 job for 5 of the last 6 s: ceil(0.83 / 0.7) = 2, twice the workers: panic.
        assert cluster.quiet_until(policy, 36.0) == [(36.0, spawn(SMALL))]

    def test_panic_outlasts_the_burst_by_a_stable_window(self, drive):
        cluster = drive()
        policy = cluster.policy("concurrency-windows:target=1,scale_to_zero_grace=0")
        assert cluster.epoch(policy) == []
        cluster.at(1).arrive(4).epoch(policy)
        cluster.quiet_until(policy, 18.0)
        assert cluster.cluster.n_workers == 4
        cluster.ready().dispatch().at(19.0).epoch(policy)
        orders = cluster.at(20).finish().epoch(policy)
        assert orders == []
        first_end, _ = cluster.quiet_until(policy, 200.0)[0]
        # Nobody was ready until 18 s, so panic was renewed at each review until 18 s at least.
        assert 18.0 + 60.0 < first_end <= 20.0 + 60.0 + 2.0

    def test_stable_window_averages(self, drive):
        cluster = drive().busy(2)
        policy = cluster.policy("concurrency-windows:target=1,panic_threshold=1000")
        cluster.epoch(policy)
        cluster.quiet_until(policy, 60.0)
        cluster.finish().epoch(policy)
        orders = cluster.quiet_until(policy, 200.0)
        # Below 1 on average after half the window, below any after all of it, then 30 s grace.
        assert orders == [(90.0, kill(SMALL)), (150.0, kill(SMALL))]

    def test_shrinks_by_half_at_most(self, drive):
        cluster = drive().idle(8)
        policy = cluster.policy("concurrency-windows:scale_to_zero_grace=0")
        assert cluster.epoch(policy) == [kill(SMALL)] * 4
        assert [t for t, _ in cluster.quiet_until(policy, 100.0)] == [2.0, 2.0, 4.0, 6.0]


class TestSquareRootStaffing:
    @pytest.mark.parametrize("ratio", [0.05, 0.3, 1.0, 5.0, 20.0, 100.0])
    def test_margin_balances_waiting_and_staff(self, ratio):
        def cost(margin):
            wait = 1 / (1 + margin * norm.cdf(margin) / norm.pdf(margin))
            return margin + ratio * wait / margin

        best = minimize_scalar(cost, bounds=(1e-3, 6), method="bounded")
        assert cost(optimal_margin(ratio)) == pytest.approx(best.fun, rel=1e-6)

    def test_halfin_whitt_probability(self):
        assert waiting_probability(1.0) == pytest.approx(0.2234, abs=1e-4)

    @given(low=st.floats(0.01, 100), factor=st.floats(1.05, 10))
    def test_dearer_waiting_means_more_staff(self, low, factor):
        assert optimal_margin(low * factor) > optimal_margin(low)

    @pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
    def test_staff_is_the_load_and_its_square_root(self, drive, beta):
        cluster = drive()
        for _ in range(90):
            cluster.later(10).arrive()
        state = cluster.cluster
        load = state.arrivals.rate(state.now, TEN_MINUTES) * 40.0
        assert load == pytest.approx(4.0, rel=0.05)  # 0.1 jobs a second of 40 s each
        policy = cluster.policy(f"square-root-staffing:beta={beta},backlog_share=0")
        expected = min(9, round(load + beta * sqrt(load)))
        assert cluster.epoch(policy) == [spawn(SMALL)] * expected

    def test_a_backlog_gets_workers_of_its_own(self, drive):
        cluster = drive().at(10_000).arrive(8)
        policy = cluster.policy("square-root-staffing:beta=0,backlog_share=0.5")
        assert cluster.epoch(policy) == [spawn(SMALL)] * 4

    def test_some_worker_comes_even_without_staff(self, drive):
        cluster = drive().at(10_000).arrive(1)
        policy = cluster.policy("square-root-staffing:beta=-10,backlog_share=0")
        assert cluster.epoch(policy) == [spawn(SMALL)]

    def test_staff_outlives_the_load_by_the_stabilisation(self, drive):
        cluster = drive().arrive(5)
        policy = cluster.policy("square-root-staffing:stabilisation=45,horizon=short")
        cluster.epoch(policy)
        cluster.ready().epoch(policy)
        staff = cluster.cluster.n_workers
        cluster.finish().epoch(policy)
        orders = cluster.quiet_until(policy, 3600.0)
        assert [action for _, action in orders] == [kill(SMALL)] * staff
        assert orders[0][0] >= 45.0

    def test_follows_the_preference(self, drive):
        margins = []
        for preference in (0.1, 0.5, 0.9):
            cluster = drive(preference=preference)
            margins.append(cluster.policy("square-root-staffing").margin(cluster.cluster))
        assert margins == sorted(margins)
        assert ceil(margins[2]) == 2
