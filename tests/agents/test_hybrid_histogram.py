"""hybrid-histogram: windows learned from a rhythm."""

from __future__ import annotations

import pytest

from env.actions import kill, spawn

SMALL = 1
IDLE_S = 202.0
BUSY_S = 40.0


def learn(cluster, policy, rounds=12):
    """Jobs that come `IDLE_S` after the one before was done, always served at once."""
    for _ in range(rounds):
        cluster.arrive().epoch(policy)
        if not cluster.cluster.n_busy:
            cluster.later(16).ready().epoch(policy)
        cluster.later(BUSY_S).finish().epoch(policy)
        end = cluster.cluster.now + IDLE_S
        while cluster.cluster.now < end:
            cluster.quiet_until(policy, min(end, cluster.cluster.now + 16))
            cluster.ready().epoch(policy)
            cluster.stopped()


def test_fixed_keep_alive_until_enough_is_known(drive):
    cluster = drive().busy()
    policy = cluster.policy("hybrid-histogram:fallback_keep_alive=25")
    cluster.epoch(policy)
    cluster.at(10).finish().epoch(policy)
    assert cluster.quiet_until(policy, 500.0) == [(35.0, kill(SMALL))]


def test_ends_the_worker_and_prewarms_for_the_next_job(drive):
    cluster = drive()
    policy = cluster.policy("hybrid-histogram")
    learn(cluster, policy)
    cluster.arrive().epoch(policy)
    cluster.later(BUSY_S)
    done = cluster.cluster.now
    # Idle times lie in 200..205 s: wanted from 180 s (ready, so ordered 16 s before) ...
    assert cluster.finish().epoch(policy) == [kill(SMALL)]
    assert cluster.stopped().quiet_until(policy, done + 190) == [
        (pytest.approx(done + 0.9 * 200 - 16), spawn(SMALL))
    ]
    # ... until 225.5 s.
    assert cluster.ready().epoch(policy) == []
    assert cluster.quiet_until(policy, done + 1000) == [
        (pytest.approx(done + 1.1 * 205), kill(SMALL))
    ]


def test_keeps_the_worker_if_the_next_job_comes_soon(drive):
    cluster = drive()
    policy = cluster.policy("hybrid-histogram:margin=0")
    cluster.epoch(policy)
    for _ in range(12):
        cluster.arrive().epoch(policy)
        cluster.later(16).ready().epoch(policy)
        cluster.later(BUSY_S).finish().epoch(policy)
        cluster.later(12)
    cluster.arrive().epoch(policy)
    done = cluster.cluster.now
    assert cluster.finish().epoch(policy) == []
    # Idle times lie in 10..15 s.
    assert cluster.quiet_until(policy, done + 500) == [(pytest.approx(done + 15), kill(SMALL))]


def test_each_slot_has_its_own_times(drive):
    cluster = drive()
    policy = cluster.policy("hybrid-histogram:fallback_keep_alive=100")
    learn(cluster, policy)
    cluster.arrive(2).epoch(policy)
    cluster.later(16).ready().epoch(policy)
    # The second slot has no history: its worker is kept for the fixed time.
    assert cluster.finish(1).epoch(policy) == []
    done = cluster.cluster.now
    assert cluster.quiet_until(policy, done + 110) == [(pytest.approx(done + 100), kill(SMALL))]


def test_out_of_bounds_idle_times_are_not_trusted(drive):
    cluster = drive()
    policy = cluster.policy("hybrid-histogram:bins=20,fallback_keep_alive=7")
    learn(cluster, policy)
    cluster.arrive().epoch(policy)
    cluster.later(16).ready().epoch(policy)
    done = cluster.cluster.now
    assert cluster.finish().epoch(policy) == []
    assert cluster.quiet_until(policy, done + 500) == [(pytest.approx(done + 7), kill(SMALL))]


def test_a_flat_histogram_is_not_trusted(drive):
    cluster = drive()
    policy = cluster.policy("hybrid-histogram:bins=2,bin_width=300,fallback_keep_alive=7")
    learn(cluster, policy)  # all in one of two bins: a coefficient of variation of 1
    cluster.arrive().epoch(policy)
    cluster.later(16).ready().epoch(policy)
    done = cluster.cluster.now
    assert cluster.finish().epoch(policy) == []
    assert cluster.quiet_until(policy, done + 500) == [(pytest.approx(done + 7), kill(SMALL))]


def test_a_waiting_job_gets_a_worker_up_to_the_limit(drive):
    cluster = drive().boot(1).arrive(20)
    assert cluster.epoch(cluster.policy("hybrid-histogram:max_workers=4")) == [spawn(SMALL)] * 3
