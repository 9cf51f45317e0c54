"""The training command, run as a user runs it, on a small configuration."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sb3_contrib import MaskablePPO

from agents.frozen import FrozenPolicy
from env.metrics import measure
from tests.training.small_world import short_episodes
from training.comparison import RIVALS
from training.lockstep import simulate
from training.preferences import PREFERENCES

PROJECT = Path(__file__).parents[2]
SHORT = Path(__file__).with_name("short_training.py")
LONGEST_S = 600.0

SMALL = {
    "name": "small",
    "n_envs": 4,
    "rollout_steps": 128,
    "batch_size": 256,
    "epochs": 2,
    "width": 16,
    "imitation_decisions": 6000,
    "imitation_epochs": 12,
    "imitation_rate": 0.01,
    "generations": 2,
    "vine_envs": 16,
    "vine_steps": 40,
    "vine_states": 200,
    "vine_length_s": 60.0,
    "warmup_steps": 1024,
    "total_steps": 4096,
    "evaluate_every": 2048,
    "validation_episodes": 0,
}


def start(folder: Path, *options: str, **changes: Any) -> subprocess.Popen[str]:
    """The command in a folder of its own, on scenarios cut short."""
    config = folder / "small.toml"
    if not config.exists():
        values = {**SMALL, **changes}
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        config.write_text(text, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(SHORT), "--config", config.name, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as a shell's job: Ctrl-C is for all of its processes
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err = process.communicate(timeout=LONGEST_S)
    return process.returncode, out, err


def state_of(folder: Path) -> dict[str, Any]:
    """Where the run stands, as it was saved; empty before that."""
    path = folder / "runs" / "small" / "checkpoints" / "state.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def interrupt(
    process: subprocess.Popen[str], folder: Path, when: Callable[[dict[str, Any]], bool]
) -> tuple[int, str, str]:
    """Press Ctrl-C once the saved state is so."""
    end = time.monotonic() + LONGEST_S
    while not when(state_of(folder)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    result = finish(process)
    while is_alive(process.pid):
        assert time.monotonic() < end, "a process of the run is left"
        time.sleep(0.02)
    return result


def is_alive(group: int) -> bool:
    """Whether a process of the group still runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def card_of(folder: Path) -> dict[str, Any]:
    """The card of the exported policy."""
    path = folder / "models" / "small" / "card.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def network_of(folder: Path) -> bytes:
    """The exported network."""
    return (folder / "models" / "small" / "policy.onnx").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run from start to end: its folder, what it printed, and what it said on the way."""
    folder = tmp_path_factory.mktemp("finished")
    code, out, err = finish(start(folder))
    assert code == 0, err
    return folder, out, err


@pytest.fixture(scope="module")
def accumulators(finished: tuple[Path, str, str]) -> dict[str, Any]:
    """What TensorBoard reads, by the folder below the run's."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = finished[0] / "runs" / "small"
    found = {}
    for path in {events.parent for events in run.rglob("events.out.tfevents.*")}:
        found[path.relative_to(run).as_posix()] = EventAccumulator(str(path)).Reload()
    return found


# -- a whole run --------------------------------------------------------------------------


@pytest.mark.slow
def test_prints_the_table_and_where_everything_is(finished: tuple[Path, str, str]) -> None:
    folder, out, _ = finished
    for told in (*RIVALS, *(f"w={w}" for w in PREFERENCES), "all"):
        assert told in out
    for path in ("models/small", "runs/small/checkpoints"):
        assert path in out
        assert (folder / path).is_dir()
    assert "tensorboard --logdir runs" in out
    assert "--policy models/small" in out
    ratios = card_of(folder)["evaluation"]["cost_ratio"]
    for name in RIVALS:
        row = next(line for line in out.splitlines() if name in line)
        assert re.findall(r"\d+\.\d{3}", row) == [f"{x:.3f}" for x in ratios[name].values()]


@pytest.mark.slow
def test_progress_does_not_flood_a_file(finished: tuple[Path, str, str]) -> None:
    _, out, err = finished
    assert len(err.splitlines()) < 40
    for text in (out, err):
        assert "\x1b" not in text
        assert "\r" not in text
        assert "Warning" not in text
        assert "Traceback" not in text
    assert "agrees with the rule" in err
    assert "best so far" in err


@pytest.mark.slow
def test_exports_a_policy_that_works(finished: tuple[Path, str, str]) -> None:
    folder, *_ = finished
    policy = FrozenPolicy(folder / "models" / "small")
    simulator = simulate(short_episodes(1)[0], 0.5)
    simulator.run(policy)
    metrics = measure(simulator)
    assert metrics.boots > 0
    assert metrics.invalid_actions == 0
    training = policy.card["training"]
    assert training["settings"]["total_steps"] == SMALL["total_steps"]
    state = state_of(folder)
    assert training["steps"] == state["best_steps"]
    assert policy.card["evaluation"]["validation"] == state["best_summary"]


