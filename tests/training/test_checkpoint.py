"""What a run leaves on disk: whole or not at all, and readable or refused in one line."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sb3_contrib import MaskablePPO

from env.errors import ConfigError
from env.gym_env import DaCircoEnv
from tests.training.small_world import (
    SMALL,
    make_batch,
    recorded,
    short_sampler,
    silent,
    small_model,
    taught_model,
)
from training.checkpoint import IMITATED, IMITATING, LEARNING, Checkpoints, State
from training.model import load_model
from training.network import Actor
from training.settings import Settings
from training.train.labels import Labels
from training.vector_env import BatchVecEnv


def begun(folder: Path, **changes: Any) -> Checkpoints:
    """The checkpoints of a run that has just begun."""
    settings = replace(SMALL, runs=folder, **changes)
    checkpoints = Checkpoints(settings.run_folder)
    checkpoints.start(settings)
    return checkpoints


def batch() -> BatchVecEnv:
    """Environments to go on learning in."""
    return make_batch(lambda: DaCircoEnv(sampler=short_sampler()), SMALL.n_envs, 0)


def same_network(one: MaskablePPO, two: MaskablePPO) -> bool:
    """Whether two learners decide the same."""
    rows = torch.as_tensor(recorded()[:50])
    with torch.no_grad():
        return torch.equal(Actor(one)(rows), Actor(two)(rows))


def test_a_run_that_has_begun_can_be_resumed(tmp_path: Path) -> None:
    checkpoints = begun(tmp_path, seed=7)
    assert checkpoints.load_state() == State()
    assert checkpoints.load_state().stage == IMITATING
    assert checkpoints.load_settings(Settings(runs=tmp_path)).seed == 7


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoints = begun(tmp_path)
    state = State(stage=LEARNING, steps=64, best_score=0.9, best_summary={"about": "x"})
    state.widen(recorded())
    checkpoints.save(taught_model(), state)
    checkpoints.save_best(taught_model())
    checkpoints.save_observations(recorded())
    assert checkpoints.load_state() == state
    assert np.array_equal(checkpoints.load_observations(), recorded())
    for path in (checkpoints.latest, checkpoints.best):
        assert same_network(load_model(path, batch(), 0), taught_model())
    assert not list(checkpoints.folder.glob(".draft*"))


def test_a_new_run_forgets_the_one_before(tmp_path: Path) -> None:
    checkpoints = begun(tmp_path, seed=1)
    checkpoints.save(taught_model(), State(stage=LEARNING, steps=9))
    checkpoints.save_best(taught_model())
    checkpoints.save_observations(recorded())
    curves = checkpoints.run_folder / "warm-up" / "events.out.tfevents.1"
    curves.parent.mkdir()
    curves.touch()
    mine = checkpoints.run_folder / "notes.txt"
    mine.touch()
    begun(tmp_path, seed=2)
    assert checkpoints.load_state() == State()
    assert checkpoints.load_settings(Settings()).seed == 2
    for path in (checkpoints.latest, checkpoints.best, curves):
        assert not path.exists()
    assert mine.exists()


def test_name_and_folders_are_those_of_now(tmp_path: Path) -> None:
    begun(tmp_path / "old", seed=3)
    (tmp_path / "old" / "latest").rename(tmp_path / "renamed")
    now = Settings(name="renamed", runs=tmp_path, models=tmp_path / "m", seed=4)
    loaded = Checkpoints(now.run_folder).load_settings(now)
    assert loaded == replace(SMALL, name="renamed", runs=tmp_path, models=tmp_path / "m", seed=3)


@pytest.mark.parametrize("stage", [IMITATED, LEARNING])
def test_without_a_model_there_is_nothing_to_resume(tmp_path: Path, stage: str) -> None:
    checkpoints = begun(tmp_path)
    checkpoints.save(taught_model(), State(stage=stage))
    checkpoints.latest.unlink()
    with pytest.raises(ConfigError, match="start it without --resume"):
        checkpoints.load_state()


def test_without_a_run_there_is_nothing_to_resume(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"none.*without --resume"):
        checkpoints.load_settings(Settings())
    with pytest.raises(ConfigError, match=r"none.*without --resume"):
        checkpoints.load_state()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"stage": "learning", "colour": "red"}', '"text"', "null"]
)
def test_files_that_cannot_be_read_are_one_line(tmp_path: Path, text: str) -> None:
    checkpoints = begun(tmp_path)
    for path, load in (
        (checkpoints.folder / "state.json", checkpoints.load_state),
        (checkpoints.run_folder / "settings.json", lambda: checkpoints.load_settings(Settings())),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as error:
            load()
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_setting_out_of_range_is_refused(tmp_path: Path) -> None:
    checkpoints = begun(tmp_path)
    path = checkpoints.run_folder / "settings.json"
    path.write_text(json.dumps({**SMALL.to_dict(), "width": 0}), encoding="utf-8")
    with pytest.raises(ConfigError, match="width is 0"):
        checkpoints.load_settings(Settings())


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot write to"):
        begun(tmp_path / "runs")


@pytest.mark.parametrize("content", [b"", b"no zip at all", None])
def test_a_corrupt_model_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    checkpoints = begun(tmp_path)
    checkpoints.save(taught_model(), State(stage=LEARNING))
    whole = checkpoints.latest.read_bytes()
    checkpoints.latest.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ConfigError, match=r"latest.zip cannot be loaded") as error:
        load_model(checkpoints.latest, batch(), 0)
    assert "\n" not in str(error.value)


def test_a_failing_save_leaves_the_model_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = begun(tmp_path)
    before = State(stage=LEARNING, steps=5)
    checkpoints.save(taught_model(), before)

    def fails(self: MaskablePPO, path: Path, *args: Any, **kwargs: Any) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(MaskablePPO, "save", fails)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save(small_model(), State(stage=LEARNING, steps=6))
    assert checkpoints.load_state() == before
    assert same_network(load_model(checkpoints.latest, batch(), 0), taught_model())


# -- labelled states ----------------------------------------------------------------------


def labels(n: int) -> Labels:
    """Some that could be."""
    rng = np.random.default_rng(n)
    return Labels(
        recorded()[:n],
        np.ones((n, 7), dtype=np.bool_),
        rng.integers(0, 7, n),
        rng.normal(size=(n, 7)).astype(np.float32),
    )


def test_labelled_states_are_kept_by_generation(tmp_path: Path) -> None:
    checkpoints = begun(tmp_path)
    for number, n in enumerate((3, 5)):
        checkpoints.save_states(number, labels(n))
    loaded = checkpoints.load_states(2)
    for kept, found in zip((labels(3), labels(5)), loaded, strict=True):
        for name, array in kept.arrays().items():
            assert np.array_equal(found.arrays()[name], array)
    assert not list(checkpoints.folder.glob(".draft*"))
    begun(tmp_path)
    assert not list(checkpoints.folder.glob("states-*"))


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"missing", b"pickled"])
def test_states_that_cannot_be_read_are_one_line(tmp_path: Path, content: bytes) -> None:
    checkpoints = begun(tmp_path)
    checkpoints.save_states(0, labels(3))
    path = checkpoints.folder / "states-0.npz"
    if content == b"missing":
        path.unlink()
    elif content == b"pickled":
        np.savez(path, observations=np.array([{}], dtype=object))
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"states-0.npz cannot be read") as error:
        checkpoints.load_states(1)
    assert "\n" not in str(error.value)


# -- going on from a checkpoint -----------------------------------------------------------


def test_a_resumed_learner_goes_on_in_other_episodes(tmp_path: Path) -> None:
    checkpoints = begun(tmp_path)
    checkpoints.save(taught_model(), State(stage=LEARNING, steps=64))
    episodes = []
    for seed in (1, 1, 2):
        fresh = batch()
        model = silent(load_model(checkpoints.latest, fresh, seed))
        model._setup_learn(64)
        episodes.append([member.simulator.requests for member in fresh.members])  # type: ignore[attr-defined]
    start = batch()
    start.reset()
    assert episodes[0] == episodes[1] != episodes[2]
    assert [member.simulator.requests for member in start.members] not in episodes  # type: ignore[attr-defined]


def test_a_resumed_learner_learns(tmp_path: Path) -> None:
    checkpoints = begun(tmp_path)
    model = small_model()
    model.learn(64)
    checkpoints.save(model, State(stage=LEARNING, steps=64))
    resumed = silent(load_model(checkpoints.latest, batch(), 1))
    assert resumed.num_timesteps == 64
    assert resumed.lr_schedule(1.0) == SMALL.learning_rate
    resumed.learn(128, reset_num_timesteps=False)
    assert resumed.num_timesteps == 192
    assert not same_network(resumed, model)


# -- the envelope -------------------------------------------------------------------------


@given(
    st.lists(
        npst.arrays(np.float32, (4, 2, 3), elements=st.floats(-3, 3, width=32)),
        min_size=1,
        max_size=5,
    )
)
def test_the_envelope_holds_all_observations(parts: list[np.ndarray]) -> None:
    state = State()
    for part in parts:
        state.widen(part)
        state = State(**json.loads(json.dumps(asdict(state))))  # as over a resumed run
    rows = np.concatenate(parts).reshape(-1, 3)
    assert state.least == rows.min(axis=0).tolist()
    assert state.greatest == rows.max(axis=0).tolist()
