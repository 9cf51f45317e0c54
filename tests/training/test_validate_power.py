"""The command that counts how often the drift check is right."""

from __future__ import annotations

import pytest

from env.catalog import load_catalog
from env.config import load_profile
from training.validation import power
from training.validation.drift import Verdict

PROFILE = load_profile("openstack")
CATALOG = power.sized(load_catalog("bbb"), PROFILE)


def test_every_step_of_a_log_can_be_judged() -> None:
    drift = power.judged(PROFILE, power.CHANGES[power.UNCHANGED], CATALOG, 0)
    assert drift.verdict is Verdict.DESCRIBES
    assert {step.verdict for step in drift.steps} == {Verdict.DESCRIBES}


def test_what_changes_is_what_is_found() -> None:
    drift = power.judged(PROFILE, power.CHANGES["boot x 1.5"], CATALOG, 0)
    assert drift.recalibrate == ["timing.boot"]


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    two = {name: power.CHANGES[name] for name in (power.UNCHANGED, "upload x 1.5")}
    monkeypatch.setattr(power, "CHANGES", two)
    assert power.main(["--profiles", "openstack", "--logs", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "| what changed | openstack |"
    assert rows[2:] == ["| nothing (false alarms) | 0 of 5 |", "| upload x 1.5 | 1 of 1 |"]
    assert power.main(["--profiles", "opnstack"]) == 2
    assert "did you mean 'openstack'" in capsys.readouterr().err
