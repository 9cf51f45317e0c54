"""The comparison that chooses the best policy: ratios, episodes, and the same jobs for all."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from math import inf

import numpy as np
import pytest

from agents.registry import make_policy
from env.config import load_profile
from env.metrics import measure
from env.scenario import load_split
from tests.training.small_world import short_episodes, taught_model
from training.comparison import (
    RIVALS,
    Comparison,
    Figures,
    cost_ratio,
    over_all,
)
from training.episode_sets import random_set, redrawn_set, scenario_set
from training.lockstep import greedy, run_lockstep, simulate
from training.network import Actor
from training.preferences import PREFERENCES


@cache
def comparison() -> Comparison:
    """On two short episodes."""
    return Comparison(short_episodes(2))


@cache
def ours() -> Figures:
    """What the taught network makes of them."""
    return comparison().run(Actor(taught_model()))


def with_costs(costs: list[list[float]]) -> Figures:
    """Figures with these costs per job."""
    one = ours().metrics[0][0]
    return Figures(tuple(tuple(replace(one, cost_per_job=c) for c in row) for row in costs))


def test_ratio_is_a_geometric_mean_over_episodes() -> None:
    ratio = cost_ratio(with_costs([[2.0, 8.0], [3.0, 3.0]]), with_costs([[1.0, 1.0], [6.0, 1.5]]))
    assert ratio.tolist() == pytest.approx([4.0, 1.0])
    assert over_all(ratio) == pytest.approx(2.0)


def test_the_same_policy_has_ratio_one() -> None:
    assert cost_ratio(ours(), ours()).tolist() == [1.0] * len(PREFERENCES)


def test_a_part_of_the_dial_is_compared_on_alone() -> None:
    part = Comparison(short_episodes(2), RIVALS[:1], (0.33, 0.67))
    figures = part.run(Actor(taught_model()))
    assert np.array_equal(figures.costs, ours().costs[[1, 3]])
    assert np.array_equal(
        part.rivals[RIVALS[0]].costs, comparison().rivals[RIVALS[0]].costs[[1, 3]]
    )


def test_the_network_runs_each_episode_at_each_preference() -> None:
    assert ours().costs.shape == (len(PREFERENCES), 2)
    for w, row in zip(PREFERENCES, ours().metrics, strict=True):
        for episode, metrics in zip(comparison().episodes, row, strict=True):
            simulator = simulate(episode, w)
            run_lockstep([simulator], greedy(Actor(taught_model())))
            assert metrics.preference == w
            assert metrics.cost_per_job == pytest.approx(measure(simulator).cost_per_job)


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_run_on_the_same_jobs_with_their_own_discipline(name: str) -> None:
    for w, row in zip(PREFERENCES, comparison().rivals[name].metrics, strict=True):
        for episode, metrics in zip(comparison().episodes, row, strict=True):
            policy = make_policy(name)
            simulator = simulate(episode, w, policy.discipline)
            simulator.run(policy)
            assert metrics == measure(simulator)
            assert metrics.jobs == len(episode.requests)


def test_the_score_is_relative_to_the_strongest_rule() -> None:
    theirs = comparison().rivals["adaptive-flavor"]
    expected = np.exp(np.log(ours().costs / theirs.costs).mean())
    assert comparison().score(ours()) == pytest.approx(expected)


def test_means_leave_out_what_does_not_exist() -> None:
    one = ours().metrics[0][0]
    figures = Figures(((replace(one, delay_mean_s=float("nan")), replace(one, delay_mean_s=4.0)),))
    assert figures.mean("delay_mean_s").tolist() == [4.0]


def test_the_summary_is_plain_and_complete() -> None:
    summary = json.loads(json.dumps(comparison().summary(ours(), "what it is about")))
    assert summary["about"] == "what it is about"
    assert list(summary["cost_ratio"]) == list(RIVALS)
    for name, ratios in comparison().ratios(ours()).items():
        row = summary["cost_ratio"][name]
        assert list(row) == [*(f"w={w}" for w in PREFERENCES), "all"]
        assert list(row.values()) == pytest.approx([*ratios, over_all(ratios)])


@pytest.mark.parametrize("split", ["train", "test"])
def test_scenarios_are_replayed_whole(split: str) -> None:
    episodes, scenarios = scenario_set(split), load_split(split)
    assert [e.requests for e in episodes] == [s.requests for s in scenarios]
    assert all(e.horizon_s == inf and e.profile == load_profile("openstack") for e in episodes)
    assert len({e.seed for e in episodes}) == len(episodes)


def test_redrawn_scenarios_have_other_jobs_than_any_that_ship() -> None:
    episodes = redrawn_set(2)
    assert len(episodes) == 2 * len(load_split("train"))
    assert [e.requests for e in redrawn_set(1)] == [e.requests for e in episodes[:16]]
    assert redrawn_set(0) == []
    shipped = {s.requests for split in ("train", "test") for s in load_split(split)}
    drawn = {tuple(e.requests) for e in episodes}
    assert len(drawn) == len(episodes)
    assert not drawn & shipped
    for episode in episodes:
        assert episode.profile == load_profile("openstack")
        assert episode.horizon_s == inf


def test_random_episodes_are_of_the_data_centre_as_it_is() -> None:
    episodes = random_set(6, 123)
    assert len(episodes) == 6
    for episode in episodes:
        assert episode.profile == load_profile("openstack")
        assert episode.horizon_s == inf
        assert len(episode.requests) >= 15
    again, other = random_set(6, 123), random_set(6, 124)
    assert [e.requests for e in again] == [e.requests for e in episodes]
    assert all(a.requests != b.requests for a, b in zip(other, episodes, strict=True))
    assert [e.requests for e in random_set(3, 123)] == [e.requests for e in episodes[:3]]
