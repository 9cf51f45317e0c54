"""Rules as they were tuned: ``tuned:RULE`` follows the setting of the nearest preference."""

from __future__ import annotations

import pytest

from agents import tuned
from agents.by_preference import ByPreference
from agents.heuristic import Heuristic
from agents.registry import make_policy, register, tunable_names
from env.catalog import load_catalog
from env.config import load_profile
from env.errors import PolicyError, UnknownNameError
from env.metrics import measure
from env.scenario import load_scenario
from env.simulator import Simulator

HOME = load_profile("openstack")
JOBS = load_scenario("train/bursts-calm").requests[:15]


@pytest.mark.parametrize("rule", tunable_names())
def test_every_rule_was_tuned_over_the_whole_dial(rule: str) -> None:
    specs = tuned.tuned_specs()[rule]
    assert min(specs) == 0.1
    assert max(specs) == 0.9
    for spec in specs.values():
        policy = make_policy(spec)
        assert isinstance(policy, Heuristic)
        assert policy.name == rule
        assert policy.discipline == "sjf"  # as the policy that they compete with


@pytest.mark.parametrize("preference", [0.1, 0.36, 0.9])
def test_does_what_its_nearest_setting_does(preference: float) -> None:
    policy = make_policy("tuned: adaptive_flavor")
    assert isinstance(policy, ByPreference)
    assert policy.spec == policy.name == "tuned:adaptive-flavor"
    specs = tuned.tuned_specs()["adaptive-flavor"]
    nearest = specs[min(specs, key=lambda w: abs(w - preference))]
    figures = []
    for one in (policy, make_policy(nearest)):
        simulator = Simulator(
            HOME, JOBS, load_catalog(), preference=preference, discipline=one.discipline
        )
        simulator.run(one)
        figures.append(measure(simulator))
    assert figures[0] == figures[1]


def test_the_effort_is_told() -> None:
    assert "settings suggested for each rule at each preference" in tuned.tuned_effort()


@pytest.mark.parametrize("spec", ["tuned", "tuned:", "tuned: "])
def test_a_rule_must_be_named(spec: str) -> None:
    with pytest.raises(PolicyError, match="names no rule: write tuned:NAME"):
        make_policy(spec)


def test_an_unknown_rule() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'grace-period'"):
        make_policy("tuned:grace-perid")


def test_a_rule_that_was_not_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.registry.tuned_specs", dict)
    with pytest.raises(PolicyError, match="grace-period was not tuned: run python -m training"):
        make_policy("tuned:grace-period")


def test_the_prefix_is_no_name_for_a_rule() -> None:
    with pytest.raises(ValueError, match="the policy name 'tuned' is taken"):
        register(type("Other", (Heuristic,), {"name": "tuned"}))


def test_all_settings_must_serve_alike() -> None:
    with pytest.raises(PolicyError, match="must all have the same discipline"):
        ByPreference("x", {0.1: make_policy("grace-period"), 0.9: make_policy("break-even")})
