"""Drift that matters and drift that does not; shifts of any size; spread; tasks that hang."""

from __future__ import annotations

import json
from dataclasses import replace
from math import nan
from pathlib import Path

import pandas as pd
import pytest

from env.config import Profile, load_profile
from tests.training.simulated_runs import draw_requests, simulated_tables
from training.calibration.observations import Observations, tidy
from training.rollouts.play import ENGINES
from training.validate import DIFFERS, HOLDS, main
from training.validation.consequence import consequences, scaled
from training.validation.drift import HUNG, Drift, StepDrift, Verdict, find_drift
from training.validation.drift_report import drift_json, drift_text
from training.validation.hung import PATIENCE_S, hung_tasks

PROFILE = replace(load_profile("openstack"), image_cached=True)
KUBERNETES = load_profile("kubernetes")
REQUESTS = draw_requests(5)


def with_step(profile: Profile, step: str, ratio: float) -> Profile:
    return replace(profile, timing=scaled(profile.timing, step, ratio))


def observed(profile: Profile, seed: int = 1) -> Observations:
    return tidy(*simulated_tables(profile, REQUESTS, seed=seed))


def step_of(drift: Drift, name: str) -> StepDrift:
    return next(step for step in drift.steps if step.step == name)


@pytest.mark.parametrize("ratio", [0.3, 2.0, 2.5, 3.0, 4.0, 8.0, 20.0])
@pytest.mark.parametrize("profile", [PROFILE, KUBERNETES], ids=["vm", "pod"])
def test_boots_that_shifted_by_any_factor_are_seen(profile: Profile, ratio: float) -> None:
    step = step_of(find_drift(observed(with_step(profile, "boot", ratio)), profile), "boot")
    assert step.verdict is Verdict.DRIFTED
    assert step.ratio == pytest.approx(ratio, rel=0.2)


@pytest.mark.parametrize("ratio", [2.0, 3.0, 5.0])
def test_where_all_boots_may_have_copied_the_image_nobody_can_tell(ratio: float) -> None:
    cold = replace(PROFILE, image_cached=False)
    runs = observed(with_step(PROFILE, "boot", ratio))
    drift = find_drift(runs, cold)
    assert drift.verdict is Verdict.TOO_LITTLE_DATA  # not: it still describes
    assert drift.boots_unclear
    text = drift_text(drift)
    assert f"boots take {drift.copy_ratio:.1f} times as long" in text
    assert drift.copy_ratio == pytest.approx(ratio, rel=0.2)


@pytest.mark.parametrize("ratio", [2.0, 3.0, 5.0])
def test_two_boots_on_nodes_that_hold_the_image_are_enough_to_tell(ratio: float) -> None:
    cold = replace(PROFILE, image_cached=False)
    tasks, workers = simulated_tables(with_step(PROFILE, "boot", ratio), REQUESTS, seed=1)
    late = workers.iloc[:2].assign(worker=["later-1", "later-2"])
    shift = workers["t_available"].max() - late["t_created"].min() + 1.0
    late = late.assign(
        t_created=late["t_created"] + shift, t_available=late["t_available"] + shift, t_stopped=nan
    )
    step = step_of(find_drift(tidy(tasks, pd.concat([workers, late])), cold), "boot")
    assert step.n == len(workers) + 2
    assert step.verdict is Verdict.DRIFTED


@pytest.mark.parametrize(("step", "ratio"), [("transcode", 1.4), ("boot", 3.0)])
def test_what_matters(step: str, ratio: float) -> None:
    runs = observed(with_step(PROFILE, step, ratio))
    drift = find_drift(runs, PROFILE)
    found = consequences(runs, PROFILE, drift.changed, policy="grace-period", preference=0.5)
    assert set(found) == {step}
    assert found[step].matters
    assert found[step].delay_share > 0.005
    assert found[step].cost_ratio > 1.02
    assert drift.matters(found)


def test_who_plays_the_runs_does_not_matter() -> None:
    pytest.importorskip("numba")
    runs = observed(with_step(PROFILE, "boot", 3.0))
    drift = find_drift(runs, PROFILE)
    one, other = (
        consequences(
            runs, PROFILE, drift.changed, policy="reserve-k", preference=0.3, engine=engine
        )
        for engine in ENGINES
    )
    assert one
    assert one == other


def test_what_does_not() -> None:
    runs = observed(with_step(PROFILE, "upload", 1.6))
    drift = find_drift(runs, PROFILE)
    assert drift.verdict is Verdict.DRIFTED
    found = consequences(runs, PROFILE, drift.changed, policy="grace-period", preference=0.5)
    assert set(found) == {"upload"}
    assert 0 < found["upload"].delay_share < 0.01
    assert found["upload"].cost_ratio == pytest.approx(1.0, abs=0.01)
    assert not drift.matters(found)
    text = drift_text(drift, found)
    assert "The change of upload does not matter: +" in text
    assert "the profile will do" in text
    told = drift_json(drift, found)
    assert (told["matters"], told["verdict"]) == (False, "drifted")
    json.dumps(told, allow_nan=False)


def test_a_change_of_which_nothing_can_be_said_matters() -> None:
    drift = find_drift(observed(with_step(PROFILE, "upload", 1.6)), PROFILE)
    assert drift.matters({})
    assert "is not known: no such policy" in drift_text(drift, {}, "no such policy")


