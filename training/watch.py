"""What a finished policy meets in training episodes, for the envelope of its card."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Final

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from agents.network_policy import masked_argmax
from env.engine.perceptron import Perceptron, forward
from env.engine.vector_env import DaCircoVectorEnv
from env.episodes import Episode, EpisodeSampler, Rng, random_episodes
from env.load import mean_core_seconds
from env.timing import TimingModel
from training.model import randomisation
from training.settings import Settings

_OVERLOAD: Final = 1.0
_FEWER: Final = 8
"""For one overload that is watched, so many other episodes: its queue is longest at its end, and
that is thousands of decisions away."""
_USUAL_JOBS_PER_CORE: Final = 5.0
_JOBS_PER_CORE: Final = 1000.0
"""Training gives up an episode long before; in production nobody does."""


def offered_load(episode: Episode) -> float:
    """The work that arrives in an episode, as a share of what its data centre can do meanwhile."""
    if not episode.requests:
        return 0.0
    last_s = max(episode.requests[-1].arrival_s, 1.0)
    span_s = episode.horizon_s if isfinite(episode.horizon_s) else last_s
    work = len(episode.requests) * mean_core_seconds(TimingModel(episode.profile), episode.catalog)
    return work / span_s / sum(node.cores for node in episode.profile.cluster.nodes)


def overloads(sample: EpisodeSampler) -> EpisodeSampler:
    """Those of a sampler's episodes in which more work arrives than can be done."""

    def overload(rng: Rng) -> Episode:
        while True:
            episode = sample(rng)
            if offered_load(episode) >= _OVERLOAD:
                return episode

    return overload


def watch(network: Perceptron, settings: Settings, decisions: int) -> Iterator[NDArray[np.float32]]:
    """Observations of the policy in training episodes, and then in overloads to their very end.

    Labelled states alone are too few to have seen the rare rush at its height.

    Args:
        network: the policy.
        settings: of the run that it comes from.
        decisions: how many of each kind, rounded down to whole rounds of all data centres.

    Yields:
        Arrays of shape (data centres, features).
    """
    rng = np.random.default_rng([settings.seed, 4])
    anything = random_episodes(randomisation(settings))
    few = -(-settings.n_envs // _FEWER)
    for n, sampler, most in (
        (settings.n_envs, anything, _USUAL_JOBS_PER_CORE),
        (few, overloads(anything), _JOBS_PER_CORE),
    ):
        envs = DaCircoVectorEnv(
            n,
            settings.home_profile,
            sampler=sampler,
            autoreset_mode=AutoresetMode.SAME_STEP,
            threads=settings.threads,
            max_jobs_per_core=most,
        )
        observations, _ = envs.reset(seed=int(rng.integers(2**31)))
        for _ in range(decisions // n):
            yield observations
            chosen = masked_argmax(forward(network, observations), envs.action_masks())
            observations, *_ = envs.step(chosen)
        envs.close()
