"""Freezing a policy: it decides as the network does, and its folder is whole or not there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from sb3_contrib import MaskablePPO

import training.export
from agents.frozen import FrozenPolicy
from env.errors import PolicyError
from env.metrics import measure
from env.observation import schema
from tests.training.small_world import (
    FLAVORS,
    SMALL,
    recorded,
    short_episodes,
    small_model,
    taught_model,
)
from training.comparison import RIVALS
from training.export import (
    TOLERANCE,
    Provenance,
    check_replaceable,
    export,
    export_onnx,
    largest_difference,
)
from training.lockstep import greedy, run_lockstep, simulate
from training.model_card import model_card
from training.network import Actor, standardiser
from training.preferences import PREFERENCES
from training.revision import git_revision

FILES = {"policy.onnx", "policy.zip", "card.json", "README.md"}


def provenance(*, steps: int = 12_345, **changes: Any) -> Provenance:
    """Where the policy of these tests comes from."""
    observations = recorded()
    columns = [*(f"w={w}" for w in PREFERENCES), "all"]
    made = Provenance(
        training={"settings": SMALL.to_dict(), "seed": SMALL.seed, "rounds": 3, "steps": steps},
        observations=observations[:2000],
        envelope=(observations.min(axis=0).tolist(), observations.max(axis=0).tolist()),
        evaluation={
            "about": "Made up.",
            "cost_ratio": {name: dict.fromkeys(columns, 0.875) for name in RIVALS},
        },
        flavors=FLAVORS,
    )
    return replace(made, **changes)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that was exported; not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "taught"
    assert export(taught_model(), folder, provenance()) <= TOLERANCE
    return folder


@cache
def network_bytes(folder: Path) -> bytes:
    """The network file."""
    return (folder / "policy.onnx").read_bytes()


def card_of(folder: Path) -> dict[str, Any]:
    """The card."""
    return dict(json.loads((folder / "card.json").read_text(encoding="utf-8")))


# -- the network --------------------------------------------------------------------------


def test_agrees_with_the_network_on_recorded_observations(exported: Path) -> None:
    frozen = FrozenPolicy(exported)
    assert largest_difference(taught_model(), frozen, recorded()) <= 1e-5
    with torch.no_grad():
        expected = Actor(taught_model())(torch.as_tensor(recorded())).numpy()
    assert np.abs(expected - frozen.logits(recorded())).max() <= 1e-5
    assert expected.std() > 0.5  # else this would show nothing


def test_agrees_beyond_the_bounds_and_for_single_rows(exported: Path) -> None:
    frozen = FrozenPolicy(exported)
    wild = np.random.default_rng(0).uniform(-9, 9, recorded()[:50].shape).astype(np.float32)
    assert largest_difference(taught_model(), frozen, wild) <= 1e-5
    together = frozen.logits(wild)
    for i, row in enumerate(wild):
        assert frozen.logits(row[None]) == pytest.approx(together[i : i + 1], abs=1e-5)


def test_the_standardisation_is_inside(exported: Path) -> None:
    # The same actor without its mean and spread decides something else.
    bare = small_model()
    bare.policy.load_state_dict(taught_model().policy.state_dict())
    standardiser(bare).mean.zero_()
    assert largest_difference(bare, FrozenPolicy(exported), recorded()[:200]) > 0.01


@pytest.mark.parametrize("preference", [0.1, 0.5, 0.9])
def test_acts_as_the_network_does_on_a_whole_run(exported: Path, preference: float) -> None:
    for episode in short_episodes(2, seed=8):
        alone, together = simulate(episode, preference), simulate(episode, preference)
        alone.run(FrozenPolicy(exported))
        run_lockstep([together], greedy(Actor(taught_model())))
        assert alone.ended_s == together.ended_s
        assert measure(alone) == measure(together)
        assert measure(alone).boots > 0


def test_the_same_network_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    export_onnx(taught_model(), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == network_bytes(exported)
    export_onnx(small_model(), tmp_path / "other.onnx")
    assert (tmp_path / "other.onnx").read_bytes() != network_bytes(exported)


def test_the_network_file_tells_nothing_of_the_machine(exported: Path) -> None:
    network = onnx.load(exported / "policy.onnx")
    assert [x.name for x in network.graph.input] == ["observation"]
    assert [x.name for x in network.graph.output] == ["logits"]
    text = str(network)
    assert str(Path(training.export.__file__).parents[1]) not in text
    assert "stack_trace" not in text
    assert ".py" not in text


def test_the_checkpoint_can_be_trained_on_and_tells_no_paths(exported: Path) -> None:
    model = MaskablePPO.load(exported / "policy.zip", device="cpu")
    rows = torch.as_tensor(recorded()[:50])
    with torch.no_grad():
        assert torch.equal(Actor(model)(rows), Actor(taught_model())(rows))
    assert model.lr_schedule(1.0) == SMALL.learning_rate
    project = str(Path(training.export.__file__).parents[1])
    with zipfile.ZipFile(exported / "policy.zip") as archive:
        for name, value in json.loads(archive.read("data")).items():
            text = json.dumps(value)
            if isinstance(value, dict) and ":serialized:" in value:
                text += base64.b64decode(value[":serialized:"]).decode("latin-1")
            assert project not in text, name


# -- the card -----------------------------------------------------------------------------


def test_the_folder_holds_its_files_and_nothing_else(exported: Path) -> None:
    assert set(contents(exported)) == FILES
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]


def test_the_card_holds_what_it_must(exported: Path) -> None:
    card = card_of(exported)
    assert card["name"] == exported.name
    assert card["preference_range"] == [0.1, 0.9]
    assert card["schema"] == schema(FLAVORS)
    assert card["training"]["settings"] == SMALL.to_dict()
    assert card["training"]["seed"] == SMALL.seed
    assert card["training"]["steps"] == 12_345
    assert card["training"]["git_revision"] == git_revision()
    assert card["evaluation"] == provenance().evaluation
    assert card["discipline"] == "sjf"


def test_the_hashes_are_those_of_the_files(exported: Path) -> None:
    files = card_of(exported)["files"]
    assert set(files) == {"policy.onnx", "policy.zip"}
    for name, entry in files.items():
        data = (exported / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_the_envelope_holds_the_observations(exported: Path) -> None:
    envelope = card_of(exported)["observation_envelope"]
    low, high = (np.array(envelope[key], dtype=np.float32) for key in ("low", "high"))
    assert (low <= recorded()).all()
    assert (recorded() <= high).all()
    for bound, feature in zip(low, card_of(exported)["schema"]["observation"], strict=True):
        assert bound >= feature["low"]


def test_the_card_is_strict_json(exported: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((exported / "card.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_model_card_is_made_from_the_card(exported: Path) -> None:
    card = card_of(exported)
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert text == model_card(card)
    for told in (
        f"# {exported.name}\n",
        card["schema"]["sha256"],
        *(entry["sha256"] for entry in card["files"].values()),
        "12,345",
        "Made up.",
        "0.875",
        *RIVALS,
        *(f"`{key}`" for key in card["training"]["settings"]),
        *(f"`{feature['name']}`" for feature in card["schema"]["observation"]),
        *card["schema"]["actions"],
    ):
        assert told in text
    assert "then MaskablePPO" in text
    without_ppo = {**card, "training": {**card["training"], "steps": 0}}
    assert "then MaskablePPO" not in model_card(without_ppo)
    changed = {**card, "preference_range": [0.2, 0.7]}
    assert "0.2 (lean) to 0.7 (fast)" in model_card(changed)


def test_every_table_of_the_model_card_is_straight(exported: Path) -> None:
    text = (exported / "README.md").read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) >= 4
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1


def test_a_model_card_without_a_revision() -> None:
    card = {
        "name": "n",
        "algorithm": "a",
        "discipline": "sjf",
        "preference_range": [0.1, 0.9],
        "schema": schema(FLAVORS),
        "training": {"settings": {}, "seed": 0, "steps": 0, "rounds": 0, "git_revision": None},
        "evaluation": {"about": "x", "cost_ratio": {"rival": {"all": 1.0}}},
        "observation_envelope": {"low": [0.0] * 45, "high": [1.0] * 45},
        "files": {},
    }
    assert "unknown" in model_card(card)


# -- whole or not at all ------------------------------------------------------------------


def export_fails(folder: Path) -> None:
    """Export once more, which must fail, and leave everything as it was."""
    everything = sorted(folder.parent.iterdir())
    before = contents(folder) if folder.is_dir() else None
    with pytest.raises((PolicyError, OSError, ValueError)):
        export(taught_model(), folder, provenance())
    assert sorted(folder.parent.iterdir()) == everything
    assert (contents(folder) if folder.is_dir() else None) == before


def break_it(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the next export fail in one of several ways."""

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise OSError("no space left")

    if how == "it differs":
        monkeypatch.setattr(training.export, "largest_difference", lambda *_: 2e-5)
    elif how == "not a number":
        monkeypatch.setattr(training.export, "largest_difference", lambda *_: float("nan"))
    elif how == "no network":
        monkeypatch.setattr(training.export, "export_onnx", fails)
    elif how == "no model card":
        monkeypatch.setattr(training.export, "model_card", fails)
    else:
        rename = Path.rename

        def fails_to_put_it_in_place(path: Path, target: Path) -> Path:
            # The draft's way only, not the old folder's way aside and back.
            if path.parent.name.startswith(".export-") and path.name == target.name:
                raise OSError("cannot rename")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", fails_to_put_it_in_place)


