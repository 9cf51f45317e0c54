"""Copies of a simulation, and what each action costs on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import exp, expm1, isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_world import short_episodes

from env.actions import KEEP, Action, ActionKind, action_from_index, kill, spawn
from env.arrivals import ArrivalStatistics
from env.cluster import Cluster
from env.config import load_profile
from env.cost import cost_so_far
from env.jobs import Job, Request
from env.metrics import measure
from env.observation import Observer, action_mask
from env.simulator import Simulator
from env.timeline import Timeline
from training.branching import (
    _retires,
    choose_trials,
    draw_holds,
    explore,
    residual_cost,
)
from training.snapshot import copy_simulator

N_FLAVORS = 3


def simulation(seed: int, faults: bool = True, timeline: bool = False) -> Simulator:
    """A run of ten minutes, in which much goes wrong if `faults`."""
    episode = short_episodes(1, seed, load=0.8)[0]
    profile = episode.profile
    if faults:
        changed = replace(
            profile.faults, spawn_failure=0.2, worker_loss_per_hour=20.0, transcode_error=0.1
        )
        profile = replace(profile, faults=changed)
    return Simulator(
        profile,
        episode.requests,
        episode.catalog,
        seed=episode.seed,
        preference=episode.preference,
        limit_s=900.0,
        timeline=Timeline() if timeline else None,
    )


def orders(rng: np.random.Generator) -> Sequence[Action]:
    """What to order at one decision."""
    roll = rng.random()
    flavor = int(rng.integers(N_FLAVORS))
    return [spawn(flavor)] if roll < 0.3 else [kill(flavor)] if roll < 0.4 else [KEEP]


def play(simulator: Simulator, seed: int, decisions: int) -> list[object]:
    """Go on for so many decisions; returns all that could be seen on the way."""
    rng = np.random.default_rng(seed)
    observer = Observer(simulator.cluster)
    row = np.zeros(observer.size, dtype=np.float32)
    mask = np.zeros(1 + 2 * N_FLAVORS, dtype=np.bool_)
    seen: list[object] = []
    for _ in range(decisions):
        if not simulator.advance():
            seen.append("end")
            break
        observer.write(row)
        action_mask(simulator.cluster, mask)
        done = [simulator.apply(order) for order in orders(rng)]
        seen.append((simulator.now, simulator.epoch, row.tobytes(), mask.tobytes(), done))
    return seen


def figures(simulator: Simulator) -> object:
    """All that a run has come to."""
    steps = (simulator.assigned_s, simulator.downloaded_s, simulator.transcoded_s)
    times = [
        [None if isnan(time) else time for time in column] for column in (*steps, simulator.ended_s)
    ]
    metrics = [repr(value) for value in measure(simulator).to_dict().values()]
    workers = {key: repr(worker) for key, worker in simulator.cluster.workers.items()}
    return metrics, times, workers, simulator.failed, simulator.invalid_actions, simulator.done


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), before=st.integers(0, 250), faults=st.booleans())
def test_the_same_future_bit_for_bit(seed: int, before: int, faults: bool) -> None:
    simulator = simulation(seed, faults)
    play(simulator, seed, before)
    copied = copy_simulator(simulator)
    assert figures(copied) == figures(simulator)
    again = copy_simulator(copied)
    ours = play(simulator, seed + 1, 10**6)
    assert play(copied, seed + 1, 10**6) == ours
    assert play(again, seed + 1, 10**6) == ours
    assert figures(copied) == figures(simulator) == figures(again)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), before=st.integers(0, 250))
def test_the_original_is_untouched(seed: int, before: int) -> None:
    simulator, never_copied = simulation(seed), simulation(seed)
    play(simulator, seed, before)
    play(never_copied, seed, before)
    at_the_copy = figures(simulator)
    copied = copy_simulator(simulator)
    play(copied, seed + 2, 10**6)
    assert figures(simulator) == at_the_copy
    assert play(simulator, seed + 1, 10**6) == play(never_copied, seed + 1, 10**6)
    assert figures(simulator) == figures(never_copied)


def test_what_the_copies_do_differs_where_their_orders_do() -> None:
    simulator = simulation(3, faults=False)
    simulator.advance()
    one, two = copy_simulator(simulator), copy_simulator(simulator)
    assert one.apply(spawn(0))
    assert two.apply(spawn(2))
    assert one.cluster.booting != two.cluster.booting
    assert simulator.cluster.n_booting == 0


def test_what_never_changes_is_shared() -> None:
    simulator = simulation(1)
    copied = copy_simulator(simulator)
    assert copied.requests is simulator.requests
    assert copied.profile is simulator.profile
    assert copied.timing is simulator.timing
    assert copied.cluster is not simulator.cluster
    assert copied.env is not simulator.env
    assert copied.cluster.config is simulator.cluster.config


@pytest.mark.parametrize("before", [0, 60])
def test_the_picture_is_copied_too(before: int) -> None:
    simulator = simulation(2, timeline=True)
    play(simulator, 2, before)
    copied = copy_simulator(simulator)
    assert copied.timeline is not None
    assert simulator.timeline is not None
    untouched = len(simulator.timeline.samples)
    play(copied, 9, 100)
    assert len(simulator.timeline.samples) == untouched
    assert len(copied.timeline.samples) > untouched


# -- the price of each action -------------------------------------------------------------


def never(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Keeps always."""
    return np.zeros(len(observations), dtype=np.int64)


