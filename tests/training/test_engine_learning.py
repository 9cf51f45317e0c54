"""The lap of learning on the engine: the same algorithm in three kinds of environment."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from gymnasium.vector import AutoresetMode

from env.engine.vector_env import DaCircoVectorEnv
from training.benchmarks.engine_learning import (
    CLASSIC,
    ENGINE,
    NOTHING,
    SCALAR,
    LearningSpeeds,
    NothingVectorEnv,
    learning_speeds,
)
from training.benchmarks.laps import Lap, Speed
from training.engine_vec_env import EngineVecEnv
from training.settings import Settings


def speed(*core_s: float) -> Speed:
    return Speed(tuple(Lap(100, one, one) for one in core_s))


def test_ratios_are_of_laps_beside_each_other() -> None:
    learning = {
        ENGINE: speed(1.0, 10.0, 1.0),  # a lap in which the machine was slow for all
        SCALAR: speed(5.0, 50.0, 6.0),
        NOTHING: speed(0.8, 8.0, 0.9),
    }
    found = LearningSpeeds(learning, {}, 1)
    assert found.ratio(SCALAR) == pytest.approx(5.0)
    assert found.ratio(NOTHING) == pytest.approx(0.8)
    assert found.to_dict()["times_scalar"] == found.ratio(SCALAR)


def test_nothing_happens_in_the_same_shapes() -> None:
    real = DaCircoVectorEnv(3, threads=1, autoreset_mode=AutoresetMode.SAME_STEP)
    nothing = NothingVectorEnv(real)
    assert nothing.observation_space == real.observation_space
    assert nothing.action_space == real.action_space
    batch = EngineVecEnv(nothing, 0)  # type: ignore[arg-type]
    observations = batch.reset()
    assert isinstance(observations, np.ndarray)
    for _ in range(3):
        batch.step_async(np.array([0, 3, 6]))
        later, rewards, dones, infos = batch.step_wait()
        assert isinstance(later, np.ndarray)
        assert later.shape == observations.shape == (3, *real.single_observation_space.shape)
        assert later.dtype == np.float32
        assert not rewards.any()
        assert not dones.any()
        assert infos == [{}, {}, {}]
        assert (batch.elapsed_s == 1.0).all()
    assert batch.action_masks().all()
    real.close()


def test_all_learn_and_are_stepped_as_often() -> None:
    settings = Settings(n_envs=2, rollout_steps=32, batch_size=32, width=16, epochs=1)
    found = learning_speeds(settings, 2, stepped=4, steps=5)
    assert set(found.learning) == {SCALAR, ENGINE, NOTHING}
    assert set(found.stepping) == {ENGINE, NOTHING, CLASSIC}
    assert all([lap.units for lap in one.laps] == [64, 64] for one in found.learning.values())
    assert all([lap.units for lap in one.laps] == [20, 20] for one in found.stepping.values())
    assert found.ratio(NOTHING) > 0