HOWS = ["it differs", "not a number", "no network", "no model card", "no rename"]


@pytest.mark.parametrize("how", HOWS)
def test_a_failing_export_leaves_the_old_policy(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    folder = tmp_path / exported.name
    folder.mkdir()
    for name, data in contents(exported).items():
        (folder / name).write_bytes(data)
    break_it(how, monkeypatch)
    export_fails(folder)
    FrozenPolicy(folder)


@pytest.mark.parametrize("how", ["it differs", "no rename"])
def test_a_failing_export_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    break_it(how, monkeypatch)
    export_fails(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_an_export_replaces_the_old_policy_wholly(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    export(small_model(), folder, provenance(steps=1))
    (folder / "leftover").touch()
    export(taught_model(), folder, provenance(steps=2))
    assert set(contents(folder)) == FILES
    assert card_of(folder)["training"]["steps"] == 2
    assert network_bytes(folder) == network_bytes(exported)
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]


def test_nothing_but_a_frozen_policy_is_overwritten(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "work.txt").write_text("years of it", encoding="utf-8")
    (tmp_path / "file").touch()
    for folder in (precious, tmp_path / "file"):
        with pytest.raises(PolicyError, match="is not a frozen policy"):
            check_replaceable(folder)
        export_fails(folder)
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty")
    check_replaceable(tmp_path / "new")


def test_the_checkpoint_says_nothing_of_the_machine(exported: Path) -> None:
    with zipfile.ZipFile(exported / "policy.zip") as checkpoint:
        names = checkpoint.namelist()
    assert "policy.pth" in names
    assert "system_info.txt" not in names