def folder_of(folder: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> str:
    folder.mkdir()
    for table, name in zip(tables, ("requests.csv", "workers.csv"), strict=True):
        table.assign(vcpus=1.0).to_csv(folder / name, index=False)
    return str(folder)


@pytest.mark.parametrize(
    ("step", "ratio", "code", "word"),
    [
        ("upload", 1.6, HOLDS, "does not matter"),
        ("transcode", 1.4, DIFFERS, "The change of transcode matters"),
    ],
)
def test_the_exit_code_follows_what_matters(
    step: str,
    ratio: float,
    code: int,
    word: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = folder_of(
        tmp_path / "runs", simulated_tables(with_step(PROFILE, step, ratio), REQUESTS, seed=1)
    )
    given = ["--event-log", runs, "--profile", "openstack", "--policy", "minimize-workers"]
    assert main([*given, "--preference", "0.3"]) == code
    printed = capsys.readouterr().out
    assert word in printed
    assert "under minimize-workers at w = 0.3" in printed
    assert main([*given[:-1], "minimise-worker"]) == 2
    assert "did you mean 'minimise-workers'" in capsys.readouterr().err


def test_two_worlds_in_one_are_seen_by_their_spread() -> None:
    one = simulated_tables(PROFILE, REQUESTS, seed=1, run="vms")
    other = simulated_tables(
        with_step(with_step(PROFILE, "boot", 0.1), "transcode", 0.4), REQUESTS, seed=2, run="pods"
    )
    both = tidy(*(pd.concat(parts) for parts in zip(one, other, strict=True)))
    drift = find_drift(both, PROFILE)
    step = step_of(drift, "transcode")
    assert step.verdict is Verdict.DRIFTED
    assert step.scattered
    assert step.spread > 2 * step.expected_spread
    assert "transcode scatters by" in drift_text(drift)
    assert "more than one kind of worker" in drift_text(drift)
    assert drift.matters({})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("profile", [PROFILE, KUBERNETES], ids=["vm", "pod"])
def test_the_profiles_own_spread_is_none(profile: Profile, seed: int) -> None:
    drift = find_drift(observed(profile, seed), profile)
    assert not any(step.scattered for step in drift.steps)
    assert drift.verdict is Verdict.DESCRIBES


# -- tasks that hang ------------------------------------------------------------------------

LATER = ("t_dwnld_start", "t_tc_start", "t_upld_start", "t_completed")


def hanging(*, passed: int, row: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A run in which one task got so many steps far after it was given to its worker."""
    tasks, workers = simulated_tables(PROFILE, REQUESTS, seed=1)
    tasks.loc[row, list(LATER[passed:])] = nan
    tasks.loc[row, "status"] = "aborted"
    worker = tasks.loc[row, "worker"]
    end = tasks["t_completed"].max() + 300.0
    workers.loc[workers["worker"] == worker, "t_stopped"] = end
    tasks = tasks[
        (tasks["worker"] != worker) | (tasks["t_assigned"] <= tasks.loc[row, "t_assigned"])
    ]
    return tasks, workers


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (0, "was given to it and it never began to download"),
        (1, "was being downloaded and never transcoded"),
        (3, "was transcoded and never uploaded"),
    ],
)
def test_a_task_that_stops_getting_on_is_named(passed: int, words: str) -> None:
    tasks, workers = hanging(passed=passed)
    (hung,) = hung_tasks(tidy(tasks, workers))
    row = tasks.loc[8]
    assert (hung.worker, hung.node, hung.video) == (row["worker"], row["node"], row["video"])
    assert hung.what == words
    assert hung.seconds > PATIENCE_S
    drift = find_drift(tidy(tasks, workers), PROFILE)
    assert drift.hung == (hung,)
    assert f"Hung: run run01, {hung.worker} on {hung.node}: {hung.video} {words}" in drift_text(
        drift
    )


def test_a_task_that_has_just_begun_does_not_hang() -> None:
    tasks, workers = simulated_tables(PROFILE, REQUESTS, seed=1)
    last = tasks["t_assigned"].idxmax()
    tasks.loc[last, list(LATER)] = nan
    tasks.loc[last, "status"] = "aborted"
    cut = float(tasks.loc[last, "t_assigned"]) + 30.0
    tasks = tasks[~(tasks["t_completed"] > cut)]
    workers = workers[workers["t_created"] < cut].assign(t_stopped=nan)
    assert hung_tasks(tidy(tasks, workers)) == []


def test_many_that_hang_are_a_drift() -> None:
    tasks, workers = simulated_tables(PROFILE, REQUESTS, seed=1)
    rows = tasks.index[20:]
    tasks.loc[rows, list(LATER)] = nan
    tasks.loc[rows, "status"] = "aborted"
    workers["t_stopped"] = tasks["t_received"].max() + 3000.0
    drift = find_drift(tidy(tasks, workers), PROFILE)
    assert next(f for f in drift.faults if f.fault == HUNG).verdict is Verdict.DRIFTED
    assert drift.overdue
    assert drift.matters({})


# -- what cannot be judged ------------------------------------------------------------------


def test_more_nodes_than_the_profile_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks, workers = simulated_tables(PROFILE, REQUESTS, seed=1)
    workers["node"] = [f"far{i % 4}" for i in range(len(workers))]
    runs = folder_of(tmp_path / "runs", (tasks, workers))
    for given in (["--runs", runs, "--algorithm", "grace-period"], ["--event-log", runs]):
        assert main([*given, "--profile", "openstack"]) == 2
        assert "ran on 4 nodes (far0, far1, far2, far3), but the profile has 3" in (
            capsys.readouterr().err
        )
