"""``DaCirco-v0`` as a vector environment: thousands of data centres in compiled code."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from env.arguments import World, read_options
from env.config import Profile
from env.engine.engine import Engine
from env.engine.layout import NOW, PREFERENCE
from env.engine.stepping import look_at, room_for_outcome, room_to_see, step_centres
from env.engine.supply import EpisodeSupply
from env.episodes import EpisodeSampler
from env.errors import DaCircoError
from env.metrics import EpisodeMetrics
from env.simulator import Epoch

Observations = NDArray[np.float32]
Actions = NDArray[np.int64]
Flags = NDArray[np.bool_]

_MASK_OPTION: Final = "reset_mask"
_EPOCH_NAMES: Final = np.array([epoch.name for epoch in Epoch], dtype=object)
_LEAST_EACH: Final = 64
"""Data centres that are worth a thread."""
_ORDERED_FROM: Final = 0.85
"""Share of its episode from which on a data centre's next one is made ahead."""


class DaCircoVectorEnv(VectorEnv[Observations, Actions, NDArray[Any]]):
    """`env.gym_env.DaCircoEnv`, many at a time; ``gymnasium.make_vec("env:DaCirco-v0")`` gives it.

    The world, spaces, arguments, rewards and information are those of the scalar environment: with
    the same seeds and actions both give the same. ``reset(seed=s)`` seeds the data centres with
    s, s + 1, ..., as `gymnasium.vector.SyncVectorEnv` does; a list seeds each on its own.

    `action_masks()` has a row for each data centre. In `info`, ``vector_reward`` has the shape
    (num_envs, 2); ``elapsed_s``, ``epoch`` and ``invalid_actions`` one entry for each. Where an
    episode ends, ``metrics`` holds its `env.metrics.EpisodeMetrics` (in the mode `SAME_STEP`
    within ``final_info``), None elsewhere; but only with `metrics`, for they cost time.

    Args:
        num_envs: how many data centres.
        autoreset_mode: one of Gymnasium's: what happens after the end of an episode.
        metrics: whether the figures of ended episodes are kept and worked out.
        copy: whether observations and masks are copies; if not, the next step overwrites them.
        threads: that share a step; by default as many as there are cores, if that pays. Results
            do not depend on it.
        ahead: whether episodes are made ahead of time in a background thread. The `sampler` is
            then called there, and must depend on nothing but its generator.
        profile: for this and the others see `DaCircoEnv`.
        family: see there.
        load: see there.
        preference: see there.
        episode_s: see there.
        max_jobs_per_core: see there.
        sampler: see there.
        render_mode: nothing is rendered: it must be None.

    Raises:
        DaCircoError: an argument is out of range.
    """

    single_observation_space: spaces.Box
    single_action_space: spaces.Discrete

    def __init__(
        self,
        num_envs: int = 1,
        profile: str | Profile = "openstack",
        *,
        family: str = "poisson",
        load: float = 0.5,
        preference: float | None = None,
        episode_s: float = 3600.0,
        max_jobs_per_core: float = 5.0,
        sampler: EpisodeSampler | None = None,
        render_mode: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        metrics: bool = False,
        copy: bool = True,
        threads: int | None = None,
        ahead: bool = True,
    ) -> None:
        for name, value in (("num_envs", num_envs), ("threads", threads)):
            if value is not None and value < 1:
                raise DaCircoError(f"{name} {value} must be at least 1")
        if render_mode is not None:
            raise DaCircoError(
                f"render_mode {render_mode!r}: the vector environment renders nothing, "
                'make_vec(..., vectorization_mode="sync") does'
            )
        self._world = World(
            profile,
            family=family,
            load=load,
            preference=preference,
            episode_s=episode_s,
            max_jobs_per_core=max_jobs_per_core,
            sampler=sampler,
        )
        self.num_envs = n = num_envs
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self._world.observation_space
        self.single_action_space = self._world.action_space
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self.engine = Engine(n)
        self._metrics, self._copy, self._ahead = metrics, copy, ahead
        self._supply = EpisodeSupply(self._world, n, trace=metrics)
        self._begun = False
        actions = int(self.single_action_space.n)
        space = self.single_observation_space
        self._seen = room_to_see(n, space.low, space.high, actions)
        self._outcome = room_for_outcome(n)
        self._over = np.zeros(n, dtype=np.bool_)
        self._due_s = np.zeros(n)
        self._rates = np.ones(n)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        share = threads or max(1, min(cores, n // _LEAST_EACH))
        self._edges = np.linspace(0, n, min(share, n) + 1).astype(int).tolist()
        self._pool = ThreadPoolExecutor(share, "engine") if share > 1 else None

    # -- Gymnasium's interface ----------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Start an episode in each data centre, or in those of ``options["reset_mask"]``.

        Args:
            seed: of the first data centre, the others count up from it; or one for each, None for
                those that go on with their own random numbers.
            options: ``preference`` fixes that of these episodes; ``reset_mask``, bools of shape
                (num_envs,), tells which data centres start anew.

        Raises:
            DaCircoError: an option or a seed that cannot be used.
        """
        chosen = np.ones(self.num_envs, dtype=np.bool_)
        if options is not None and _MASK_OPTION in options:
            chosen = self._reset_mask(options[_MASK_OPTION])
            options = {key: value for key, value in options.items() if key != _MASK_OPTION}
        preference = read_options(options)
        for d, one in enumerate(self._seeds(seed)):
            if one is not None and chosen[d]:
                self._supply.seed(d, one)
        rows = np.flatnonzero(chosen)
        self._begun = self._begun or len(rows) == self.num_envs
        self._begin(rows, preference)
        return self._observations(), _told({"preference": self.preferences}, chosen)

    def step(
        self, actions: Actions
    ) -> tuple[Observations, NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Carry out an action in each data centre.

        Raises:
            ValueError: the actions are not whole numbers of the action space.
            gymnasium.error.ResetNeeded: `reset` was never called, or in the mode `DISABLED` an
                episode has ended.
        """
        actions = self._checked(actions)
        anew = self._over.copy()
        if self.autoreset_mode is AutoresetMode.DISABLED and anew.any():
            raise gymnasium.error.ResetNeeded(
                f"the episodes of data centres {np.flatnonzero(anew)[:10].tolist()} have ended: "
                'reset(options={"reset_mask": terminated | truncated})'
            )
        engine, outcome = self.engine, self._outcome
        if anew.any():
            self._begin(np.flatnonzero(anew), None)

        def part(first: int, last: int) -> None:
            step_centres(
                engine.f,
                engine.i,
                engine.ef,
                engine.ei,
                first,
                last,
                actions,
                anew,
                self._seen,
                outcome,
            )

        self._each(part)
        if self._metrics:
            for d in np.flatnonzero(outcome.full).tolist():
                engine.make_room(d)
        ended = outcome.terminated | outcome.truncated
        self._over = ended.copy()
        info = _told(
            {
                "vector_reward": outcome.vectors.copy(),
                "elapsed_s": outcome.elapsed_s.copy(),
                "epoch": _EPOCH_NAMES[outcome.epochs],
                "invalid_actions": outcome.invalid.astype(np.int64),
            },
            ~anew,
        )
        if anew.any():
            info |= _told({"preference": self.preferences}, anew)
        if ended.any():
            rows = np.flatnonzero(ended)
            final = {}
            if self._metrics:
                figures = np.full(self.num_envs, None, dtype=object)
                for d in rows.tolist():
                    figures[d] = self.metrics(d)
                final = _told({"metrics": figures}, ended)
            if self.autoreset_mode is AutoresetMode.SAME_STEP:
                info |= self._start_again(rows, ended, info, final)
            else:
                info |= final
        if self._ahead:
            self._order()
        return (
            self._observations(),
            outcome.rewards.copy(),
            outcome.terminated.copy(),
            outcome.truncated.copy(),
            info,
        )

    def action_masks(self) -> Flags:
        """Which actions can be carried out now, shape (num_envs, actions)."""
        self._need_reset()
        return self._seen.masks.copy() if self._copy else self._seen.masks

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads."""
        self._supply.close()
        if self._pool is not None:
            self._pool.shutdown()

    # -- more than Gymnasium asks for ---------------------------------------------------

    @property
    def now(self) -> NDArray[np.float64]:
        """Simulated time of each data centre, seconds."""
        return self.engine.f[:, NOW].copy()

    @property
    def preferences(self) -> NDArray[np.float64]:
        """The preference w of each data centre's episode."""
        return self.engine.f[:, PREFERENCE].copy()

    @property
    def reference_cost_rates(self) -> NDArray[np.float64]:
        """A rough cost rate of each episode, see `Simulator.reference_cost_rate`."""
        return self._rates.copy()

    def metrics(self, d: int) -> EpisodeMetrics:
        """Figures of a data centre's episode so far.

        Raises:
            DaCircoError: the environment was made without `metrics`.
        """
        self._need_reset()
        return self.engine.metrics(d)

    # -- how it is done -----------------------------------------------------------------

    def _each(self, part: Callable[[int, int], None]) -> None:
        """Call it for ranges of data centres, one a thread."""
        edges = self._edges
        if self._pool is None:
            part(0, self.num_envs)
        else:
            list(self._pool.map(part, edges[:-1], edges[1:]))

    def _begin(self, rows: NDArray[np.intp], preference: float | None) -> None:
        """Start the next episodes of these data centres."""
        for d in rows.tolist():
            data = self._supply.take(d)
            w = self._world.preference_of(data.preference, preference)
            self.engine.load(d, data, preference=w, hand_over=True)
            self._rates[d] = data.reference_cost_rate(w)
            # Whole scenarios have no limit: they end soon after their last arrival.
            self._due_s[d] = _ORDERED_FROM * min(data.limit_s, data.last_s)
        engine = self.engine
        look_at(engine.f, engine.i, engine.ef, engine.ei, rows.astype(np.int64), self._seen)
        self._over[rows] = False

    def _start_again(
        self, rows: NDArray[np.intp], ended: Flags, info: dict[str, Any], final: dict[str, Any]
    ) -> dict[str, Any]:
        """Start the next episodes at once; what is said of those that have ended."""
        observations = np.full(self.num_envs, None, dtype=object)
        for d in rows.tolist():
            observations[d] = self._seen.observations[d].copy()
        said = {key: value for key, value in info.items() if key[0] != "_" and key != "preference"}
        for key in said:
            info[f"_{key}"] = info[f"_{key}"] & ~ended
        told = _told({"final_obs": observations, "final_info": _told(said, ended) | final}, ended)
        self._begin(rows, None)
        return told | _told({"preference": self.preferences}, ended)

    def _order(self) -> None:
        """Have the next episodes made of those data centres whose own will soon end."""
        due = self.engine.f[:, NOW] >= self._due_s
        if due.any():
            rows = np.flatnonzero(due)[: self._supply.room]
            self._due_s[rows] = np.inf
            self._supply.order(rows.tolist())

    def _observations(self) -> Observations:
        return self._seen.observations.copy() if self._copy else self._seen.observations

    def _seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, (int, np.integer)):
            super().reset(seed=int(seed))
            return [int(seed) + d for d in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise DaCircoError(f"{len(seed)} seeds for {self.num_envs} data centres")
        return seed

    def _reset_mask(self, mask: object) -> Flags:
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise DaCircoError(
                f'reset(options=...): "{_MASK_OPTION}" must be an array of bools, '
                f"not {type(mask).__name__}"
            )
        if mask.shape != (self.num_envs,) or not mask.any():
            raise DaCircoError(
                f'reset(options=...): "{_MASK_OPTION}" must have the shape ({self.num_envs},) and '
                f"name at least one; it has {mask.shape} and names {int(mask.sum())}"
            )
        if not self._begun and not mask.all():
            raise gymnasium.error.ResetNeeded("call reset() for all data centres first")
        return mask

    def _checked(self, actions: object) -> Actions:
        self._need_reset()
        given = np.asarray(actions)
        if given.shape != (self.num_envs,) or not np.issubdtype(given.dtype, np.integer):
            raise ValueError(
                f"actions must be whole numbers of shape ({self.num_envs},), "
                f"not {given.dtype} of shape {given.shape}"
            )
        most = int(self.single_action_space.n)
        wrong = (given < 0) | (given >= most)
        if wrong.any():
            d = int(np.flatnonzero(wrong)[0])
            raise ValueError(f"action {given[d]} of data centre {d} is not in 0..{most - 1}")
        return np.ascontiguousarray(given, dtype=np.int64)

    def _need_reset(self) -> None:
        if not self._begun:
            raise gymnasium.error.ResetNeeded("call reset() before anything else")


def _told(values: dict[str, Any], of: Flags) -> dict[str, Any]:
    """Values, and under ``_name`` of which data centres they are, as Gymnasium has it."""
    return values | {f"_{key}": of.copy() for key in values}


def _autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        known = ", ".join(each.value for each in AutoresetMode)
        raise DaCircoError(f"autoreset_mode {mode!r} is not one of {known}") from None
