"""The shipped policy plays every shipped scenario on the engine as in the reference simulator."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("numba")

from agents.frozen import FrozenPolicy
from env.catalog import load_catalog
from env.config import load_profile
from env.scenario import load_split
from training.preferences import PREFERENCES
from training.rollouts.cells import Cell
from training.rollouts.play import REFERENCE, Stage

SHIPPED = Path(__file__).parents[2] / "models" / "dacirco"
JOBS = 60
"""Of each scenario: the reference takes its time."""


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_scenario_under_the_shipped_policy_is_the_same(split: str) -> None:
    policy, profile, catalog = FrozenPolicy(SHIPPED), load_profile("openstack"), load_catalog()
    scenarios = load_split(split)
    cells = [
        Cell(
            policy,
            profile,
            scenario.requests[:JOBS],
            catalog,
            seed=number,
            preference=PREFERENCES[number % len(PREFERENCES)],
        )
        for number, scenario in enumerate(scenarios)
    ]
    stage = Stage()
    assert stage.compiles(policy)
    played, simulated = stage.play(cells), Stage(REFERENCE).play(cells)
    for scenario, one, other in zip(scenarios, played, simulated, strict=True):
        expected, found = other.metrics.to_dict(), one.metrics.to_dict()
        differing = {
            key: (value, found[key]) for key, value in expected.items() if value != found[key]
        }
        assert not differing, scenario.name
        assert one.delays_s.tolist() == other.delays_s.tolist(), scenario.name
