"""Labels: what is tried, and that it costs what the reference simulator says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.network_policy import masked_argmax
from env.engine.perceptron import forward
from env.engine.vector_env import DaCircoVectorEnv
from tests.training.compared_worlds import side_by_side
from tests.training.rolling_worlds import FLAVORS, random_actor
from training.rollouts.flatten import flatten
from training.rollouts.reference import explore, terminal_cost
from training.train.labels import (
    Labels,
    RolloutSettings,
    TerminalCost,
    choose_trials,
    label_states,
    rollout_costs,
)

N = 6
NETWORK = flatten(random_actor(0))
WORLD: dict[str, Any] = {"family": "bursts", "load": 0.9, "episode_s": 900.0}
HOW = RolloutSettings(length_s=60.0, discount_s=500.0, threads=1)


def decide(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """What the network does."""
    return masked_argmax(forward(NETWORK, observations), masks)


def seen(fast: DaCircoVectorEnv) -> NDArray[np.float32]:
    """The observations of now."""
    return fast._seen.observations.copy()


@pytest.mark.parametrize("steps", [3, 80, 300])
def test_what_is_left_costs_what_the_cluster_says(steps: int) -> None:
    fast, plain = side_by_side(N, steps, WORLD)
    expected = [terminal_cost(world.simulator.cluster) for world in plain]
    found = TerminalCost(FLAVORS)(fast.engine, np.arange(N), seen(fast))
    assert steps == 3 or max(expected) > 100.0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_each_action_costs_what_it_costs_in_the_reference() -> None:
    fast, plain = side_by_side(N, 200, WORLD)
    tried = fast.action_masks()
    costs, decisions = rollout_costs(fast.engine, np.arange(N), tried, NETWORK, HOW)
    found = costs[:, 0]
    expected, taken = explore(
        [world.simulator for world in plain],
        tried,
        decide,
        discount_s=HOW.discount_s,
        length_s=HOW.length_s,
    )
    assert np.isnan(found).tolist() == (~tried).tolist()
    np.testing.assert_array_equal(decisions[tried], taken[tried])
    # The speed of the flavors is that at the start (see TerminalCost), so not to the last digit.
    np.testing.assert_allclose(found[tried], expected[tried], rtol=0.02)
    near = np.abs(found[tried] / expected[tried] - 1.0)
    assert np.median(near) < 1e-3


def test_advantages_are_savings_over_what_the_policy_does() -> None:
    fast, _ = side_by_side(N, 120, WORLD)
    rows, tried = np.arange(N), fast.action_masks()
    chosen = decide(seen(fast), tried)
    rates = fast.reference_cost_rates
    labels = label_states(fast.engine, rows, seen(fast), tried, chosen, NETWORK, rates, HOW)
    found, decisions = rollout_costs(fast.engine, rows, tried, NETWORK, HOW)
    costs = found[:, 0]
    assert (labels.advantages[rows, chosen] == 0).all()
    assert (labels.advantages[~tried] == 0).all()
    for d, action in zip(*np.nonzero(tried), strict=True):
        pace = min(decisions[d, chosen[d]] / HOW.length_s / 0.6, 8.0)
        saved = (costs[d, chosen[d]] - costs[d, action]) / (100.0 * rates[d]) * pace
        assert labels.advantages[d, action] == pytest.approx(saved, rel=1e-5, abs=1e-7)
    twice = Labels.join([labels, labels])
    assert len(twice) == 2 * len(labels) == 2 * N
    np.testing.assert_array_equal(twice.masks[N:], labels.masks)


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
