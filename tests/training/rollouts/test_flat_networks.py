"""The compiled forward pass gives what torch gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tests.training.rolling_worlds import FLAVORS, random_actor, with_relu

pytest.importorskip("numba")

from env.engine.perceptron import forward
from env.observation import bounds
from training.network import Actor
from training.rollouts.flatten import flatten


def observations(n: int) -> NDArray[np.float32]:
    """Anywhere within the bounds, on them, and a little beyond."""
    low, high = bounds(FLAVORS)
    rng = np.random.default_rng(3)
    rows = low + (high - low) * rng.uniform(-0.1, 1.1, (n, len(low)))
    rows[:, 0] = rng.uniform(-1.0, 1.0, n)
    return rows.astype(np.float32)


def same(actor: Actor) -> None:
    rows = observations(300)
    with torch.no_grad():
        expected = actor(torch.as_tensor(rows)).numpy()
    found = forward(flatten(actor), rows)
    assert np.abs(expected).max() > 1.0  # otherwise the tolerance below says nothing
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("ratios", [True, False])
@pytest.mark.parametrize("width", [5, 64])
def test_the_compiled_network_gives_the_same_logits(width: int, ratios: bool) -> None:
    same(random_actor(1, width, ratios=ratios))


def test_so_does_one_of_other_units_and_depth() -> None:
    same(with_relu(random_actor(2)))
    deeper = random_actor(3)
    deeper.hidden.extend([nn.Linear(24, 9), nn.Tanh()])
    deeper.head = nn.Linear(9, 7)
    with torch.no_grad():
        deeper.head.weight.mul_(9.0)
    same(deeper)


def test_a_copy_does_not_learn_on() -> None:
    actor, rows = random_actor(4), observations(5)
    network = flatten(actor)
    before = forward(network, rows)
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.mul_(2.0)
        actor.standardise.mean.add_(1.0)
    np.testing.assert_array_equal(forward(network, rows), before)


def test_other_networks_are_refused() -> None:
    actor = random_actor(5)
    actor.hidden[1] = nn.Sigmoid()
    with pytest.raises(ValueError, match="Sigmoid at place 1"):
        flatten(actor)
    mixed = random_actor(6)
    mixed.hidden[1] = nn.ReLU()
    with pytest.raises(ValueError, match="the same activation"):
        flatten(mixed)
