"""What a setting costs: on the training split, relative to grace-period, on the same jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy
from agents.registry import make_policy
from env.cost import CostVector
from env.episodes import Episode
from training.episode_sets import random_set, scenario_set
from training.rollouts.cells import Cell
from training.rollouts.play import Stage

BASELINE: Final = "grace-period"
"""At its defaults; every cost is relative to it."""


def tuning_episodes(random_episodes: int, seed: int, profile: str) -> list[Episode]:
    """The training scenarios and some random training episodes, in a mixed, fixed order.

    A setting that is given up early has then been seen on episodes of every kind.

    Args:
        random_episodes: how many.
        seed: of the random episodes and of the order.
        profile: name of the data centre or its file.
    """
    episodes = scenario_set("train", profile) + random_set(random_episodes, seed, profile)
    order = np.random.default_rng(seed).permutation(len(episodes))
    return [episodes[i] for i in order]


def cost_vector(episode: Episode, preference: float, policy: Policy, stage: Stage) -> CostVector:
    """What an episode costs under a policy that is told a preference."""
    return stage.totals([Cell.of(policy, episode, preference)])[0].cost


class Yardstick:
    """Costs at some preferences relative to the baseline's.

    Args:
        episodes: the jobs, the same for every setting (common random numbers).
        preferences: what a setting is judged at. Its runs are told the first: a setting
            that heeds the preference must be judged at that one only.
        baseline: what the episodes cost under the baseline, if that is known.
        stage: plays the episodes; by default the compiled engine.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        preferences: Sequence[float],
        baseline: Sequence[CostVector] | None = None,
        stage: Stage | None = None,
    ) -> None:
        self._stage = Stage() if stage is None else stage
        self._episodes = list(episodes)
        self._preferences = tuple(preferences)
        told = self._preferences[0]
        self._baseline = baseline or [
            cost_vector(e, told, make_policy(BASELINE), self._stage) for e in self._episodes
        ]

    def at(self, preference: float) -> Yardstick:
        """The same for one preference."""
        return Yardstick(self._episodes, [preference], self._baseline, self._stage)

    @property
    def episodes(self) -> int:
        """How many."""
        return len(self._episodes)

    def _log_costs(self, vector: CostVector) -> NDArray[np.float64]:
        return np.log([vector.weighed(w) for w in self._preferences])

    def log_ratios(self, spec: str) -> Iterator[NDArray[np.float64]]:
        """Logarithm of the cost ratio at each preference, on one episode after another."""
        policy = make_policy(spec)
        for episode, baseline in zip(self._episodes, self._baseline, strict=True):
            ours = cost_vector(episode, self._preferences[0], policy, self._stage)
            yield self._log_costs(ours) - self._log_costs(baseline)

    def ratios(self, spec: str) -> NDArray[np.float64]:
        """Geometric mean over the episodes of the cost ratio, at each preference."""
        mean: NDArray[np.float64] = np.exp(np.mean(list(self.log_ratios(spec)), axis=0))
        return mean
