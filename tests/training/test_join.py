"""Frozen policies joined into one by the command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sb3_contrib import MaskablePPO
from short_training import first_jobs, first_minutes
from small_world import FLAVORS, SMALL, freeze, recorded, small_model, taught_model

from agents.frozen import FrozenPolicy, sha256
from env.actions import KEEP_INDEX, SPAWN_INDEX
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE
from env.observation import preference_feature
from training.gating import gated_width, join_actors
from training.join import divide, main
from training.network import Actor
from training.preferences import PREFERENCES

QUICK = ("--draws", "1", "--episodes", "1", "--decisions", "200", "--jobs", "1")


@given(
    st.lists(
        st.lists(st.floats(-1, 1), min_size=len(PREFERENCES), max_size=len(PREFERENCES)),
        min_size=1,
        max_size=4,
    )
)
def test_each_preference_has_its_cheapest(means: list[list[float]]) -> None:
    costs = [np.array([[mean - 1.0, mean + 1.0] for mean in part]) for part in means]
    charges = divide(costs)
    assert (charges[0].low, charges[-1].high) == (MIN_PREFERENCE, MAX_PREFERENCE)
    for charge, following in pairwise(charges):
        assert charge.high == following.low
        assert charge.part != following.part
    for i, preference in enumerate(PREFERENCES):
        (here,) = [charge for charge in charges if charge.low <= preference <= charge.high]
        best = min(part[i].mean() for part in costs)
        assert costs[here.part][i].mean() == pytest.approx(best, abs=1e-12)


def mixture(*models: MaskablePPO) -> MaskablePPO:
    """The first model at the lean half of the dial, the second at the fast one."""
    actors = [Actor(model) for model in models]
    model = small_model(replace(SMALL, width=gated_width(actors)))
    join_actors(Actor(model), actors, [0.0])
    return model


def stubborn(action: int) -> MaskablePPO:
    """A model that orders this action whenever it can."""
    model = small_model()
    head = model.policy.action_net
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        head.bias[action] = 5.0
    return model


def wasteful() -> MaskablePPO:
    """Bad where cores are dear."""
    return stubborn(SPAWN_INDEX + len(FLAVORS) - 1)


def idle() -> MaskablePPO:
    """Bad where time is dear."""
    return stubborn(KEEP_INDEX)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two policies of which each is good on one half of the dial only."""
    folder, good = tmp_path_factory.mktemp("frozen"), taught_model()
    freeze(mixture(good, idle()), folder / "lean")
    freeze(mixture(wasteful(), good), folder / "fast")
    return folder


@pytest.fixture
def models(frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of them; scenarios are short."""
    folder = tmp_path / "models"
    shutil.copytree(frozen, folder)
    monkeypatch.setattr("training.episode_sets.load_split", first_jobs)
    monkeypatch.setattr("training.episode_sets.TRAIN", first_minutes())
    return folder


def run(models: Path, names: Sequence[str], *options: str) -> int:
    """The command's exit code."""
    folders = [str(models / name) for name in names]
    return main([*folders, "--models", str(models), "--name", "both", *QUICK, *options])


def card_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "card.json").read_text(encoding="utf-8")))


@pytest.mark.slow
def test_each_is_put_in_charge_where_it_is_good(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models, ["fast", "lean"]) == 0
    printed = capsys.readouterr().out
    assert "in charge from w = 0.1 to 0.415" in printed or "to 0.585" in printed
    card = card_of(models / "both")
    parts = card["training"]["parts"]
    assert [part["name"] for part in parts] == ["lean", "fast"]
    assert parts[0]["preferences"][1] == parts[1]["preferences"][0] == pytest.approx(0.5, abs=0.09)
    for part in parts:
        assert part["checkpoint_sha256"] == sha256(models / part["name"] / "policy.zip")
        assert (part["seed"], part["rounds"]) == (7, 3)
    assert card["training"]["validation"] == {"draws": 1, "episodes": 1, "seed": 20_000}
    text = (models / "both" / "README.md").read_text(encoding="utf-8")
    assert "## In charge from w = 0.1 to" in text
    assert "| key | lean | fast |" in text

    rows = recorded()[:300].copy()
    rows[:, 0] = [preference_feature(w) for w in np.linspace(0.1, 0.9, len(rows))]
    cut = preference_feature(parts[0]["preferences"][1])
    # Between the cut and the middle neither part is the good one.
    rows = rows[(np.abs(rows[:, 0]) > 0.03) & (np.abs(rows[:, 0] - cut) > 0.03)]
    rows = rows[(rows[:, 0] < min(cut, 0.0)) | (rows[:, 0] > max(cut, 0.0))]
    with torch.no_grad():
        alone = Actor(taught_model())(torch.as_tensor(rows)).numpy()
    joined = FrozenPolicy(models / "both")
    np.testing.assert_allclose(joined.logits(rows), alone, atol=2e-4)
    envelope = card["observation_envelope"]
    assert (np.array(envelope["low"]) <= recorded().min(axis=0)).all()
    assert (np.array(envelope["high"]) >= recorded().max(axis=0)).all()

    # What was joined is not a part of anything else.
    assert run(models, ["both", "lean"], "--name", "more") == 2
    assert "is itself joined, of lean, fast" in capsys.readouterr().err
    assert not (models / "more").exists()


@pytest.mark.slow
def test_one_that_is_best_everywhere_needs_no_other(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(taught_model(), models / "good")
    freeze(mixture(wasteful(), idle()), models / "bad")
    assert run(models, ["good", "bad"]) == 2
    assert "good does best everywhere: use it alone" in capsys.readouterr().err
    assert not (models / "both").exists()


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["lean"], (), "two models or more"),
        (["lean", "lean"], (), "two models or more"),
        (["lean", "nowhere"], (), "nowhere is not a frozen policy"),
        (["lean", "fast"], ("--seed", "-1"), "--seed -1 is below 0"),
        (["lean", "fast"], ("--name", "a/b"), "plain folder name"),
        (["lean", "fast"], ("--draws", "0"), "'0' is not a whole number"),
    ],
)
def test_bad_input_is_named(
    models: Path,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert run(models, names, *options) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in models.iterdir()) == ["fast", "lean"]


def test_a_checkpoint_that_the_card_does_not_know_is_not_opened(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (models / "fast" / "policy.zip").write_bytes(b"a stranger's")
    assert run(models, ["lean", "fast"]) == 2
    assert "policy.zip is missing or is not the file that the card names" in capsys.readouterr().err


def test_another_schema_is_refused(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = card_of(models / "fast")
    card["schema"]["sha256"] = "0" * 64
    (models / "fast" / "card.json").write_text(json.dumps(card), encoding="utf-8")
    assert run(models, ["lean", "fast"]) == 2
    assert "observes other things" in capsys.readouterr().err