@pytest.mark.slow
def test_the_envelope_holds_all_that_was_learned_from(
    finished: tuple[Path, str, str],
) -> None:
    folder, *_ = finished
    envelope, state = card_of(folder)["observation_envelope"], state_of(folder)
    # The export widens it by what the policy meets on its own.
    assert (np.array(envelope["low"]) <= np.array(state["least"])).all()
    assert (np.array(envelope["high"]) >= np.array(state["greatest"])).all()
    schema = card_of(folder)["schema"]["observation"]
    for feature, low, high in zip(schema, envelope["low"], envelope["high"], strict=True):
        assert feature["low"] <= low <= high <= feature["high"]


@pytest.mark.slow
def test_the_run_ends_where_it_was_told_to(finished: tuple[Path, str, str]) -> None:
    folder, *_ = finished
    state = state_of(folder)
    assert (state["stage"], state["steps"]) == ("learning", SMALL["total_steps"])
    assert 0 < state["best_score"] < 100
    checkpoints = folder / "runs" / "small" / "checkpoints"
    assert MaskablePPO.load(checkpoints / "latest.zip").num_timesteps == SMALL["total_steps"]
    assert not list(folder.rglob(".draft*"))
    assert not list(folder.rglob(".export*"))


@pytest.mark.slow
def test_tensorboard_shows_the_learning_curves(accumulators: dict[str, Any]) -> None:
    curves = accumulators["."]
    tags = set(curves.Tags()["scalars"])
    assert {"train/loss", "train/entropy_loss", "train/explained_variance", "time/fps"} <= tags
    steps = [event.step for event in curves.Scalars("train/approx_kl")]
    assert steps == sorted(steps)
    assert steps[-1] <= SMALL["total_steps"]


@pytest.mark.slow
def test_tensorboard_shows_each_evaluation_beside_the_rivals(accumulators: dict[str, Any]) -> None:
    curves = accumulators["."]
    tags = set(curves.Tags()["scalars"])
    for name in RIVALS:
        for which in ("all", *(f"w={w}" for w in PREFERENCES)):
            assert f"cost_relative_to/{name}/{which}" in tags
    for metric in ("delay_mean_s", "delay_p95_s", "cpu_reserved", "ram_reserved"):
        for w in PREFERENCES:
            for name in ("policy", *RIVALS):
                assert f"{metric}/w={w}/{name}" in tags
    evaluated = [event.step for event in curves.Scalars("cost_relative_to/grace-period/all")]
    assert evaluated == [0, 2048, 4096]


@pytest.mark.slow
def test_tensorboard_shows_pictures_text_and_hyperparameters(accumulators: dict[str, Any]) -> None:
    curves = accumulators["."]
    for tag in ("pictures/trade-off", "pictures/timeline"):
        pictures = curves.Images(tag)
        assert len(pictures) == 3
        assert pictures[0].encoded_image_string.startswith(b"\x89PNG")
        assert pictures[0].width > 400
    text = curves.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert '"generations": 2' in text
    assert set(curves.PluginTagToContent("hparams")) == {
        "_hparams_/experiment",
        "_hparams_/session_start_info",
        "_hparams_/session_end_info",
    }
    start_info = curves.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert b"learning_rate" in start_info


@pytest.mark.slow
def test_stages_before_have_curves_of_their_own(accumulators: dict[str, Any]) -> None:
    assert set(accumulators) == {".", "vine", "warm-up"}
    warm_up = accumulators["warm-up"].Scalars("train/value_loss")
    assert 0 < warm_up[-1].step <= SMALL["warmup_steps"]
    vine = accumulators["vine"]
    generations = vine.Scalars("cost_relative_to/adaptive-flavor/all")
    assert len(generations) == 1 + SMALL["generations"]
    tags = set(vine.Tags()["scalars"])
    assert {"rollout/states", "train/approx_kl", "train/clip_fraction", "time/fps"} <= tags
    assert {"train/entropy_loss", "rollout/gain_of_best_action"} <= tags
    assert len(vine.Scalars("train/approx_kl")) == SMALL["generations"]


@pytest.mark.slow
def test_from_scratch_without_ppo_the_best_generation_is_exported(tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path, "--from-scratch", total_steps=0))
    assert code == 0, err
    assert "critic learns" not in err
    assert "network learns" not in err
    assert "imitates" not in err
    assert "nothing learned: cost" in err
    state = state_of(tmp_path)
    assert (state["stage"], state["generations"], state["steps"]) == ("learning", 2, 0)
    for generation in ("generation 1", "generation 2"):
        assert f"{generation}, " in err
    checkpoints = tmp_path / "runs" / "small" / "checkpoints"
    kept = sorted(path.name for path in checkpoints.glob("states-*"))
    assert kept == ["states-0.npz", "states-1.npz"]
    assert card_of(tmp_path)["training"]["rounds"] == state["best_generations"]
    assert not (tmp_path / "runs" / "small" / "warm-up").exists()


