"""Many simulated data centres in one process, stepped together for stable-baselines3.

Training learns in `training.engine_vec_env`, which gives the same. This one steps scalar
environments: the benchmarks and tests compare with it. One process is faster than many here: a
decision costs tens of microseconds, less than handing it to another process would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from env.cost import CostVector

REWARD_UNIT_S: Final = 100.0
"""A reward of -1 is the reference cost of so many seconds (keeps values near 1..10)."""


class BatchedEnv(Protocol):
    """What a member of the batch offers (see `env.gym_env.DaCircoEnv`)."""

    @property
    def observation_space(self) -> spaces.Space[Any]:
        """Observations as stable-baselines3 wants them described."""

    @property
    def action_space(self) -> spaces.Space[Any]:
        """Actions, likewise."""

    def reset(self, *, seed: int | None = None) -> Any:
        """Seed the random numbers and start an episode."""

    def begin(self) -> None:
        """Start the next episode."""

    def decide(self, action: int) -> tuple[CostVector, bool, bool]:
        """Carry out an action; returns the cost it brought, terminated, truncated."""

    def observe_into(self, row: NDArray[np.float32]) -> None:
        """Write the observation."""

    def mask_into(self, mask: NDArray[np.bool_]) -> None:
        """Write the action mask."""

    @property
    def now(self) -> float:
        """Simulated time, seconds."""

    @property
    def preference(self) -> float:
        """The episode's preference w."""

    @property
    def reference_cost_rate(self) -> float:
        """The cost rate that the episode's rewards are divided by."""


class BatchVecEnv(VecEnv):
    """Steps its members one after another into shared arrays.

    The reward is minus the cost of the step, divided by the episode's reference cost rate:
    what then counts in every episode, quiet or busy, lean or fast, is the relative saving,
    which is what the evaluation's geometric means measure.

    Attributes:
        elapsed_s: seconds that passed in the latest step, shape (environments,).
        rewards: the latest rewards, shape (environments,).
    """

    def __init__(self, members: Sequence[BatchedEnv], seed: int = 0) -> None:
        self.members = list(members)
        n = len(self.members)
        first = self.members[0]
        super().__init__(n, first.observation_space, first.action_space)
        assert isinstance(first.observation_space, spaces.Box)
        assert isinstance(first.action_space, spaces.Discrete)
        self._observations = np.zeros((n, *first.observation_space.shape), dtype=np.float32)
        self._masks = np.zeros((n, int(first.action_space.n)), dtype=np.bool_)
        self._actions: list[int] = [0] * n
        self.seed(seed)
        self.elapsed_s = np.zeros(n, dtype=np.float32)
        self.rewards = np.zeros(n, dtype=np.float32)
        self._dones = np.zeros(n, dtype=np.bool_)
        self._scale = np.zeros(n)
        self._lengths = np.zeros(n, dtype=np.int64)
        self._returns = np.zeros(n)
        self._before = np.zeros(n)
        self._costs = [0.0] * n
        self._clocks = [0.0] * n
        # Made once: each is a view into the shared array.
        self._rows = list(self._observations)
        self._mask_rows = list(self._masks)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the members at the next reset, far apart: no two seeds share an episode.

        (Stable-baselines3 would count up from the seed, so that the next seed's batch would
        repeat all members but one.)
        """
        sequence = np.random.SeedSequence(seed)
        self._seeds = [int(s) for s in sequence.generate_state(self.num_envs, np.uint64)]
        self._seed_next = True
        return self._seeds

    def reset(self) -> VecEnvObs:
        """Start an episode in each member; the first one after `seed` follows from the seed."""
        for i, member in enumerate(self.members):
            if self._seed_next:
                member.reset(seed=self._seeds[i])
            else:
                member.begin()
            self._start(i, member)
        self._seed_next = False
        return self._observations.copy()

    def _start(self, i: int, member: BatchedEnv) -> None:
        self._scale[i] = -1.0 / (REWARD_UNIT_S * member.reference_cost_rate)
        self._lengths[i] = 0
        self._returns[i] = 0.0
        self._before[i] = member.now
        member.observe_into(self._rows[i])
        member.mask_into(self._mask_rows[i])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Remember the actions."""
        self._actions = actions.tolist()

    def step_wait(self) -> VecEnvStepReturn:
        """Carry them out; a member whose episode ends starts the next one.

        Each kind of work is done for all members before the next kind: a sixth less time
        than member by member, because the processor's caches then hold its code.
        """
        costs, clocks = self._costs, self._clocks
        elapsed, rewards, dones = self.elapsed_s, self.rewards, self._dones
        ended: list[tuple[int, bool]] = []
        dones.fill(False)
        for i, (member, action) in enumerate(zip(self.members, self._actions, strict=True)):
            cost, terminated, truncated = member.decide(action)
            costs[i] = cost.weighed(member.preference)
            clocks[i] = member.now
            if terminated or truncated:
                ended.append((i, truncated))
                dones[i] = True
        for member, row in zip(self.members, self._rows, strict=True):
            member.observe_into(row)
        for member, mask in zip(self.members, self._mask_rows, strict=True):
            member.mask_into(mask)
        now = np.array(clocks)
        elapsed[:] = now - self._before
        self._before = now
        gained = np.array(costs) * self._scale
        rewards[:] = gained
        self._returns += gained
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in costs]
        for i, truncated in ended:
            member, info = self.members[i], infos[i]
            info["terminal_observation"] = self._rows[i].copy()
            info["TimeLimit.truncated"] = truncated
            info["episode"] = {
                # Mean cost rate relative to the reference, so that lengths compare.
                "r": float(self._returns[i] * REWARD_UNIT_S / max(1.0, clocks[i])),
                "l": int(self._lengths[i]),
                "t": clocks[i],
            }
            member.begin()
            self._start(i, member)
        return self._observations.copy(), rewards.copy(), dones.copy(), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions can be carried out now, shape (environments, actions)."""
        return self._masks.copy()

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of each member; the masks are at hand."""
        if method_name == "action_masks":
            return [self._masks[i].copy() for i in self._get_indices(indices)]
        return [
            getattr(self.members[i], method_name)(*method_args, **method_kwargs)
            for i in self._get_indices(indices)
        ]

    def has_attr(self, attr_name: str) -> bool:
        """Whether the members have the attribute."""
        return attr_name == "action_masks" or hasattr(self.members[0], attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of each member."""
        return [getattr(self.members[i], attr_name) for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set the attribute of each member."""
        for i in self._get_indices(indices):
            setattr(self.members[i], attr_name, value)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """No member is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def close(self) -> None:
        """Nothing is held open."""
