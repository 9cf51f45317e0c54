"""Stable-baselines3 takes the compiled data centres as it takes the plain ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

pytest.importorskip("numba")

from env.engine.vector_env import DaCircoVectorEnv
from env.gym_env import DaCircoEnv
from training.engine_vec_env import EngineVecEnv
from training.vector_env import BatchVecEnv

WORLD: dict[str, Any] = {"family": "bursts", "load": 0.5, "episode_s": 120.0}


def compiled(n: int, seed: int = 0, **arguments: Any) -> EngineVecEnv:
    envs = DaCircoVectorEnv(n, autoreset_mode="SameStep", **WORLD, **arguments)
    return EngineVecEnv(envs, seed)


def test_it_gives_what_the_plain_batch_gives() -> None:
    fast = compiled(3, seed=5)
    plain = BatchVecEnv([DaCircoEnv(**WORLD) for _ in range(3)], seed=5)
    np.testing.assert_allclose(fast.reset(), plain.reset(), atol=1e-6)
    rng, ended = np.random.default_rng(0), 0
    for _ in range(400):
        masks = get_action_masks(fast)
        np.testing.assert_array_equal(masks, get_action_masks(plain))
        actions = (masks * rng.random(masks.shape)).argmax(axis=1)
        found, expected = fast.step(actions), plain.step(actions)
        np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(found[2], expected[2])
        np.testing.assert_allclose(fast.elapsed_s, plain.elapsed_s, rtol=1e-6)
        for info, other in zip(found[3], expected[3], strict=True):
            assert info.keys() == other.keys()
            if info:
                ended += 1
                np.testing.assert_allclose(
                    info["terminal_observation"], other["terminal_observation"], atol=1e-6
                )
                assert info["TimeLimit.truncated"] == other["TimeLimit.truncated"]
                assert info["episode"] == pytest.approx(other["episode"], rel=1e-6)
    assert ended >= 3
    fast.close()


def test_maskable_ppo_learns_on_it() -> None:
    envs = compiled(4)
    assert is_masking_supported(envs)
    model = MaskablePPO("MlpPolicy", envs, n_steps=32, batch_size=64, n_epochs=1, seed=0)
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    model.learn(256)
    moved = [
        not bool((a == b.detach()).all())
        for a, b in zip(before, model.policy.parameters(), strict=True)
    ]
    assert all(moved)
    assert np.isfinite(envs.rewards).all()
    envs.close()


def test_seeds_share_no_episode_and_repeat() -> None:
    one, again, other = compiled(2, 1).reset(), compiled(2, 1).reset(), compiled(2, 2).reset()
    np.testing.assert_array_equal(one, again)
    assert not np.isin(np.asarray(one)[:, 0], np.asarray(other)[:, 0]).any()


def test_figures_come_with_the_end_and_what_is_not_there_is_said() -> None:
    envs = compiled(2, metrics=True)
    envs.reset()
    while True:
        *_, dones, infos = envs.step(np.zeros(2, dtype=np.int64))
        if dones.any():
            break
    figures = infos[int(dones.argmax())]["metrics"]
    assert figures.jobs == figures.completed + figures.failed + figures.unfinished
    assert envs.get_attr("preference", [1]) == [envs.envs.preferences[1]]
    assert envs.env_is_wrapped(object) == [False, False]
    for wrong in (
        lambda: envs.env_method("render"),
        lambda: envs.get_attr("simulator"),
        lambda: envs.set_attr("preference", 0.5),
    ):
        with pytest.raises(AttributeError):
            wrong()
    with pytest.raises(ValueError, match="SAME_STEP"):
        EngineVecEnv(DaCircoVectorEnv(1))
