"""Learning on the compiled engine, beside scalar environments and beside doing nothing.

The same algorithm with the shipped network learns in the scalar environments one after the other,
in the engine, and in a vector environment of the same shapes that does nothing. What the three
reach apart from learning, one step at a time, is measured too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from env.engine.vector_env import DaCircoVectorEnv
from env.episodes import random_episodes
from training.benchmarks.decisions import LOAD
from training.benchmarks.laps import Lap, Speed, lap, measure
from training.benchmarks.learning import NEVER, learn, learner
from training.engine_vec_env import EngineVecEnv
from training.model import make_member, randomisation
from training.settings import Settings
from training.vector_env import BatchVecEnv

CLASSIC: Final = "CartPole-v1"
"""Gymnasium's own classic, vectorised with NumPy."""
SCALAR: Final = "scalar"
ENGINE: Final = "engine"
NOTHING: Final = "nothing"


class NothingVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """As many environments in which a second passes at each step, for nothing, without end.

    Args:
        like: whose number, spaces and autoreset mode it has.
    """

    def __init__(self, like: DaCircoVectorEnv) -> None:
        self.num_envs = n = like.num_envs
        self.autoreset_mode = like.autoreset_mode
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = like.single_observation_space
        self.single_action_space = like.single_action_space
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self.reference_cost_rates = np.ones(n)
        width = like.single_observation_space.shape[0]
        self._observations = np.zeros((n, width), dtype=np.float32)
        self._rewards, self._seconds = np.zeros(n), np.ones(n)
        self._masks = np.ones((n, int(like.single_action_space.n)), dtype=np.bool_)
        self._never = np.zeros(n, dtype=np.bool_)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Nothing to start."""
        return self._observations, {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Nothing happens."""
        told = {"elapsed_s": self._seconds}
        return self._observations, self._rewards, self._never, self._never, told

    def action_masks(self) -> NDArray[np.bool_]:
        """Every action is allowed."""
        return self._masks


@dataclass(frozen=True, slots=True)
class LearningSpeeds:
    """Steps a second of one core.

    Attributes:
        learning: with learning, by where: `SCALAR`, `ENGINE`, `NOTHING`.
        stepping: without, `ENGINE` and `NOTHING` with random legal actions, and `CLASSIC`.
        stepped: environments in `stepping`.
    """

    learning: dict[str, Speed]
    stepping: dict[str, Speed]
    stepped: int

    def ratio(self, other: str) -> float:
        """Of learning on the engine to that elsewhere, median over laps one after the other."""
        return median(
            (one.units / one.core_s) / (two.units / two.core_s)
            for one, two in zip(self.learning[ENGINE].laps, self.learning[other].laps, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "learning": {name: one.to_dict() for name, one in self.learning.items()},
            "stepping": {name: one.to_dict() for name, one in self.stepping.items()},
            "stepped": self.stepped,
            "times_scalar": self.ratio(SCALAR),
            "share_of_nothing": self.ratio(NOTHING),
        }


def learning_speeds(
    settings: Settings, repetitions: int, *, stepped: int, steps: int
) -> LearningSpeeds:
    """Learn in turn in the three kinds of environment, and step through them alone.

    Args:
        settings: those of the training.
        repetitions: rollouts of each, after one that does not count.
        stepped: environments that are stepped through.
        steps: of each of them in a repetition.
    """
    return LearningSpeeds(
        _learning(settings, repetitions), _stepping(stepped, steps, repetitions), stepped
    )


def _learning(settings: Settings, repetitions: int) -> dict[str, Speed]:
    sampler = random_episodes(randomisation(settings))
    engine = DaCircoVectorEnv(
        settings.n_envs,
        settings.home_profile,
        sampler=sampler,
        autoreset_mode=AutoresetMode.SAME_STEP,
        threads=1,
    )
    members = [make_member(settings, sampler) for _ in range(settings.n_envs)]
    nothing = cast("DaCircoVectorEnv", NothingVectorEnv(engine))
    worlds: dict[str, BatchVecEnv | EngineVecEnv] = {
        SCALAR: BatchVecEnv(members, settings.seed),
        ENGINE: EngineVecEnv(engine, settings.seed),
        NOTHING: EngineVecEnv(nothing, settings.seed),
    }
    steps = settings.n_envs * settings.rollout_steps
    laps: dict[str, list[Lap]] = {name: [] for name in worlds}
    with tempfile.TemporaryDirectory() as runs:
        settings = replace(settings, target_kl=NEVER, runs=Path(runs))
        learners = {name: learner(settings, world) for name, world in worlds.items()}
        for repetition in range(repetitions + 1):
            for name, one in learners.items():
                found = lap(lambda one=one: learn(one, steps))  # type: ignore[misc]
                if repetition:
                    laps[name].append(found)
    engine.close()
    return {name: Speed(tuple(own)) for name, own in laps.items()}


def _stepping(n: int, steps: int, repetitions: int) -> dict[str, Speed]:
    engine = DaCircoVectorEnv(
        n, family="poisson", load=LOAD, autoreset_mode=AutoresetMode.SAME_STEP, threads=1
    )
    nothing = NothingVectorEnv(engine)
    classic = gymnasium.make_vec(CLASSIC, n, vectorization_mode="vector_entry_point")
    rng = np.random.default_rng(0)
    chances = rng.random((16, n, int(engine.single_action_space.n)), dtype=np.float32)
    assert isinstance(classic.single_action_space, spaces.Discrete)
    either = rng.integers(0, int(classic.single_action_space.n), (16, n))

    def legal(masks: Callable[[], NDArray[np.bool_]]) -> Callable[[int], NDArray[np.int64]]:
        return lambda k: (masks() * chances[k % 16]).argmax(axis=1)

    players: dict[str, tuple[VectorEnv[Any, Any, Any], Callable[[int], NDArray[np.int64]]]] = {
        ENGINE: (engine, legal(engine.action_masks)),
        NOTHING: (nothing, legal(nothing.action_masks)),
        CLASSIC: (classic, lambda k: either[k % 16]),
    }
    found = {}
    for name, (envs, choose) in players.items():
        envs.reset(seed=0)

        def play(
            envs: VectorEnv[Any, Any, Any] = envs,
            choose: Callable[[int], NDArray[np.int64]] = choose,
        ) -> int:
            for k in range(steps):
                envs.step(choose(k))
            return steps * n

        found[name] = measure(play, repetitions)
        envs.close()
    return found
