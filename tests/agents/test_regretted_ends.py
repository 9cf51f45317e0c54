"""The shipped policy under rushes at regular times: it learns not to end what it needs again."""

from __future__ import annotations

from math import inf

import pytest

from agents.registry import make_policy
from env import cluster
from env.catalog import load_catalog
from env.config import load_profile
from env.metrics import EpisodeMetrics, measure
from env.recipes import TEST, make_scenario
from env.simulator import Simulator

REGULAR = next(recipe for recipe in TEST if recipe.name.endswith("regular-half"))


def under_regular_rushes() -> EpisodeMetrics:
    policy = make_policy("models/dacirco")
    requests = make_scenario(REGULAR).requests
    simulator = Simulator(
        load_profile("openstack"),
        requests,
        load_catalog(),
        preference=0.9,
        discipline=policy.discipline,
    )
    simulator.run(policy)
    return measure(simulator)


def test_workers_that_are_needed_again_and_again_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    heeding = under_regular_rushes()
    monkeypatch.setattr(cluster, "REGRETTED", inf)
    heedless = under_regular_rushes()
    assert heeding.jobs == heedless.jobs == heeding.completed
    assert heeding.boots < 0.6 * heedless.boots
    assert heeding.delay_mean_s < heedless.delay_mean_s
    assert heeding.cost_per_job < heedless.cost_per_job
