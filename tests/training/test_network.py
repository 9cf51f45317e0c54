"""The network: its standardisation, its actor, and the choice under a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sb3_contrib import MaskablePPO

from agents.network_policy import masked_argmax
from tests.training.small_world import SMALL, recorded, small_model, taught_model
from training.model import train_only_critic
from training.network import Actor, Standardise, standardiser


@given(
    logits=npst.arrays(
        np.float32, (5, 7), elements=st.floats(allow_nan=True, allow_infinity=True, width=32)
    ),
    masks=npst.arrays(np.bool_, (5, 7)),
)
def test_a_forbidden_action_is_never_chosen(logits: np.ndarray, masks: np.ndarray) -> None:
    masks[:, 0] = True  # keep is always possible
    chosen = masked_argmax(logits, masks)
    assert masks[np.arange(5), chosen].all()


@given(logits=npst.arrays(np.float32, 7, elements=st.floats(-10, 10, width=32)))
def test_the_likeliest_of_the_allowed_is_chosen(logits: np.ndarray) -> None:
    mask = np.array([True, False, True, True, False, True, False])
    chosen = masked_argmax(logits, mask)
    assert logits[chosen] == logits[mask].max()


def box(low: float, high: float, size: int) -> spaces.Box:
    """A box of these bounds."""
    return spaces.Box(low, high, (size,), np.float32)


def test_standardises_to_mean_zero_and_spread_one() -> None:
    rng = np.random.default_rng(0)
    data = (rng.standard_normal((4000, 3)) * [0.2, 0.5, 1.0] + [1.0, -0.5, 0.0]).astype(np.float32)
    layer = Standardise(box(-100.0, 100.0, 3))
    layer.fit(data)
    out = layer(torch.as_tensor(data)).numpy()
    assert out.mean(axis=0) == pytest.approx([0.0] * 3, abs=1e-3)
    assert out.std(axis=0) == pytest.approx([1.0] * 3, rel=1e-3)


def test_a_feature_that_never_varied_does_not_blow_up() -> None:
    layer = Standardise(box(0.0, 3.0, 2))
    layer.fit(np.tile(np.float32([0.0, 1.0]), (100, 1)))
    out = layer(torch.tensor([[1.0, 1.0], [3.0, 2.0]])).numpy()
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 100.0


def test_observations_are_clipped_to_their_bounds() -> None:
    layer = Standardise(box(-1.0, 1.0, 2))
    layer.fit(np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32))
    inside = layer(torch.tensor([[1.0, -1.0]]))
    assert torch.equal(layer(torch.tensor([[40.0, -9.0]])), inside)


def test_the_standardisation_belongs_to_the_network(tmp_path: Path) -> None:
    model = taught_model()
    model.save(tmp_path / "model.zip")
    loaded = MaskablePPO.load(tmp_path / "model.zip", device="cpu")
    observations = torch.as_tensor(recorded()[:100])
    with torch.no_grad():
        assert torch.equal(Actor(loaded)(observations), Actor(model)(observations))
        assert torch.equal(
            loaded.policy.predict_values(observations), model.policy.predict_values(observations)
        )
    assert torch.equal(standardiser(loaded).mean, standardiser(model).mean)
    assert not torch.equal(
        standardiser(loaded).spread, torch.ones_like(standardiser(loaded).spread)
    )


def test_the_actor_is_what_the_learner_acts_by() -> None:
    model = taught_model()
    observations = torch.as_tensor(recorded()[:200])
    with torch.no_grad():
        logits = Actor(model)(observations)
        distribution = model.policy.get_distribution(observations).distribution
        assert torch.allclose(logits.softmax(dim=1), distribution.probs, atol=1e-6)
        masks = np.random.default_rng(0).random((200, 7)) < 0.5
        masks[:, 0] = True
        chosen, _ = model.predict(observations.numpy(), deterministic=True, action_masks=masks)
    assert np.array_equal(masked_argmax(logits.numpy(), masks), chosen)


def test_the_critic_alone_learns_in_the_warm_up() -> None:
    model = small_model()
    actor = [p.detach().clone() for p in Actor(model).parameters()]
    critic = [p.detach().clone() for p in model.policy.mlp_extractor.value_net.parameters()]
    train_only_critic(model, True)
    model.learn(128)
    assert all(torch.equal(a, b) for a, b in zip(actor, Actor(model).parameters(), strict=True))
    now = model.policy.mlp_extractor.value_net.parameters()
    assert not any(torch.equal(a, b) for a, b in zip(critic, now, strict=True))
    train_only_critic(model, False)
    model.learn(128)
    assert not any(torch.equal(a, b) for a, b in zip(actor, Actor(model).parameters(), strict=True))


def test_the_step_size_falls_to_zero_and_not_below() -> None:
    schedule = small_model().lr_schedule
    assert [schedule(x) for x in (1.0, 0.5, 0.0)] == pytest.approx(
        [SMALL.learning_rate, SMALL.learning_rate / 2, 0.0]
    )
    assert schedule(-0.001) == 0.0  # the last rollout goes beyond the last step
