"""Whole episodes with and without looking ahead, on the same jobs and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from agents.network_policy import masked_argmax
from env.config import load_profile
from env.engine.perceptron import Perceptron, forward
from env.engine.vector_env import DaCircoVectorEnv
from env.episodes import Episode, EpisodeSampler, Rng, family_episodes
from env.families import TRAINING_FAMILIES
from training.headroom.search import Search

_MOST_JOBS_PER_CORE: Final = 1e4
"""No episode is cut: what is left undone would look cheap."""

_MORE_S: Final = 900.0
"""Jobs arrive for so long after an episode's end: no rollout meets the last one."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is played.

    Attributes:
        load: offered load, share of the cores that the jobs need.
        preference: w.
        episodes: how many, each of a training family that is drawn.
        length_s: how long each is, seconds; jobs arrive beyond its end, which nobody foresees.
        seed: of the first episode.
    """

    load: float
    preference: float
    episodes: int
    length_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it.

    Attributes:
        costs: weighed sum of job-seconds and equivalent core-seconds, shape (episodes,).
        decisions: in all episodes.
        searched: at how many of them futures were looked at.
        changed: at how many of these the network would have done something else.
    """

    costs: NDArray[np.float64]
    decisions: int
    searched: int
    changed: int


def _cut(samplers: tuple[EpisodeSampler, ...], length_s: float, rng: Rng) -> Episode:
    return replace(samplers[int(rng.integers(len(samplers)))](rng), horizon_s=length_s)


def play(
    condition: Condition,
    network: Perceptron,
    search: Search | None,
    profile: str,
    on_end: Callable[[int], None] = lambda ended: None,
) -> Played:
    """Play a condition's episodes to their ends.

    Args:
        condition: which.
        network: decides, by its likeliest action.
        search: looks ahead for it; none: the network alone.
        profile: the data centre.
        on_end: told how many more episodes have ended.
    """
    home = load_profile(profile)
    samplers = tuple(
        family_episodes(home, family, condition.load, condition.length_s + _MORE_S)
        for family in TRAINING_FAMILIES
    )
    envs = DaCircoVectorEnv(
        condition.episodes,
        home,
        sampler=partial(_cut, samplers, condition.length_s),
        max_jobs_per_core=_MOST_JOBS_PER_CORE,
        autoreset_mode=AutoresetMode.SAME_STEP,
        threads=1,
        ahead=False,
    )
    costs = np.zeros(condition.episodes)
    going = np.ones(condition.episodes, dtype=np.bool_)
    weights = np.array([condition.preference, 1.0 - condition.preference])
    decisions = searched = changed = 0
    try:
        observations, _ = envs.reset(
            seed=condition.seed, options={"preference": condition.preference}
        )
        while going.any():
            rows, masks = np.flatnonzero(going), envs.action_masks()
            actions = masks.argmax(axis=1).astype(np.int64)
            if search is None:
                actions[rows] = masked_argmax(forward(network, observations[rows]), masks[rows])
            else:
                improved = search.improve(
                    envs.engine, rows, observations[rows], masks[rows], network
                )
                actions[rows] = improved.actions
                searched += improved.searched
                changed += improved.changed
            decisions += len(rows)
            observations, _, terminated, truncated, info = envs.step(actions)
            costs[rows] -= info["vector_reward"][rows] @ weights
            ended = going & (terminated | truncated)
            going &= ~ended
            on_end(int(ended.sum()))
    finally:
        envs.close()
    return Played(costs, decisions, searched, changed)
