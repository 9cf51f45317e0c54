"""reserve-k, break-even and adaptive-flavor, decision by decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.actions import kill, spawn

TINY, SMALL, MEDIUM = 0, 1, 2


class TestReserveK:
    def test_keeps_one_spare_by_default(self, drive):
        cluster = drive()
        assert cluster.epoch(cluster.policy("reserve-k")) == [spawn(SMALL)]

    def test_spares_come_on_top_of_the_waiting(self, drive):
        cluster = drive().boot(1).arrive(3)
        assert cluster.epoch(cluster.policy("reserve-k:spares=2")) == [spawn(SMALL)] * 4

    def test_replaces_a_spare_that_got_a_job(self, drive):
        cluster = drive().idle(2).arrive()
        assert cluster.epoch(cluster.policy("reserve-k:spares=2")) == [spawn(SMALL)]

    def test_ends_only_what_is_beyond_the_spares_and_idle_for_long(self, drive):
        cluster = drive().idle(3)
        policy = cluster.policy("reserve-k:spares=1,max_idle_time=30")
        assert cluster.at(29).epoch(policy) == []
        assert cluster.quiet_until(policy, 500.0) == [(30.0, kill(SMALL))] * 2

    def test_without_spares_it_is_grace_period(self, drive):
        cluster = drive()
        policy = cluster.policy("reserve-k:spares=0,max_idle_time=20")
        assert cluster.epoch(policy) == []
        assert cluster.arrive(2).epoch(policy) == [spawn(SMALL)] * 2
        assert cluster.ready().epoch(policy) == []
        assert cluster.finish().epoch(policy) == []
        assert cluster.quiet_until(policy, 100.0) == [(20.0, kill(SMALL))] * 2

    def test_spares_stop_at_max_workers(self, drive):
        cluster = drive()
        assert len(cluster.epoch(cluster.policy("reserve-k:spares=50"))) == 9


class TestBreakEven:
    @pytest.mark.parametrize(
        ("preference", "timeout_s"),
        # A small worker is 18 * (2/18 + 4/48) / 2 = 1.75 cores; a boot takes 16 s.
        [(0.5, 16 * (1 + 1 / 1.75)), (0.1, 16 * (1 + 1 / 9 / 1.75)), (0.9, 16 * (1 + 9 / 1.75))],
    )
    def test_timeout_is_the_boot_in_idle_seconds(self, drive, preference, timeout_s):
        cluster = drive(preference=preference).idle()
        policy = cluster.policy("break-even")
        assert cluster.epoch(policy) == []
        ((ended, action),) = cluster.quiet_until(policy, 1000.0)
        assert action == kill(SMALL)
        assert ended == pytest.approx(timeout_s)

    @given(preference=st.floats(0.1, 0.9))
    def test_idle_cost_at_the_timeout_is_the_boot_cost(self, drive, preference):
        cluster = drive(preference=preference)
        policy = cluster.policy("break-even")
        cores = cluster.cluster.flavor_cost(SMALL)
        idle = (1 - preference) * cores * policy.timeout_s(cluster.cluster)
        boot = 16.0 * (preference + (1 - preference) * cores)
        assert idle == pytest.approx(boot)

    def test_follows_the_dial_while_running(self, drive):
        cluster = drive(preference=0.9).idle()
        policy = cluster.policy("break-even")
        assert cluster.at(30).epoch(policy) == []
        cluster.cluster.preference = 0.1
        assert cluster.epoch(policy) == [kill(SMALL)]

    def test_factor(self, drive):
        cluster = drive().idle()
        policy = cluster.policy("break-even:factor=0")
        assert cluster.epoch(policy) == [kill(SMALL)]

    def test_a_waiting_job_gets_a_worker(self, drive):
        cluster = drive().boot(1).arrive(3)
        assert cluster.epoch(cluster.policy("break-even")) == [spawn(SMALL)] * 2


class TestAdaptiveFlavor:
    @pytest.mark.parametrize(
        ("preference", "flavor"),
        [(0.1, TINY), (0.44, TINY), (0.45, SMALL), (0.79, SMALL), (0.8, MEDIUM), (0.9, MEDIUM)],
    )
    def test_preference_allows_the_flavor(self, drive, preference, flavor):
        cluster = drive(preference=preference).at(600).arrive()
        assert cluster.epoch(cluster.policy("adaptive-flavor")) == [spawn(flavor)]

    @pytest.mark.parametrize(("waiting", "workers"), [(1, 1), (2, 1), (3, 2), (8, 4)])
    def test_half_of_the_waiting_get_a_worker(self, drive, waiting, workers):
        cluster = drive(preference=0.1).arrive(waiting)
        assert cluster.epoch(cluster.policy("adaptive-flavor")) == [spawn(TINY)] * workers

    def test_booting_workers_count(self, drive):
        cluster = drive(preference=0.1).boot(2, TINY).arrive(6)
        assert cluster.epoch(cluster.policy("adaptive-flavor")) == [spawn(TINY)]

    def test_a_flavor_must_fit_for_all_that_are_missing(self, drive):
        # 6 workers on 18 vCPUs: 4 vCPUs each are too many, 2 each are not.
        cluster = drive(preference=0.9).at(600).arrive(6)
        policy = cluster.policy("adaptive-flavor:spawn_share=1,max_load=100")
        # With 3 missing and 12 vCPUs free, the large flavor fits again.
        assert cluster.epoch(policy) == [spawn(SMALL)] * 3 + [spawn(MEDIUM)] * 3

    def test_high_load_calls_for_smaller_workers(self, drive):
        cluster = drive(preference=0.9)
        for _ in range(60):
            cluster.later(10).busy(0).arrive()  # 0.1 jobs a second for 10 minutes
        policy = cluster.policy("adaptive-flavor:spawn_share=0.01,max_load=0.5")
        # 0.1/s * 30 s = 3 busy of 3 medium, 0.1/s * 40 s = 4 busy of 9 small.
        assert cluster.epoch(policy) == [spawn(SMALL)]

    def test_a_flavor_without_room_is_passed_over(self, drive):
        cluster = drive(preference=0.9).boot(3, MEDIUM).ready().at(600).arrive(4)
        assert cluster.epoch(cluster.policy("adaptive-flavor")) == [spawn(SMALL)]

    def test_stops_at_max_workers(self, drive):
        cluster = drive().arrive(8)
        assert len(cluster.epoch(cluster.policy("adaptive-flavor:max_workers=2"))) == 2

    @pytest.mark.parametrize(
        ("preference", "timeout_s"), [(0.6, 0.0), (0.61, 10.0), (0.8, 10.0), (0.81, 20.0)]
    )
    def test_idle_timeout_grows_with_the_preference(self, drive, preference, timeout_s):
        cluster = drive(preference=preference).idle()
        policy = cluster.policy("adaptive-flavor")
        orders = [(0.0, action) for action in cluster.epoch(policy)]
        assert orders + cluster.quiet_until(policy, 100.0) == [(timeout_s, kill(SMALL))]

    def test_a_cluster_with_one_flavor(self, drive):
        tiny = drive().cluster.flavors[:1]
        cluster = drive(preference=0.9, flavors=tiny)
        policy = cluster.policy("adaptive-flavor")
        assert cluster.arrive().epoch(policy) == [spawn(TINY)]
