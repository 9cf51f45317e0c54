"""The all-action surrogate: its closed form, and that the actor follows it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.network_policy import masked_argmax
from tests.training.small_world import recorded, small_model, taught_model, teachings
from training.network import Actor, standardiser
from training.train.labels import Labels
from training.train.surrogate import (
    FitReport,
    FitSettings,
    expected_gain,
    fit,
    limit_logits,
    squash,
    surrogate,
)

FIT = FitSettings(
    epochs=30,
    batch_size=128,
    learning_rate=1e-2,
    kl_weight=0.01,
    small_advantage=1.0,
    target_kl=None,
)


def fresh_actor() -> Actor:
    """An actor that knows nothing."""
    model = small_model()
    standardiser(model).fit(recorded())
    return Actor(model)


def moved(actor: Actor, labels: Labels, settings: FitSettings, seed: int = 0) -> FitReport:
    """Moves the actor, held near what it is now."""
    return fit(actor, copy.deepcopy(actor), labels, settings, np.random.default_rng(seed))


def choices(actor: Actor, labels: Labels) -> np.ndarray:
    """The likeliest actions."""
    with torch.no_grad():
        logits = actor(torch.as_tensor(labels.observations)).numpy()
    return masked_argmax(logits, labels.masks)


def invented(n: int = 512, size: float = 0.5) -> Labels:
    """Labels at which the teacher's action saves so much, and any other costs as much."""
    data = teachings()
    rows = np.random.default_rng(3).choice(len(data), n, replace=False)
    masks, best = data.masks[rows], data.labels[rows]
    advantages = np.where(masks, -size, 0.0).astype(np.float32)
    advantages[np.arange(n), best] = size
    return Labels(data.observations[rows], masks, np.zeros(n, dtype=np.int64), advantages)


def test_the_gain_is_that_of_the_likeliest_allowed_actions() -> None:
    labels = invented()
    for actor in (fresh_actor(), Actor(taught_model())):
        right = choices(actor, labels) == labels.advantages.argmax(axis=1)
        assert expected_gain(actor, labels) == pytest.approx(right.mean() - 0.5, abs=1e-6)


def test_the_actor_moves_to_what_saves() -> None:
    actor, labels = fresh_actor(), invented()
    before = expected_gain(actor, labels)
    report = moved(actor, labels, FIT)
    assert expected_gain(actor, labels) > max(0.35, before + 0.1)
    assert report.kl > 0.01
    assert report.epochs == FIT.epochs
    assert 0.0 < report.clip_fraction <= 1.0


def test_the_divergence_holds_it_back() -> None:
    labels = invented()
    far = [moved(fresh_actor(), labels, replace(FIT, kl_weight=weight)).kl for weight in (0, 100)]
    assert far[1] < 0.01 < far[0]


def test_it_ends_early_at_the_target_divergence() -> None:
    report = moved(fresh_actor(), invented(), replace(FIT, target_kl=0.01))
    assert report.epochs < FIT.epochs
    assert report.kl > 0.015


def test_the_surrogate_is_the_expectation_over_all_actions() -> None:
    # One state with shares 1/2, 1/4, 1/4 over three actions, a fourth that was not tried; the
    # anchor has 1/4, 1/2, 1/4.
    now = torch.log(torch.tensor([[0.5, 0.25, 0.25, 1e-30]]))
    anchor = torch.log(torch.tensor([[0.25, 0.5, 0.25, 1e-30]]))
    advantages = torch.tensor([[0.0, 0.4, -0.8, 0.0]])
    forbidden = torch.tensor([[False, False, False, True]])
    loss, gain, kl = surrogate(now, anchor, advantages, forbidden, 2.0)
    assert float(gain) == pytest.approx(0.25 * 0.4 - 0.25 * 0.8)
    assert float(kl) == pytest.approx(0.25 * np.log(2.0))
    assert float(loss) == pytest.approx(2.0 * float(kl) - float(gain))


def test_alone_the_penalised_optimum_is_the_anchor_weighted_by_exponentiated_advantages() -> None:
    # Closed form: share proportional to anchor * exp(advantage / coefficient).
    advantages = torch.tensor([[0.3, 0.0, -0.2]])
    anchor = torch.log(torch.tensor([[0.2, 0.5, 0.3]]))
    forbidden = torch.zeros((1, 3), dtype=torch.bool)
    logits = torch.zeros((1, 3), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.05)
    for _ in range(400):
        now = torch.log_softmax(logits, dim=1)
        loss, _, _ = surrogate(now, anchor, advantages, forbidden, 0.5)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    expected = torch.softmax(anchor + advantages / 0.5, dim=1)
    assert torch.allclose(torch.softmax(logits, dim=1), expected, atol=1e-4)


def test_small_advantages_count_in_full_and_large_ones_by_their_logarithm() -> None:
    advantages = np.array([-1e4, -1.0, -1e-4, 0.0, 1e-4, 1.0, 1e4], dtype=np.float32)
    squashed = squash(advantages, 0.05)
    assert squashed.dtype == np.float32
    assert (np.diff(squashed) > 0).all()
    assert squashed == pytest.approx(-squashed[::-1])
    assert squashed[4] == pytest.approx(1e-4, rel=1e-2)
    assert squashed[5] == pytest.approx(0.05 * np.log(21.0), rel=1e-5)


def test_limited_logits_decide_the_same() -> None:
    actor, labels = fresh_actor(), invented()
    rows = torch.as_tensor(labels.observations)
    before = choices(actor, labels)
    with torch.no_grad():
        free = actor(rows)
        limit_logits(actor, rows, 1e6)
        assert torch.equal(actor(rows), free)
        limit_logits(actor, rows, 1e-3)
        assert float(actor(rows).abs().max()) == pytest.approx(1e-3)
    assert (choices(actor, labels) == before).all()


def test_the_same_seed_moves_it_the_same() -> None:
    networks = []
    for seed in (1, 1, 2):
        actor = fresh_actor()
        moved(actor, invented(), replace(FIT, epochs=1), seed)
        networks.append(actor)
    rows = torch.as_tensor(recorded()[:100])
    with torch.no_grad():
        one, two, other = (actor(rows) for actor in networks)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
