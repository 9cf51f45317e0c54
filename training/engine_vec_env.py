"""The compiled data centres as stable-baselines3 wants them: a `VecEnv` with action masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from env.engine.vector_env import DaCircoVectorEnv
from training.vector_env import REWARD_UNIT_S


class EngineVecEnv(VecEnv):
    """Gymnasium's vector environment behind stable-baselines3's interface.

    The reward is that of `training.vector_env.BatchVecEnv`: minus the cost of the step in hundreds
    of seconds of the episode's reference cost rate. `sb3_contrib.MaskablePPO` finds the masks.

    Args:
        envs: the data centres, with the autoreset mode `SAME_STEP`: an episode that ends is
            followed by the next one within the step.
        seed: of the episodes; see `seed`.

    Attributes:
        envs: the same.
        elapsed_s: seconds that passed in the latest step, shape (environments,).
        rewards: the latest rewards, shape (environments,).

    Raises:
        ValueError: the autoreset mode is another one.
    """

    def __init__(self, envs: DaCircoVectorEnv, seed: int = 0) -> None:
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(
                f"autoreset_mode is {envs.autoreset_mode}: stable-baselines3 needs SAME_STEP"
            )
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self.envs = envs
        n = envs.num_envs
        self._actions = np.zeros(n, dtype=np.int64)
        self.elapsed_s = np.zeros(n, dtype=np.float32)
        self.rewards = np.zeros(n, dtype=np.float32)
        self._rates = np.ones(n)
        self._returns = np.zeros(n)
        self._lengths = np.zeros(n, dtype=np.int64)
        self._clocks = np.zeros(n)
        self.seed(seed)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the data centres at the next reset, far apart: no two seeds share an episode."""
        sequence = np.random.SeedSequence(seed)
        self._given: list[int] = [
            int(one) for one in sequence.generate_state(self.num_envs, np.uint64)
        ]
        self._seed_next = True
        return self._given

    def reset(self) -> VecEnvObs:
        """Start an episode in each data centre; the first ones after `seed` follow from it."""
        observations, _ = self.envs.reset(seed=self._given if self._seed_next else None)
        self._seed_next = False
        self._rates = self.envs.reference_cost_rates
        for totals in (self._returns, self._lengths, self._clocks):
            totals.fill(0)
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Remember the actions."""
        self._actions = np.asarray(actions, dtype=np.int64)

    def step_wait(self) -> VecEnvStepReturn:
        """Carry them out; where an episode ends the next one starts."""
        observations, rewards, over, cut, info = self.envs.step(self._actions)
        elapsed = info["elapsed_s"]
        self.elapsed_s = elapsed.astype(np.float32)
        gained = rewards / (REWARD_UNIT_S * self._rates)
        self.rewards = gained.astype(np.float32)
        self._returns += gained
        self._lengths += 1
        self._clocks += elapsed
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        dones = over | cut
        rows = np.flatnonzero(dones)
        for d in rows.tolist():
            infos[d] = {
                "terminal_observation": info["final_obs"][d],
                "TimeLimit.truncated": bool(cut[d]),
                "episode": {
                    # Mean cost rate relative to the reference, so that lengths compare.
                    "r": float(self._returns[d] * REWARD_UNIT_S / max(1.0, self._clocks[d])),
                    "l": int(self._lengths[d]),
                    "t": float(self._clocks[d]),
                },
            }
            if "metrics" in info["final_info"]:
                infos[d]["metrics"] = info["final_info"]["metrics"][d]
        if len(rows):
            self._rates = self.envs.reference_cost_rates
            for totals in (self._returns, self._lengths, self._clocks):
                totals[rows] = 0
        return observations, self.rewards.copy(), dones, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions can be carried out now, shape (environments, actions)."""
        return self.envs.action_masks()

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """``action_masks`` of each data centre, or `metrics`; they have no other methods.

        Raises:
            AttributeError: another one was asked for.
        """
        chosen = self._get_indices(indices)
        if method_name == "action_masks":
            return list(self.envs.action_masks()[list(chosen)])
        if method_name == "metrics":
            return [self.envs.metrics(d) for d in chosen]
        raise AttributeError(f"data centres in the engine have no method {method_name!r}")

    def has_attr(self, attr_name: str) -> bool:
        """Whether data centres have the attribute or method."""
        return attr_name in ("action_masks", "metrics", "render_mode", "preference", "now")

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of each data centre: ``preference``, ``now`` or ``render_mode``.

        Raises:
            AttributeError: another one was asked for.
        """
        chosen = list(self._get_indices(indices))
        if attr_name == "render_mode":
            return [None] * len(chosen)
        if attr_name == "preference":
            return list(self.envs.preferences[chosen])
        if attr_name == "now":
            return list(self.envs.now[chosen])
        raise AttributeError(f"data centres in the engine have no attribute {attr_name!r}")

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Nothing can be set.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"{attr_name!r} of data centres in the engine cannot be set")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """No data centre is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def close(self) -> None:
        """Stop the threads."""
        self.envs.close()
