"""Policy improvement: branches do not depend on the processes, and the actor follows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_world import recorded, small_model, taught_model, teachings

from env.episodes import Randomisation
from training.branching import Branches
from training.improvement import (
    BranchSettings,
    FitSettings,
    branch_sampler,
    expected_gain,
    limit_logits,
    move_actor,
    squash,
)
from training.network import Actor, masked_argmax, standardiser

FIT = FitSettings(
    epochs=30, batch_size=128, learning_rate=1e-2, kl_weight=0.01, small_advantage=1.0
)
SHORT = BranchSettings(
    profile="openstack",
    ranges=Randomisation(horizon_s=(200.0, 300.0)),
    discount_s=100.0,
    length_s=10.0,
    flavor_length_s=20.0,
    longest_hold_s=5.0,
)


def fresh_actor() -> Actor:
    """An actor that knows nothing."""
    model = small_model()
    standardiser(model).fit(recorded())
    return Actor(model)


def choices(actor: Actor, branches: Branches) -> np.ndarray:
    """The likeliest actions."""
    with torch.no_grad():
        logits = actor(torch.as_tensor(branches.observations)).numpy()
    return masked_argmax(logits, branches.masks)


def invented(n: int = 512, size: float = 0.5) -> Branches:
    """Branches at which the teacher's action saves so much, and any other costs as much."""
    data = teachings()
    rows = np.random.default_rng(3).choice(len(data), n, replace=False)
    masks, best = data.masks[rows], data.labels[rows]
    advantages = np.where(masks, -size, 0.0).astype(np.float32)
    advantages[np.arange(n), best] = size
    return Branches(data.observations[rows], masks, np.zeros(n, dtype=np.int64), advantages)


def test_the_gain_is_that_of_the_likeliest_allowed_actions() -> None:
    branches = invented()
    for actor in (fresh_actor(), Actor(taught_model())):
        right = choices(actor, branches) == branches.advantages.argmax(axis=1)
        assert expected_gain(actor, branches) == pytest.approx(right.mean() - 0.5, abs=1e-6)


def test_the_actor_moves_to_what_saves() -> None:
    actor, branches = fresh_actor(), invented()
    before = expected_gain(actor, branches)
    divergence = move_actor(actor, branches, FIT, np.random.default_rng(0))
    assert expected_gain(actor, branches) > max(0.35, before + 0.1)
    assert divergence > 0.01


def test_the_divergence_holds_it_back() -> None:
    branches = invented()
    moved = []
    for weight in (0.0, 100.0):
        actor = fresh_actor()
        fit = replace(FIT, kl_weight=weight)
        moved.append(move_actor(actor, branches, fit, np.random.default_rng(0)))
        assert np.isfinite(moved[-1])
    assert moved[1] < 0.01 < moved[0]


def test_small_advantages_count_in_full_and_large_ones_by_their_logarithm() -> None:
    advantages = np.float32([-1e4, -1.0, -1e-4, 0.0, 1e-4, 1.0, 1e4])
    squashed = squash(advantages, 0.05)
    assert squashed.dtype == np.float32
    assert (np.diff(squashed) > 0).all()
    assert squashed == pytest.approx(-squashed[::-1])
    assert squashed[4] == pytest.approx(1e-4, rel=1e-2)
    assert squashed[5] == pytest.approx(0.05 * np.log(21.0), rel=1e-5)


def test_limited_logits_decide_the_same() -> None:
    actor, branches = fresh_actor(), invented()
    rows = torch.as_tensor(branches.observations)
    before = choices(actor, branches)
    with torch.no_grad():
        free = actor(rows)
        limit_logits(actor, rows, 1e6)
        assert torch.equal(actor(rows), free)
        limit_logits(actor, rows, 1e-3)
        assert float(actor(rows).abs().max()) == pytest.approx(1e-3)
    assert (choices(actor, branches) == before).all()


def test_the_same_seed_moves_it_the_same() -> None:
    networks = []
    for seed in (1, 1, 2):
        actor = fresh_actor()
        move_actor(actor, invented(), replace(FIT, epochs=1), np.random.default_rng(seed))
        networks.append(actor)
    rows = torch.as_tensor(recorded()[:100])
    with torch.no_grad():
        one, two, other = (actor(rows) for actor in networks)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_what_is_sampled_does_not_depend_on_the_processes() -> None:
    actor = Actor(taught_model())
    found = []
    for processes in (1, 2):
        told: list[int] = []
        with branch_sampler(processes, SHORT) as sample:
            found.append(sample(actor, 1000, 5, told.append))
        assert sum(told) == len(found[-1]) >= 1000
        assert len(told) == 2  # tasks
    one, two = (part.arrays() for part in found)
    for name, array in one.items():
        assert np.array_equal(array, two[name])
    branches = found[0]
    half = told[0]
    assert not np.array_equal(branches.observations[:48], branches.observations[half : half + 48])
    rows = np.arange(len(branches))
    assert branches.masks[rows, branches.chosen].all()
    assert (branches.advantages[rows, branches.chosen] == 0).all()
    assert (branches.advantages[~branches.masks] == 0).all()
    assert np.isfinite(branches.advantages).all()
    assert (choices(actor, branches) == branches.chosen).mean() > 0.99
