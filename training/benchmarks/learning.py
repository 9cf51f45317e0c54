"""Training steps a second, and how much of that the environment costs.

The same algorithm learns in the project's environments and in ones that do nothing: same
spaces, same number, same batch. An update that stops early because the policy has moved far
enough would make one of them faster for a reason that is not the environment's, so here no
update does.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import Logger

from env.cost import CostVector
from training.benchmarks.laps import Lap, Speed, lap
from training.engine_vec_env import EngineVecEnv
from training.model import build_model, training_batch
from training.settings import Settings
from training.vector_env import BatchVecEnv

NEVER: Final = 1e9
"""A divergence at which no update stops."""
_NOTHING: Final = CostVector(0.0, 0.0)


class NullEnv:
    """A member of a batch that does nothing: its episode never ends and costs nothing."""

    now = 0.0
    preference = 0.5
    reference_cost_rate = 1.0

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]):
        self.observation_space = observation_space
        self.action_space = action_space
        self.render_mode = None

    def reset(self, *, seed: int | None = None) -> None:
        """Nothing to seed."""

    def begin(self) -> None:
        """Nothing to begin."""

    def decide(self, action: int) -> tuple[CostVector, bool, bool]:
        """No cost, no end."""
        return _NOTHING, False, False

    def observe_into(self, row: NDArray[np.float32]) -> None:
        """It stays zero."""

    def mask_into(self, mask: NDArray[np.bool_]) -> None:
        """Every action is allowed."""
        mask.fill(True)


@dataclass(frozen=True, slots=True)
class TrainingSpeed:
    """Steps a second in the project's environments and in those that do nothing."""

    real: Speed
    null: Speed

    @property
    def ratio(self) -> float:
        """Of the two, median over pairs of rollouts, one after the other."""
        return median(
            (real.units / real.core_s) / (null.units / null.core_s)
            for real, null in zip(self.real.laps, self.null.laps, strict=True)
        )


def training_speed(settings: Settings, repetitions: int) -> TrainingSpeed:
    """Collect rollouts and learn from them, in turn in both kinds of environment.

    Args:
        settings: those of the training.
        repetitions: rollouts of each, after one that does not count.
    """
    with tempfile.TemporaryDirectory() as runs:
        settings = replace(settings, target_kl=NEVER, runs=Path(runs))
        batch = training_batch(settings, settings.n_envs)
        nothing = BatchVecEnv(
            [NullEnv(batch.observation_space, batch.action_space) for _ in range(settings.n_envs)]
        )
        learners = [learner(settings, batch), learner(settings, nothing)]
        steps = settings.n_envs * settings.rollout_steps
        laps: list[list[Lap]] = [[], []]
        for repetition in range(repetitions + 1):
            for model, own in zip(learners, laps, strict=True):
                one = lap(lambda model=model: learn(model, steps))  # type: ignore[misc]
                if repetition:
                    own.append(one)
    real, null = (Speed(tuple(own)) for own in laps)
    return TrainingSpeed(real, null)


def learner(settings: Settings, batch: BatchVecEnv | EngineVecEnv) -> MaskablePPO:
    """A fresh one that logs nothing."""
    model = build_model(settings, batch)
    model.set_logger(Logger(None, []))
    return model


def learn(model: MaskablePPO, steps: int) -> int:
    """Collect so many steps and learn from them; returns how many."""
    model.learn(steps, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
    return steps
