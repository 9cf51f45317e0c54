"""A live service starts whatever has become of its model, and on no error of its operator's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agents.breaker import BreakerState
from agents.decision import Explained, Source
from agents.guard import GuardLimits, Switch
from agents.loading import live_policy
from agents.shield import ShieldLimits
from env.errors import DaCircoError, PolicyError, UnknownNameError
from tests.agents.adversaries import FakeClock

MODEL = Path(__file__).parents[2] / "models" / "dacirco"
pytestmark = pytest.mark.skipif(not MODEL.is_dir(), reason="needs the shipped policy")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the shipped policy, to damage."""
    folder = tmp_path / "models" / "mine"
    shutil.copytree(MODEL, folder)
    return folder


def with_card(folder: Path, **changes: Any) -> None:
    path = folder / "card.json"
    card = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(card), encoding="utf-8")


def test_a_sound_model_is_in_charge(drive: Any, model: Path) -> None:
    policy, warnings = live_policy(str(model), clock=FakeClock())
    assert warnings == ()
    assert isinstance(policy, Explained)
    assert (policy.name, policy.spec, policy.discipline) == (str(model), str(model), "sjf")
    driver = drive().arrive()
    policy.reset(driver.cluster)
    decision = policy.decide(driver.cluster)
    assert (decision.source, decision.reason) == (Source.POLICY, "policy")
    assert len(decision.observation) == 64
    assert policy.guard.unusable == ""


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def remove_network(folder: Path) -> None:
    (folder / "policy.onnx").unlink()


def corrupt(folder: Path) -> None:
    path = folder / "policy.onnx"
    path.write_bytes(path.read_bytes()[:-50])


def forge(folder: Path) -> None:
    data = bytearray((folder / "policy.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "policy.onnx").write_bytes(data)


def break_card(folder: Path) -> None:
    (folder / "card.json").write_text("{", encoding="utf-8")


def break_envelope(folder: Path) -> None:
    with_card(folder, observation_envelope={"low": [0.0], "high": ["much"]})


@pytest.mark.parametrize(
    "damage", [remove, remove_network, corrupt, forge, break_card, break_envelope]
)
def test_a_model_that_cannot_be_loaded_leaves_the_fallback_in_charge(
    drive: Any, model: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    damage(model)
    switches: list[Switch] = []
    policy, warnings = live_policy(
        str(model), "grace-period:max_idle_time=20", on_switch=switches.append
    )
    (line,) = warnings
    assert line in caplog.text
    assert str(model) in line
    assert line.endswith("grace-period:max_idle_time=20 decides instead")
    assert "\n" not in line
    assert (policy.name, policy.discipline) == (str(model), "fcfs")
    driver = drive().arrive()
    policy.reset(driver.cluster)
    decision = policy.decide(driver.cluster)
    assert (decision.source, decision.reason) == (Source.FALLBACK, "unusable")
    driver.carry_out(decision.action)
    assert driver.cluster.n_booting == 1
    assert policy.guard.state is BreakerState.OPEN
    assert policy.guard.unusable in line
    assert [(s.source, s.reason) for s in switches] == [(Source.FALLBACK, "unusable")]


def test_a_model_for_other_flavors_is_found_at_the_reset(drive: Any, model: Path) -> None:
    schema = json.loads((model / "card.json").read_text(encoding="utf-8"))["schema"]
    with_card(model, schema={**schema, "sha256": "0" * 64})
    policy, warnings = live_policy(str(model))
    assert warnings == ()
    driver = drive().arrive()
    policy.reset(driver.cluster)
    assert "schema 000000000000" in policy.guard.unusable
    assert policy.decide(driver.cluster).source is Source.FALLBACK


def test_a_model_without_an_envelope_serves_with_a_warning(drive: Any, model: Path) -> None:
    with_card(model, observation_envelope=None)
    policy, warnings = live_policy(str(model), clock=FakeClock())
    assert "observation_envelope" in warnings[0]
    assert policy.decide(drive().cluster).source is Source.POLICY


def test_a_rule_is_guarded_too(drive: Any) -> None:
    policy, warnings = live_policy("reserve-k:spares=2", clock=FakeClock())
    assert warnings == ()
    decision = policy.decide(drive().cluster)
    assert (decision.source, len(decision.observation)) == (Source.POLICY, 64)


@pytest.mark.parametrize(
    ("spec", "fallback", "error"),
    [
        ("no-such-rule", "grace-period", UnknownNameError),
        ("", "grace-period", PolicyError),
        ("grace-period:max_idle_time=-1", "grace-period", PolicyError),
        ("grace-period:speed=1", "grace-period", DaCircoError),
        ("grace-period", "no-such-rule", UnknownNameError),
        ("grace-period", "grace-period:max_idle_time=x", PolicyError),
        ("grace-period", "", PolicyError),
        ("grace-period", "models/missing", PolicyError),
        ("grace-period", str(MODEL), PolicyError),
    ],
)
def test_the_operators_errors_are_errors(spec: str, fallback: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        live_policy(spec, fallback)


def test_limits_reach_their_places(drive: Any) -> None:
    policy, _ = live_policy(
        "grace-period",
        guard=GuardLimits(deadline_s=0.2),
        shield=ShieldLimits(spawns_per_minute=7),
    )
    policy.reset(drive().cluster)
    assert policy.guard.limits.deadline_s == 0.2
    assert policy.spawns_per_minute == 7
