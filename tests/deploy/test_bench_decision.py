from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.bench_decision import PARTS, REST, Timing, main, measure

MODEL = Path(__file__).parents[2] / "models" / "dacirco"


def test_a_timing_is_that_of_its_figures() -> None:
    timing = Timing.of("x", [1.0, 2.0, 3.0, 10.0])
    assert (timing.mean_s, timing.p50_s, timing.max_s) == (4.0, 2.5, 10.0)
    assert 3.0 < timing.p99_s < 10.0


@pytest.mark.skipif(not MODEL.is_dir(), reason="needs the shipped policy")
def test_whole_decisions_and_their_parts_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    figures = measure(str(MODEL), "openstack", 300)
    assert figures.nodes == 3
    assert figures.states >= 300
    assert [timing.part for timing in figures.parts] == [*PARTS, REST]
    for timing in (*figures.parts, figures.whole, figures.wall):
        assert 0 <= timing.p50_s <= timing.p99_s <= timing.max_s
    assert sum(timing.mean_s for timing in figures.parts) >= figures.whole.mean_s * 0.99
    assert main(["--policy", str(MODEL), "--states", "300"]) == 0
    told = capsys.readouterr().out
    assert "whole decision" in told
    assert "target: p99 below 1 ms" in told
    assert main(["--policy", str(MODEL), "--states", "300", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target_s"] == 1e-3


@pytest.mark.parametrize("policy", ["grace-period", "models/no-such-model", "nonsense"])
def test_only_a_frozen_policy_can_be_timed(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--policy", policy, "--states", "10"]) == 2
    assert policy in capsys.readouterr().err
