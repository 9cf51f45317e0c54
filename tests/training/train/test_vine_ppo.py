"""VinePPO: reproducible whatever the threads, saved, loaded and resumed, with the usual curves."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from env.engine.vector_env import DaCircoVectorEnv
from tests.training.small_world import SMALL, recorded, short_sampler
from training.engine_vec_env import EngineVecEnv
from training.model import build_vine
from training.network import Actor, standardiser
from training.train.vine_ppo import VinePPO

HOW = replace(
    SMALL,
    vine_envs=6,
    vine_steps=40,
    vine_states=10_000,
    vine_batch=32,
    vine_epochs=3,
    vine_length_s=20.0,
    threads=1,
)


class Kept(KVWriter):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def write(self, key_values: dict[str, Any], *args: Any) -> None:
        """Keep it."""
        self.values |= key_values

    def close(self) -> None:
        """Nothing to do."""


class Counted(BaseCallback):
    """Counts what it is told."""

    rollouts = ends = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.rollouts += 1

    def _on_training_end(self) -> None:
        self.ends += 1


def centres(threads: int) -> EngineVecEnv:
    """A few compiled data centres with short episodes."""
    return EngineVecEnv(
        DaCircoVectorEnv(
            HOW.vine_envs,
            sampler=short_sampler(),
            autoreset_mode=AutoresetMode.SAME_STEP,
            threads=threads,
        )
    )


def begun(threads: int = 1, seed: int = 0) -> tuple[VinePPO, Kept]:
    """A learner that knows nothing yet, and its curves."""
    model = build_vine(replace(HOW, threads=threads, seed=seed), centres(threads))
    standardiser(model).fit(recorded())
    model.remember_anchor()
    kept = Kept()
    model.set_logger(Logger(None, [kept]))
    return model, kept


@cache
def learned() -> tuple[VinePPO, Kept, Counted]:
    """After two generations."""
    (model, kept), counted = begun(), Counted()
    model.learn_generations(2, counted)
    model.logger.dump(0)
    return model, kept, counted


def weights(model: VinePPO) -> list[torch.Tensor]:
    """Of the policy."""
    return list(model.policy.state_dict().values())


def same(one: VinePPO, other: VinePPO) -> bool:
    """Whether they are equal bit for bit."""
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_the_same_seed_gives_the_same_weights_with_one_and_two_threads() -> None:
    other, _ = begun(threads=2)
    other.learn_generations(2, Counted())
    assert same(learned()[0], other)
    third, _ = begun(seed=1)
    third.learn_generations(1, Counted())
    assert not np.array_equal(
        third.rollout_buffer.parts[0].observations,
        learned()[0].rollout_buffer.parts[0].observations[: len(third.rollout_buffer.parts[0])],
    )


def test_saved_and_resumed_it_is_what_it_would_have_been(tmp_path: Path) -> None:
    model, _ = begun()
    model.learn_generations(1, Counted())
    model.save(tmp_path / "half.zip")
    loaded = VinePPO.load(tmp_path / "half.zip", env=centres(1), device="cpu")
    loaded.set_logger(Logger(None, []))
    assert same(loaded, model)
    assert loaded.generation == 1
    assert loaded.num_timesteps == model.num_timesteps
    loaded.rollout_buffer.parts = list(model.rollout_buffer.parts)  # kept by the run, as npz
    loaded.learn_generations(1, Counted())
    assert same(loaded, learned()[0])


def test_states_of_all_generations_are_pooled() -> None:
    model, kept, counted = learned()
    parts = model.rollout_buffer.parts
    assert (len(parts), model.generation, counted.rollouts, counted.ends) == (2, 2, 2, 2)
    assert kept.values["train/states"] == sum(map(len, parts))
    assert kept.values["rollout/states"] == len(parts[-1])
    for part in parts:
        rows = np.arange(len(part))
        assert part.masks[rows, part.chosen].all()
        assert (part.advantages[rows, part.chosen] == 0).all()
        assert np.isfinite(part.advantages).all()
        assert part.advantages.any()


def test_curves_have_the_names_of_stable_baselines3() -> None:
    model, kept, _ = learned()
    for name in ("approx_kl", "clip_fraction", "entropy_loss", "loss", "policy_gradient_loss"):
        assert np.isfinite(kept.values[f"train/{name}"])
    assert kept.values["time/fps"] >= 0
    assert kept.values["train/entropy_loss"] < 0 < kept.values["train/approx_kl"]
    assert model.num_timesteps == 2 * 2 * HOW.vine_steps * HOW.vine_envs


def test_a_generation_ends_when_it_has_states_enough() -> None:
    model, _ = begun()
    model.n_states = 5
    model.learn_generations(1, Counted())
    assert 5 <= len(model.rollout_buffer.parts[0]) <= 5 + HOW.vine_envs


def test_where_nothing_is_worth_a_label_it_says_so() -> None:
    model, _ = begun()
    model.n_steps = 1
    with pytest.raises(RuntimeError, match="take more data centres"):
        model.learn_generations(1, Counted())


def test_the_anchor_is_what_updates_begin_from() -> None:
    model, _ = begun()
    before = Actor(model).state_dict()
    for name, values in model.anchor.state_dict().items():
        assert torch.equal(values, before[name])
    assert any(
        not torch.equal(a, b)
        for a, b in zip(
            learned()[0].anchor.state_dict().values(),
            Actor(learned()[0]).state_dict().values(),
            strict=True,
        )
    )
