"""``DaCirco-v0``: the simulated data centre as a Gymnasium environment."""

from __future__ import annotations

from typing import Any, ClassVar, SupportsInt

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from env.actions import ActionKind, action_from_index, n_actions
from env.config import Profile, load_profile
from env.cost import CostVector, check_preference, cost_so_far
from env.episodes import EpisodeSampler, family_episodes
from env.errors import DaCircoError
from env.metrics import EpisodeMetrics, measure
from env.observation import Observer, action_mask, bounds
from env.render import render_ansi, render_rgb_array
from env.simulator import Simulator
from env.timeline import Timeline

Observation = NDArray[np.float32]
Mask = NDArray[np.bool_]

RENDER_MODES = ("ansi", "rgb_array")


class DaCircoEnv(gymnasium.Env[Observation, np.int64]):
    """@DOC@"""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": 4}

    def __init__(
        self,
        profile: str | Profile = "openstack",
        *,
        family: str = "poisson",
        load: float = 0.5,
        preference: float | None = None,
        episode_s: float = 3600.0,
        max_jobs_per_core: float = 5.0,
        sampler: EpisodeSampler | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise DaCircoError(f"render_mode {render_mode!r} is not one of {RENDER_MODES}")
        home = load_profile(profile) if isinstance(profile, str) else profile
        self.render_mode = render_mode
        self._fixed_preference = None if preference is None else check_preference(preference)
        self.max_jobs_per_core = max_jobs_per_core
        self.sampler = sampler or family_episodes(home, family, load, episode_s)
        flavors = [flavor.name for flavor in home.cluster.flavors]
        low, high = bounds(flavors)
        self._n_flavors = len(flavors)
        self.action_space = spaces.Discrete(n_actions(len(flavors)))
        self.observation_space = spaces.Box(low, high, dtype=np.float32)
        self._simulator: Simulator | None = None
        self._observer: Observer | None = None
        self._horizon_s = 0.0
        self._max_jobs = 0.0
        self._reference_cost_rate = 1.0
        self._cost = CostVector(0.0, 0.0)

    @property
    def simulator(self) -> Simulator:
        """The running simulation.

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
        """
        if self._simulator is None:
            raise gymnasium.error.ResetNeeded("call reset() before anything else")
        return self._simulator

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; ``options={"preference": w}`` fixes its preference."""
        super().reset(seed=seed)
        self.begin((options or {}).get("preference"))
        return self._observe(), {"preference": self.simulator.cluster.preference}

    def step(
        self, action: SupportsInt
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out an action; keep (or an action that cannot be carried out) lets time pass."""
        before = self.simulator.now
        vector, terminated, truncated = self.decide(int(action))
        simulator = self.simulator
        info = {
            "vector_reward": np.array([-vector.job_seconds, -vector.core_seconds]),
            "elapsed_s": simulator.now - before,
            "epoch": simulator.epoch.name if simulator.epoch is not None else None,
            "invalid_actions": simulator.invalid_actions,
        }
        reward = -vector.weighed(simulator.cluster.preference)
        return self._observe(), reward, terminated, truncated, info

    def action_masks(self) -> Mask:
        """Which actions can be carried out now, shape (actions,)."""
        mask = np.zeros(n_actions(self._n_flavors), dtype=np.bool_)
        action_mask(self.simulator.cluster, mask)
        return mask

    def metrics(self) -> EpisodeMetrics:
        """Figures of the episode so far."""
        return measure(self.simulator)

    def render(self) -> Any:
        """A line of text (``ansi``) or a picture, uint8 of shape (height, width, 3)."""
        if self.render_mode == "ansi":
            return render_ansi(self.simulator)
        if self.render_mode == "rgb_array":
            return render_rgb_array(self.simulator)
        gymnasium.logger.warn("render() does nothing: make the environment with a render_mode")
        return None

    @property
    def now(self) -> float:
        """Simulated time, seconds."""
        return self.simulator.now

    @property
    def preference(self) -> float:
        """The episode's preference w."""
        return self.simulator.cluster.preference

    @property
    def reference_cost_rate(self) -> float:
        """A rough cost rate of the episode, see `env.simulator.Simulator.reference_cost_rate`."""
        return self._reference_cost_rate

    # -- without Gymnasium's wrapping, for vectorised training ---------------------------

    def begin(self, preference: float | None = None) -> None:
        """Start an episode with the environment's own random numbers."""
        episode = self.sampler(self.np_random)
        chosen = preference if preference is not None else self._fixed_preference
        self._simulator = Simulator(
            episode.profile,
            episode.requests,
            episode.catalog,
            seed=episode.seed,
            preference=episode.preference if chosen is None else check_preference(chosen),
            limit_s=None if episode.horizon_s == np.inf else episode.horizon_s,
            timeline=None if self.render_mode is None else Timeline(),
        )
        cluster = self._simulator.cluster
        self._observer = Observer(cluster)
        self._horizon_s = episode.horizon_s
        self._max_jobs = self.max_jobs_per_core * cluster.cores
        self._cost = CostVector(0.0, 0.0)
        self._reference_cost_rate = self._simulator.reference_cost_rate()

    def decide(self, action: int) -> tuple[CostVector, bool, bool]:
        """Carry out an action; returns the cost it brought, terminated, truncated."""
        simulator = self.simulator
        order = action_from_index(action, self._n_flavors)
        if order.kind is not ActionKind.KEEP and simulator.apply(order):
            return CostVector(0.0, 0.0), False, False
        alive = simulator.advance()
        cost = cost_so_far(simulator.cluster)
        spent = cost.since(self._cost)
        self._cost = cost
        cluster = simulator.cluster
        truncated = cluster.now >= self._horizon_s or cluster.jobs_in_system > self._max_jobs
        terminated = not alive and not truncated
        return spent, terminated, truncated

    def observe_into(self, row: Observation) -> None:
        """Write the observation into `row`, shape (features,)."""
        assert self._observer is not None
        self._observer.write(row)

    def mask_into(self, mask: Mask) -> None:
        """Write the action mask into `mask`, shape (actions,)."""
        action_mask(self.simulator.cluster, mask)

    def _observe(self) -> Observation:
        row = np.empty(self.observation_space.shape or (), dtype=np.float32)
        self.observe_into(row)
        return row
