"""What a policy meets for its envelope."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from env.episodes import random_episodes
from env.observation import features
from tests.training.small_world import FLAVORS, SMALL, short_sampler, taught_model
from training.network import Actor
from training.rollouts.flatten import flatten
from training.watch import offered_load, overloads, watch


@pytest.mark.parametrize("load", [0.1, 0.8])
def test_the_offered_load_is_that_of_the_family(load: float) -> None:
    sample, rng = short_sampler(load, 3600.0), np.random.default_rng(0)
    found = [offered_load(sample(rng)) for _ in range(40)]
    assert np.mean(found) == pytest.approx(load, rel=0.05)


def test_without_an_end_the_last_arrival_is_one() -> None:
    episode = short_sampler(0.8, 3600.0)(np.random.default_rng(0))
    whole = replace(episode, horizon_s=inf)
    last = episode.requests[-1].arrival_s
    expected = pytest.approx(offered_load(episode) * episode.horizon_s / last)
    assert offered_load(whole) == expected
    assert offered_load(replace(episode, requests=())) == 0.0


def test_only_overloads_are_left() -> None:
    anything, rng = random_episodes(), np.random.default_rng(3)
    sample = overloads(anything)
    assert min(offered_load(sample(rng)) for _ in range(5)) >= 1.0
    assert np.median([offered_load(anything(rng)) for _ in range(20)]) < 0.5


@pytest.mark.slow
def test_the_queue_of_an_overload_is_seen_at_its_end() -> None:
    network = flatten(Actor(taught_model()))
    settings = replace(SMALL, n_envs=16)
    seen = list(watch(network, settings, 6400))
    anything, crowded = np.concatenate(seen[:400]), np.concatenate(seen[400:])
    assert anything.shape == crowded.shape == (6400, len(features(FLAVORS)))
    waiting = [feature.name for feature in features(FLAVORS)].index("waiting")
    most_jobs = 5.0 * 18  # training gives up an episode there
    assert np.expm1(4 * crowded[:, waiting].max()) > 2 * most_jobs
    assert crowded[:, waiting].mean() > 1.5 * anything[:, waiting].mean()
    again = watch(network, replace(settings, threads=1), 6400)
    np.testing.assert_array_equal(np.concatenate(list(again)[400:]), crowded)
