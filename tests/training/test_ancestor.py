"""Frozen policies of our own as a beginning for others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import FLAVORS, SMALL, freeze, recorded, small_model, taught_model

from env.errors import ConfigError, PolicyError
from training.ancestor import CHECKPOINT_FILE, load_ancestor
from training.model import adopt
from training.network import Actor


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    """A frozen policy."""
    return freeze(taught_model(), tmp_path / "taught")


def test_the_network_is_adopted_whole(frozen: Path) -> None:
    ancestor = load_ancestor(frozen)
    ancestor.check_flavors(list(FLAVORS))
    model, rows = small_model(), torch.as_tensor(recorded()[:500])
    with torch.no_grad():
        before = Actor(model)(rows).numpy()
        adopt(model, ancestor)
        after, theirs = Actor(model)(rows).numpy(), Actor(taught_model())(rows).numpy()
    assert not np.allclose(before, theirs)
    np.testing.assert_array_equal(after, theirs)
    np.testing.assert_array_equal(ancestor.actor()(rows).detach().numpy(), theirs)


def test_a_network_of_another_width_is_refused(frozen: Path) -> None:
    model = small_model(replace(SMALL, width=SMALL.width + 1))
    with pytest.raises(ConfigError, match=r"start_from: .*taught.*set width to that of its card"):
        adopt(model, load_ancestor(frozen))


def test_a_checkpoint_that_is_not_the_cards_is_refused(frozen: Path) -> None:
    path = frozen / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(PolicyError, match=r"policy.zip is missing or is not the file"):
        load_ancestor(frozen)
    path.unlink()
    with pytest.raises(PolicyError, match=r"policy.zip is missing or is not the file"):
        load_ancestor(frozen)


def test_one_that_observes_other_things_is_refused(frozen: Path) -> None:
    with pytest.raises(PolicyError, match="observes other things than policies do now"):
        load_ancestor(frozen).check_flavors(["a", "b", "c"])
