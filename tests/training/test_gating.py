"""Several networks in one: each decides on its stretch of the dial, as it would alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import MaskablePPO
from small_world import FLAVORS, SMALL, recorded, small_model, taught_model

from env.observation import bounds
from training.gating import gated_width, join_actors
from training.network import Actor, standardiser

LOW, HIGH = bounds(FLAVORS)
FURTHER = 0.03
"""So far from a boundary no two parts are mixed."""


def stranger(seed: int, width: int) -> MaskablePPO:
    """A network that learned nothing and is sure of much, with a standardisation of its own."""
    model = small_model(replace(SMALL, width=width, seed=seed))
    rng = np.random.default_rng(seed)
    standardiser(model).fit(rng.uniform(LOW, HIGH, (500, len(LOW))).astype(np.float32))
    torch.manual_seed(seed)
    actor = Actor(model)
    with torch.no_grad():
        for parameter in [*actor.hidden.parameters(), *actor.head.parameters()]:
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model


PARTS = [Actor(taught_model()), Actor(stranger(1, 24)), Actor(stranger(2, 8))]


def joined(parts: Sequence[Actor], boundaries: Sequence[float]) -> Actor:
    """The parts in one."""
    actor = Actor(small_model(replace(SMALL, width=gated_width(parts))))
    join_actors(actor, parts, boundaries)
    return actor


def logits(actor: Actor, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(actor(torch.as_tensor(rows)))


@settings(deadline=None, max_examples=40)
@given(
    order=st.permutations([0, 1, 2]),
    cuts=st.lists(st.floats(-0.9, 0.9), max_size=2, unique_by=lambda cut: round(cut, 1)),
    seed=st.integers(0, 2**32 - 1),
    beyond=st.floats(1.0, 3.0),
)
def test_the_part_in_charge_decides_as_it_would_alone(
    order: list[int], cuts: list[float], seed: int, beyond: float
) -> None:
    parts = [PARTS[i] for i in order[: len(cuts) + 1]]
    boundaries = sorted(cuts)
    actor = joined(parts, boundaries)
    rng = np.random.default_rng(seed)
    wild = rng.uniform(beyond * LOW, beyond * HIGH, (100, len(LOW)))
    rows = np.concatenate([recorded()[rng.integers(len(recorded()), size=100)], wild])
    rows = rows.astype(np.float32)
    rows[:, 0] = rng.uniform(-1, 1, len(rows))
    far = (np.abs(rows[:, [0]] - np.array([boundaries])) > FURTHER).all(axis=1)
    charge = np.searchsorted(boundaries, rows[:, 0])
    alone = np.stack([logits(part, rows) for part in parts])[charge, np.arange(len(rows))]
    np.testing.assert_allclose(logits(actor, rows)[far], alone[far], atol=2e-4)


def test_the_parts_are_not_alike() -> None:
    told = [logits(part, recorded()[:50]) for part in PARTS]
    assert min(np.abs(told[0] - told[1]).max(), np.abs(told[1] - told[2]).max()) > 0.5


@pytest.mark.parametrize(
    ("parts", "boundaries"), [(2, []), (2, [0.1, 0.2]), (3, [0.5, 0.1]), (3, [0.2, 0.2])]
)
def test_boundaries_that_make_no_sense(parts: int, boundaries: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot be divided"):
        join_actors(Actor(small_model()), PARTS[:parts], boundaries)