def cost_by_hand(state: Simulator, action: int, discount_s: float, length_s: float) -> float:
    """Discounted cost of an action and then keeping, stretch by stretch."""
    simulator = copy_simulator(state)
    start, w = simulator.now, simulator.cluster.preference
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
        if not alive or simulator.now >= start + length_s:
            passed = simulator.now - start
            return total + exp(-passed / discount_s) * residual_cost(simulator.cluster)


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
        length_s=np.full(len(states), 100.0),
        held=np.zeros(len(states), dtype=np.int64),
        hold_s=np.full(len(states), 60.0),
        stay=np.zeros(len(states), dtype=np.bool_),
    )
    assert [figures(state) for state in states] == before
    assert np.isnan(costs).tolist() == np.isnan(decisions).tolist() == (~tried).tolist()
    assert (decisions[tried] >= 100.0 / states[0].profile.tick_s).all()
    for state, mask, row in zip(states, tried, costs, strict=True):
        for action in np.flatnonzero(mask).tolist():
            by_hand = cost_by_hand(state, action, discount_s, 100.0)
            assert row[action] == pytest.approx(by_hand, rel=2e-3)


@pytest.mark.parametrize("hold_s", [0.0, 12.0, 40.0])
def test_what_is_not_ordered_is_put_off(hold_s: float) -> None:
    """A policy that would spawn whenever it can does so again once the time is over."""
    state = simulation(3)
    play(state, 3, 40)
    start, booting = state.now, state.cluster.n_booting + state.cluster.n_workers
    could: list[bool] = []

    def eager(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        could.extend(bool(may_spawn) for may_spawn in masks[:, 1])
        return np.where(masks[:, 1], 1, 0).astype(np.int64)

    tried = np.zeros((1, 1 + 2 * N_FLAVORS), dtype=np.bool_)
    tried[0, 0] = True
    explore(
        [state],
        tried,
        eager,
        discount_s=2000.0,
        length_s=np.array([60.0]),
        held=np.array([2]),  # another flavor of the same kind: no spawn at all
        hold_s=np.array([hold_s]),
        stay=np.array([False]),
    )
    assert (state.now, state.cluster.n_booting + state.cluster.n_workers) == (start, booting)
    first = could.index(True)
    assert first >= hold_s / state.profile.tick_s - 1
    assert (first == 0) == (hold_s == 0)


@pytest.mark.parametrize("stays", [False, True])
def test_a_branch_stays_with_the_flavor_that_it_tries(
    stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that would spawn the smallest whenever it can; the second is tried instead."""
    state = simulation(3, faults=False)
    play(state, 3, 4)
    mask = np.zeros(1 + 2 * N_FLAVORS, dtype=np.bool_)
    action_mask(state.cluster, mask)
    assert mask[1:3].all()
    spawned: list[int] = []
    apply = Simulator.apply

    def note(simulator: Simulator, action: Action) -> bool:
        fitted = simulator.cluster.fits[1]
        if action.kind is ActionKind.SPAWN and (fitted or action.flavor):
            spawned.append(action.flavor)
        return apply(simulator, action)

    def eager(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.where(masks[:, 1], 1, 0).astype(np.int64)

    monkeypatch.setattr(Simulator, "apply", note)
    tried = np.zeros((1, 1 + 2 * N_FLAVORS), dtype=np.bool_)
    tried[0, 2] = True
    explore(
        [state],
        tried,
        eager,
        discount_s=2000.0,
        length_s=np.array([200.0]),
        held=np.array([1]),
        hold_s=np.array([0.0]),
        stay=np.array([stays]),
    )
    assert spawned[0] == 1
    assert len(spawned) > 2
    assert set(spawned[1:]) == ({1} if stays else {0})


def test_how_long_orders_are_put_off() -> None:
    holds = draw_holds(20_000, 60.0, np.random.default_rng(5))
    later = holds[holds > 0]
    assert 0.23 < 1 - len(later) / len(holds) < 0.27
    assert later.min() >= 3.0
    assert later.max() <= 60.0
    assert np.median(later) == pytest.approx(np.sqrt(3.0 * 60.0), rel=0.05)
    assert draw_holds(100, 1.0, np.random.default_rng(5)).max() == 1.0


def test_what_is_tried_is_what_the_policy_is_not_sure_of() -> None:
    rng = np.random.default_rng(1)
    n = 4000
    masks = np.tile(np.array([True, True, True, True, False, False, False]), (n, 1))
    unsure = np.tile(np.array([0.6, 0.398, 0.002, 0, 0, 0, 0], dtype=np.float32), (n, 1))
    tried = choose_trials(unsure, masks, rng)
    assert tried[:, :2].all()
    assert not tried[:, 4:].any()
    # Now and then also what it hardly ever would do.
    assert 0.04 < tried[:, 2].mean() < 0.12
    assert 0.04 < tried[:, 3].mean() < 0.12
    certain = np.tile(np.array([0, 0.999, 0.001, 0, 0, 0, 0], dtype=np.float32), (n, 1))
    tried = choose_trials(certain, masks, rng)
    some = tried.any(axis=1)
    assert 0.01 < some.mean() < 0.1
    assert tried[some, 1].all()
    assert (tried[some].sum(axis=1) >= 2).all()


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


def test_branches_that_retire_a_busy_worker_are_told_apart() -> None:
    cluster = crowd(2, 2, 6)
    tried = np.zeros(1 + 2 * N_FLAVORS, dtype=np.bool_)
    tried[[0, 6]] = True
    assert _retires(cluster, tried)
    tried[6] = False
    assert not _retires(cluster, tried)
    cluster.worker_spawned(20.0, "idle", 2)
    cluster.worker_ready(40.0, "idle")
    tried[6] = True
    assert not _retires(cluster, tried)


def test_nothing_in_the_system_leaves_nothing_to_pay() -> None:
    simulator = simulation(0)
    assert residual_cost(simulator.cluster) == 0.0


def test_a_backlog_leaves_more_to_pay_where_others_will_have_to_wait_behind_it() -> None:
    simulator = simulation(1, faults=False)
    while simulator.advance() and simulator.cluster.waiting < 8:
        if simulator.cluster.fits[2]:
            simulator.apply(spawn(2))
    cluster = simulator.cluster
    assert not cluster.fits[2]
    assert cluster.waiting
    cluster.arrivals = ArrivalStatistics()
    calm = residual_cost(cluster)
    for _ in range(500):
        cluster.arrivals.observe(cluster.now, 60.0)
    assert residual_cost(cluster) > 1.1 * calm


def test_a_longer_queue_leaves_more_to_pay() -> None:
    simulator = simulation(1, faults=False)
    prices = []
    while simulator.advance() and len(prices) < 30:
        prices.append((simulator.cluster.waiting, residual_cost(simulator.cluster)))
    waiting = [jobs for jobs, _ in prices]
    assert waiting == sorted(waiting)  # nothing is ever spawned
    assert max(waiting) > 3
    for (fewer, less), (more, price) in pairwise(prices):
        assert price > less if more > fewer else price == pytest.approx(less)
