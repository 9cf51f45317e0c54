"""Paired rollouts on the reference simulator, and the price of what is left at their end."""

from __future__ import annotations

from itertools import pairwise
from math import exp, expm1

import numpy as np
import pytest
from numpy.typing import NDArray

from env.actions import KEEP, action_from_index, spawn
from env.arrivals import ArrivalStatistics
from env.cluster import Cluster
from env.config import load_profile
from env.cost import cost_so_far
from env.jobs import Job, Request
from env.observation import action_mask
from env.simulator import Simulator
from tests.training.played_runs import N_FLAVORS, figures, play, simulation
from training.rollouts.reference import explore, terminal_cost
from training.snapshot import copy_simulator


def never(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Keeps always."""
    return np.zeros(len(observations), dtype=np.int64)


def cost_by_hand(state: Simulator, action: int, discount_s: float, length_s: float) -> float:
    """Discounted cost of an action and then keeping, stretch by stretch."""
    simulator = copy_simulator(state)
    start, w = simulator.now, simulator.cluster.preference
    simulator.wake_at(start + length_s)
    order = action_from_index(action, N_FLAVORS)
    if order is not KEEP:
        assert simulator.apply(order)
    total = 0.0
    while True:
        before, cost = simulator.now, cost_so_far(simulator.cluster)
        alive = simulator.advance()
        length = simulator.now - before
        spent = cost_so_far(simulator.cluster).since(cost).weighed(w)
        if length > 0:
            # The rate is constant between two decisions, so this is the exact integral.
            since = before - start
            total += (spent / length * discount_s * -expm1(-length / discount_s)) * exp(
                -since / discount_s
            )
        if not alive or simulator.now >= start + length_s - 1e-6:
            passed = simulator.now - start
            return total + exp(-passed / discount_s) * terminal_cost(simulator.cluster)


@pytest.mark.parametrize("discount_s", [60.0, 2000.0])
def test_the_cost_of_each_action_is_that_of_its_branch(discount_s: float) -> None:
    states = [simulation(seed) for seed in range(6)]
    for seed, state in enumerate(states):
        play(state, seed, 20 * seed + 1)
    before = [figures(state) for state in states]
    tried = np.zeros((len(states), 1 + 2 * N_FLAVORS), dtype=np.bool_)
    for state, mask in zip(states, tried, strict=True):
        action_mask(state.cluster, mask)
    tried[0, 1:] = False
    costs, decisions = explore(
        states,
        tried,
        never,
        discount_s=discount_s,
        length_s=100.0,
    )
    assert [figures(state) for state in states] == before
    assert np.isnan(costs).tolist() == np.isnan(decisions).tolist() == (~tried).tolist()
    assert (decisions[tried] >= 100.0 / states[0].profile.tick_s).all()
    for state, mask, row in zip(states, tried, costs, strict=True):
        for action in np.flatnonzero(mask).tolist():
            by_hand = cost_by_hand(state, action, discount_s, 100.0)
            assert row[action] == pytest.approx(by_hand, rel=1e-9)


REQUEST = Request(0.0, "bbb_1.mp4", 3000, "fast")


def crowd(flavor: int, n: int, waiting: int) -> Cluster:
    """A cluster with workers of one flavor, all busy, and jobs that wait."""
    cluster = Cluster(load_profile("openstack"))
    for i in range(n):
        cluster.worker_spawned(0.0, i, flavor)
    for i in range(n):
        cluster.worker_ready(20.0, i)
    for i in range(n + waiting):
        cluster.job_arrived(20.0, Job(i, REQUEST, (40.0, 25.0, 16.0)))
        if i < n:
            cluster.task_assigned(20.0, i, i)
    return cluster


def test_larger_workers_drain_a_queue_faster_than_as_many_small_ones() -> None:
    assert crowd(0, 3, 6).speed == pytest.approx(3.0)
    assert crowd(2, 3, 6).speed == pytest.approx(3 * 40 / 16)
    cluster = crowd(2, 3, 6)
    cluster.worker_retiring(20.0, 0)  # it still serves
    assert cluster.speed == pytest.approx(3 * 40 / 16)
    assert Cluster(load_profile("openstack")).speed == 0.0


def test_nothing_in_the_system_leaves_nothing_to_pay() -> None:
    simulator = simulation(0)
    assert terminal_cost(simulator.cluster) == 0.0


def test_a_backlog_leaves_more_to_pay_where_others_will_have_to_wait_behind_it() -> None:
    simulator = simulation(1, faults=False)
    while simulator.advance() and simulator.cluster.waiting < 8:
        if simulator.cluster.fits[2]:
            simulator.apply(spawn(2))
    cluster = simulator.cluster
    assert not cluster.fits[2]
    assert cluster.waiting
    cluster.arrivals = ArrivalStatistics()
    calm = terminal_cost(cluster)
    for _ in range(500):
        cluster.arrivals.observe(cluster.now, 60.0)
    assert terminal_cost(cluster) > 1.1 * calm


def test_a_longer_queue_leaves_more_to_pay() -> None:
    simulator = simulation(1, faults=False)
    prices: list[tuple[int, float]] = []
    while simulator.advance() and len(prices) < 30:
        prices.append((simulator.cluster.waiting, terminal_cost(simulator.cluster)))
    waiting = [jobs for jobs, _ in prices]
    assert waiting == sorted(waiting)  # nothing is ever spawned
    assert max(waiting) > 3
    for (fewer, less), (more, price) in pairwise(prices):
        assert price > less if more > fewer else price == pytest.approx(less)
