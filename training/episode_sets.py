"""What policies are chosen by: the shipped scenarios, random episodes."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Final

import numpy as np

from env.catalog import load_catalog
from env.config import load_profile
from env.episodes import Episode, Randomisation, random_episodes
from env.families import TRAINING_FAMILIES
from env.recipes import TRAIN, make_scenario, redrawn
from env.scenario import load_split

_FAMILIES: Final = tuple(name for name in TRAINING_FAMILIES if name != "cascades")
"""Of the random episodes. The rules were tuned, and the first policies chosen, before there were
cascades: without them these episodes are still the same."""

_FEWEST_JOBS: Final = 15
"""A random episode with fewer jobs says little about cost per job."""


def scenario_set(split: str, profile: str = "openstack") -> list[Episode]:
    """The shipped scenarios of a split as episodes."""
    data_centre, catalog = load_profile(profile), load_catalog()
    return [
        Episode(data_centre, scenario.requests, catalog, 0.5, seed, inf)
        for seed, scenario in enumerate(load_split(split))
    ]


def redrawn_set(draws: int, profile: str = "openstack") -> list[Episode]:
    """The scenarios of the training split so many times, each time with other jobs."""
    data_centre, catalog = load_profile(profile), load_catalog()
    return [
        Episode(data_centre, make_scenario(redrawn(recipe, draw)).requests, catalog, 0.5, draw, inf)
        for draw in range(1, draws + 1)
        for recipe in TRAIN
    ]


def random_set(n: int, seed: int, profile: str = "openstack") -> list[Episode]:
    """Random episodes of the families of the training scenarios on the profile as it is."""
    data_centre = load_profile(profile)
    sampler = random_episodes(
        Randomisation(
            profiles=((profile, 1.0),), home_share=1.0, fault_share=0.0, families=_FAMILIES
        )
    )
    rng = np.random.default_rng(seed)
    episodes: list[Episode] = []
    while len(episodes) < n:
        episode = sampler(rng)
        if len(episode.requests) >= _FEWEST_JOBS:
            episodes.append(replace(episode, profile=data_centre, horizon_s=inf))
    return episodes