# -- interrupted and resumed --------------------------------------------------------------


def assert_interrupted(code: int, err: str) -> None:
    """It said in a few words how to go on."""
    assert code == 130, err
    assert "--name small --resume" in err
    assert "Traceback" not in err
    assert err.rstrip().endswith("interrupted")


@pytest.mark.slow
def test_interrupted_while_imitating_it_does_so_again_and_comes_to_the_same(
    finished: tuple[Path, str, str], tmp_path: Path
) -> None:
    # Shows, too, that the same seed gives the same policy, bit for bit.
    process = start(tmp_path)
    code, out, err = interrupt(process, tmp_path, lambda state: state.get("stage") == "imitating")
    assert_interrupted(code, err)
    assert out == ""
    assert not (tmp_path / "models").exists()
    assert state_of(tmp_path)["stage"] == "imitating"
    code, out, err = finish(start(tmp_path, "--resume"))
    assert code == 0, err
    assert "network imitates again" in err
    assert out == finished[1]
    assert network_of(tmp_path) == network_of(finished[0])
    assert state_of(tmp_path) == state_of(finished[0])
    for key in ("evaluation", "observation_envelope"):
        assert card_of(tmp_path)[key] == card_of(finished[0])[key]


@pytest.mark.slow
def test_interrupted_after_any_generation_it_comes_to_the_same(
    finished: tuple[Path, str, str], tmp_path: Path
) -> None:
    def improves(state: dict[str, Any]) -> bool:
        return state.get("stage") == "imitated" and state["best_score"] < 1e9

    process = start(tmp_path)
    code, _, err = interrupt(process, tmp_path, improves)
    assert_interrupted(code, err)
    state = state_of(tmp_path)
    assert state["stage"] == "imitated"
    assert state["generations"] < SMALL["generations"]
    code, _, err = finish(start(tmp_path, "--resume", "--threads", "1"))
    assert code == 0, err
    assert "network imitates" not in err
    assert state_of(tmp_path)["steps"] == SMALL["total_steps"]
    score = re.search(r"generation 2, .*", err)
    assert score is not None
    assert score[0] in finished[2]


@pytest.mark.slow
def test_interrupted_while_the_critic_learns_it_goes_on_there(tmp_path: Path) -> None:
    process = start(tmp_path, generations=0, warmup_steps=8192)
    code, _, err = interrupt(process, tmp_path, lambda state: state.get("stage") == "imitated")
    assert_interrupted(code, err)
    assert state_of(tmp_path)["stage"] == "imitated"
    code, out, err = finish(start(tmp_path, "--resume"))
    assert code == 0, err
    assert "network imitates" not in err
    assert "critic learns" in err
    assert "models/small" in out
    assert state_of(tmp_path)["steps"] == SMALL["total_steps"]


@pytest.mark.slow
def test_interrupted_while_learning_it_goes_on_there(tmp_path: Path) -> None:
    total = 16_384
    process = start(tmp_path, generations=0, total_steps=total, evaluate_every=total)
    code, _, err = interrupt(process, tmp_path, lambda state: state.get("stage") == "learning")
    assert_interrupted(code, err)
    state = state_of(tmp_path)
    assert state["stage"] == "learning"
    assert 0 <= state["steps"] < total
    latest = tmp_path / "runs" / "small" / "checkpoints" / "latest.zip"
    assert MaskablePPO.load(latest).num_timesteps == state["steps"]
    # The settings are those that the run began with, whatever is asked for now.
    code, out, err = finish(start(tmp_path, "--resume", "--total-steps", "77"))
    assert code == 0, err
    assert "network imitates" not in err
    assert state_of(tmp_path)["steps"] >= total
    assert card_of(tmp_path)["training"]["settings"]["total_steps"] == total
    FrozenPolicy(tmp_path / "models" / "small")
    # Resumed once more it only evaluates and exports again.
    before = network_of(tmp_path)
    code, again, err = finish(start(tmp_path, "--resume"))
    assert code == 0, err
    assert network_of(tmp_path) == before
    assert again == out


# -- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--n-envs", "0"], "n_envs is 0"),
        (["--resume"], "runs/small: no run to resume"),
        (["--name", "precious"], "models/precious is there and is not a frozen policy"),
        (["--runs", "a-file"], "cannot write to a-file/small"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_begun(
    tmp_path: Path, options: list[str], told: str
) -> None:
    (tmp_path / "models" / "precious").mkdir(parents=True)
    (tmp_path / "models" / "precious" / "work.txt").touch()
    (tmp_path / "a-file").touch()
    code, out, err = finish(start(tmp_path, *options))
    assert code == 2
    assert out == ""
    assert told in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
    assert [path.name for path in (tmp_path / "models").rglob("*")] == ["precious", "work.txt"]
