"""Replays of the measured runs of the real system, where a checkout has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from env.catalog import load_catalog
from env.config import load_profile
from training.calibration.observations import Observations
from training.calibration.sources import read_observations
from training.validation.comparison import Comparison, compare
from training.validation.drift import Verdict, find_drift
from training.validation.measured_run import measured_runs
from training.validation.replay import BY_RUNNER, replay

TRACES = Path(__file__).resolve().parents[3] / "shared" / "traces"

pytestmark = pytest.mark.skipif(not TRACES.is_dir(), reason="no measured runs beside the checkout")


@pytest.fixture(scope="module")
def observations() -> Observations:
    return read_observations([TRACES], load_catalog())


@pytest.fixture(scope="module")
def replays(observations: Observations) -> dict[str, Comparison]:
    return {
        run.name: compare(replay(run, load_profile(BY_RUNNER[run.runner]), seeds=40))
        for run in measured_runs(observations)
    }


def test_complete_runs_are_replayed_within_the_limits(replays: dict[str, Comparison]) -> None:
    judged = {name: one.passed for name, one in replays.items() if one.passed is not None}
    assert judged == {"run02": True, "run05": True}
    assert replays["run05"].replay.same_algorithm
    assert replays["run02"].replay.same_algorithm


def test_stopped_runs_got_as_far_as_simulated_unless_something_was_odd(
    replays: dict[str, Comparison],
) -> None:
    odd = {name for name, one in replays.items() if one.anomalies}
    assert odd == {"run02", "run04", "run07", "run11", "run13", "run15", "run17"}
    for name, one in replays.items():
        if name not in odd:
            assert one.ended.inside, name
            assert one.parts["delay"].mean.within(0.05), name


def test_the_profiles_still_describe_what_they_were_fitted_to(observations: Observations) -> None:
    for runner, profile in BY_RUNNER.items():
        for run in observations.only(runner).runs:
            drift = find_drift(observations.of([run]), load_profile(profile))
            assert drift.recalibrate == [], run
            assert drift.overdue == (run == "run07"), run
        whole = find_drift(observations.only(runner), load_profile(profile))
        assert {step.verdict for step in whole.steps} == {Verdict.DESCRIBES}
