"""What a setting costs: on the training split, relative to grace-period, on the same jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import Final

import numpy as np

from agents.registry import make_policy
from env.cost import cost_so_far
from env.episodes import Episode
from env.simulator import Simulator
from training.episode_sets import random_set, scenario_set

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


def cost(episode: Episode, preference: float, spec: str) -> float:
    """Cost of an episode under a policy at a preference."""
    policy = make_policy(spec)
    simulator = Simulator(
        episode.profile,
        episode.requests,
        episode.catalog,
        seed=episode.seed,
        preference=preference,
        discipline=policy.discipline,
    )
    simulator.run(policy)
    return cost_so_far(simulator.cluster).weighed(preference)


class Yardstick:
    """Costs at one preference relative to the baseline's.

    Args:
        episodes: the jobs, the same for every setting (common random numbers).
        preference: w.
    """

    def __init__(self, episodes: Sequence[Episode], preference: float) -> None:
        self._episodes = list(episodes)
        self._preference = preference
        self._baseline = [log(cost(e, preference, BASELINE)) for e in self._episodes]

    @property
    def episodes(self) -> int:
        """How many."""
        return len(self._episodes)

    def log_ratios(self, spec: str) -> Iterator[float]:
        """Logarithm of the cost ratio on one episode after another."""
        for episode, baseline in zip(self._episodes, self._baseline, strict=True):
            yield log(cost(episode, self._preference, spec)) - baseline

    def ratio(self, spec: str) -> float:
        """Geometric mean of the cost ratios."""
        return float(np.exp(np.mean(list(self.log_ratios(spec)))))
