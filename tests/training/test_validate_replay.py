"""Replays of runs whose truth is known: the simulator's own."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isnan, log, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.registry import make_policy
from env.config import Profile, load_profile
from env.errors import DaCircoError, UnknownNameError
from env.simulator import Simulator
from env.timeline import Timeline
from tests.training.event_files import write_catalog, write_event_log, write_exports
from tests.training.simulated_runs import CATALOG, draw_requests, simulated_tables
from training.calibration.observations import tidy
from training.validate import main
from training.validation.algorithms import replay_policy
from training.validation.anomalies import anomalies
from training.validation.comparison import Comparison, compare, distribution_test
from training.validation.errors import ValidationError
from training.validation.measured_flavor import node_indices, replay_cluster
from training.validation.measured_run import MeasuredRun, measured_runs
from training.validation.replay import Replay, replay
from training.validation.replay_report import (
    as_json,
    headline,
    markdown_report,
    remarks,
    result_word,
    verdict,
)

PROFILE = replace(load_profile("openstack"), image_cached=True)
REQUESTS = draw_requests(1, 40, gap_s=12.0)
TABLES = simulated_tables(PROFILE, REQUESTS, seed=777)
SEEDS = 25


def slower(profile: Profile, factor: float) -> Profile:
    law = profile.timing.transcode
    slow = replace(law, intercept=law.intercept + log(factor))
    return replace(profile, timing=replace(profile.timing, transcode=slow))


def only_run(tasks: pd.DataFrame, workers: pd.DataFrame) -> MeasuredRun:
    (run,) = measured_runs(tidy(tasks, workers))
    return run


def cut_tables(until: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What had been recorded when everything was stopped."""
    tables = []
    for whole in TABLES:
        table = whole.copy()
        for column in [c for c in table if str(c).startswith("t_")]:
            table.loc[table[column] > until, column] = nan
        tables.append(table)
    tasks, workers = tables
    workers = workers[workers["t_created"].notna()].fillna({"t_stopped": until})
    tasks.loc[tasks["t_completed"].isna(), "status"] = "aborted"
    return tasks[tasks["t_received"].notna()], workers


@pytest.fixture(scope="module")
def own() -> Comparison:
    """A run of the profile, replayed with the profile."""
    return compare(
        replay(only_run(*TABLES), PROFILE, seeds=SEEDS, algorithm="grace-period:max_idle_time=10")
    )


def test_a_run_of_the_simulator_is_found_true(own: Comparison) -> None:
    assert own.passed
    assert own.replay.policy == "grace-period:max_idle_time=10,flavor=s10.tiny,max_workers=5"
    assert own.replay.same_algorithm
    assert own.anomalies == ()
    assert own.makespan is not None
    for part in own.parts.values():
        assert part.mean.within(0.12)
        assert part.p_value > 0.01
    assert own.ended.measured == own.ended.simulated == len(REQUESTS)
    assert own.workers.inside > 0.9


def test_the_same_seed_replays_the_same_run(own: Comparison) -> None:
    run = own.replay.run
    idle = "grace-period:max_idle_time=10"
    again = replay(run, PROFILE, seeds=1, algorithm=idle).simulated[0]
    tasks, _ = simulated_tables(PROFILE, REQUESTS, seed=0)
    np.testing.assert_allclose(again.ended, tasks["t_completed"])
    assert replay(run, PROFILE, seeds=2).simulated[0].ended.tolist() != again.ended.tolist()


def test_a_wrong_profile_is_found_out() -> None:
    comparison = compare(replay(only_run(*TABLES), slower(PROFILE, 1.4), seeds=SEEDS))
    assert comparison.passed is False
    transcode = comparison.parts["transcode"]
    assert transcode.mean.ratio == pytest.approx(1 / 1.4, abs=0.06)
    assert transcode.p_value == 1 / (1 + SEEDS)
    assert "0 of 1 complete runs" in headline([comparison])
    assert verdict([comparison]) is False


def test_a_stopped_run_is_compared_up_to_its_stop() -> None:
    until = 150.0
    run = only_run(*cut_tables(until))
    comparison = compare(replay(run, PROFILE, seeds=SEEDS))
    assert run.until == until
    assert (comparison.passed, comparison.makespan) == (None, None)
    assert comparison.ended.inside
    assert comparison.assigned.inside
    assert comparison.parts["delay"].mean.within(0.1)
    assert comparison.parts["transcode"].p_value > 0.05
    assert all(trace.part("delay", until).max() <= until for trace in comparison.replay.simulated)
    assert "is complete, so none can be judged" in headline([comparison])


def test_idle_workers_are_counted_to_the_end_of_the_measured_run() -> None:
    """Simulations that end before the measured run still show what workers do until then."""
    tasks, workers = (table.copy() for table in TABLES)
    last = tasks["t_completed"].idxmax()
    tasks.loc[last, "t_completed"] += 500.0
    result = compare(replay(only_run(tasks, workers), PROFILE, seeds=3))
    assert result.workers.times[-1] == tasks.loc[last, "t_completed"]
    assert result.workers.simulated[-1] == 0


def test_workers_land_where_the_measured_ones_did() -> None:
    tasks, workers = TABLES
    crowded = only_run(tasks, workers.assign(node="compute2"))
    assert set(node_indices(crowded, PROFILE.cluster)) == {1}
    together = replay(crowded, PROFILE, seeds=3)
    apart = replay(crowded, PROFILE, seeds=3, placing="profile")
    for one, other in zip(together.simulated, apart.simulated, strict=True):
        # Five workers on one node slow one another; spread over three they do not.
        assert np.nanmean(one.part("transcode")) > 1.03 * np.nanmean(other.part("transcode"))


def test_a_full_node_leaves_the_choice_to_the_placement() -> None:
    timeline = Timeline()
    simulator = Simulator(
        PROFILE, [], CATALOG, limit_s=60.0, timeline=timeline, worker_nodes=[1] * 7
    )
    simulator.run(make_policy("reserve-k:flavor=s10.tiny,spares=9"))
    landed = [lane.node for lane in timeline.lanes]
    assert landed[:6] == [1] * 6
    assert sorted(landed[6:]) == [0, 0, 2]


def test_nodes_that_are_not_the_profiles_are_matched_in_order() -> None:
    tasks, workers = TABLES
    names = {"compute1": "k-1", "compute2": "k-2", "compute3": "k-3"}
    run = only_run(tasks, workers.assign(node=workers["node"].map(names)))
    assert node_indices(run, PROFILE.cluster) == node_indices(only_run(*TABLES), PROFILE.cluster)
    workers = workers.assign(node=[*workers["node"][:2], "", *workers["node"][3:]])
    assert len(node_indices(only_run(tasks, workers), PROFILE.cluster)) == 2


def test_a_first_boot_that_copied_the_image() -> None:
    cold = replace(PROFILE, image_cached=False)
    run = only_run(*simulated_tables(cold, REQUESTS[:5]))
    result = replay(run, PROFILE, seeds=5)
    assert not result.profile.image_cached
    assert any("copied the image" in note for note in result.notes)
    assert min(np.nanmax(trace.part("boot")) for trace in result.simulated) > 40
    assert replay(only_run(*TABLES), cold, seeds=1).profile.image_cached


def test_workers_created_before_the_first_request() -> None:
    tasks, workers = (table.copy() for table in TABLES)
    workers.loc[0, ["t_created", "t_available"]] = [-30.0, -13.0]
    result = replay(only_run(tasks, workers), PROFILE, seeds=2, algorithm="reserve-k")
    assert any("31 s before the first request" in note for note in result.notes)
    # The policy is first asked at a tick.
    early = -30.0 + PROFILE.tick_s
    assert all(trace.created[0] == pytest.approx(early) for trace in result.simulated)


def run_with(**changes: Any) -> MeasuredRun:
    return replace(only_run(*TABLES), **changes)


@pytest.mark.parametrize(
    ("algorithm", "spec", "note"),
    [
        ("minimize_workers", "minimize-workers:flavor=f,max_workers=5", ""),
        ("grace-period", "grace-period:flavor=f,max_workers=5", ""),
        (
            "adaptive_grace_period",
            "adaptive-grace-period:flavor=f,max_workers=5",
            "",
        ),
        (
            "Scheduler_With_Reserve",
            "scheduler-with-reserve:flavor=f,max_workers=5",
            "",
        ),
        (
            "priority_based_dynamic",
            "priority-based-dynamic:small=f,large=f,max_workers=5",
            "",
        ),
    ],
)
def test_the_algorithm_of_the_run(algorithm: str, spec: str, note: str) -> None:
    policy = replay_policy(run_with(algorithm=algorithm), None, "f")
    assert (policy.spec, policy.note) == (spec, note)
    assert policy.takes_flavor


def test_an_algorithm_that_is_not_known_is_refused() -> None:
    run = run_with(algorithm="adaptive_grace_perod")
    with pytest.raises(ValidationError, match=r"did you mean 'adaptive-grace-period'.*--algorithm"):
        replay_policy(run, None, "f")
    assert replay_policy(run, "grace-period", "f").note  # but may be replayed with another
    with pytest.raises(ValidationError, match="run01: unknown policy 'models/dacirco'"):
        replay_policy(run_with(algorithm="models/dacirco"), None, "f")


def test_an_algorithm_that_is_asked_for() -> None:
    run = run_with(algorithm="")
    with pytest.raises(ValidationError, match="does not say which algorithm it used: pass --algo"):
        replay_policy(run, None, "f")
    policy = replay_policy(run, "grace-period:max_idle_time=5,max_workers=2", "f")
    assert policy.spec == "grace-period:max_idle_time=5,max_workers=2,flavor=f"
    several = replay_policy(run, "adaptive-flavor", "f")
    assert not several.takes_flavor
    assert replay_policy(run_with(), "grace_period", "f").note == ""
    note = "grace-period is replayed with minimize-workers, as asked"
    assert replay_policy(run_with(), "minimize-workers", "f").note == note
    with pytest.raises(UnknownNameError, match="did you mean 'grace-period'"):
        replay_policy(run, "grace-perod", "f")


def sized(vcpus: float) -> MeasuredRun:
    """The run, with all its workers of this size."""
    size = ("", vcpus)
    return run_with(vcpus=vcpus, sizes=(size,), worker_sizes=(size,) * 5)


def test_the_size_of_the_workers() -> None:
    cluster = load_profile("openstack").cluster
    assert replay_cluster(run_with(), cluster).flavor == "s10.tiny"
    assert replay_cluster(run_with(), cluster, "s10.medium").flavor == "s10.medium"
    assert replay_cluster(sized(2.0), cluster).flavor == "s10.small"
    unknown = replay_cluster(run_with(vcpus=nan, sizes=()), cluster)
    assert unknown.flavor == "s10.tiny"
    assert "no worker ran a task" in unknown.notes[0]
    made = replay_cluster(sized(3.0), cluster)
    assert [(f.name, f.vcpus) for f in made.cluster.flavors] == [("measured", 3)]
    with pytest.raises(UnknownNameError, match="flavor"):
        replay_cluster(run_with(), cluster, "s10.tyni")


def test_pods_use_more_than_they_reserve() -> None:
    cluster = load_profile("kubernetes").cluster
    pods = replay_cluster(run_with(runner="pod", flavor_key="default", vcpus=4.0), cluster)
    (flavor,) = pods.cluster.flavors
    assert (flavor.name, flavor.vcpus, pods.cluster.vcpu_overcommit) == ("pod-default", 4, 4.0)
    assert "request 1, limit 4" in pods.notes[0]


def test_a_few_requests_are_too_few_to_say_that_a_run_holds() -> None:
    few = compare(replay(only_run(*simulated_tables(PROFILE, REQUESTS[:1])), PROFILE, seeds=2))
    assert few.replay.run.complete
    assert few.passed is None
    assert result_word(few) == "too few requests"
    assert verdict([few]) is None


def test_a_task_that_never_began_to_download_is_named() -> None:
    tasks, workers = (table.copy() for table in TABLES)
    steps = ["t_dwnld_start", "t_tc_start", "t_upld_start", "t_completed", "status"]
    tasks.loc[3, steps] = [nan] * 4 + ["aborted"]
    workers["t_stopped"] = tasks["t_received"].max() + 1084.0
    worker, node, video = (tasks.loc[3, name] for name in ("worker", "node", "video"))
    words = f"{worker} on {node}: {video} was given to it and it never began to download ("
    assert f"tasks stopped getting on: {words}" in found(tasks, workers)


@pytest.mark.parametrize("part", ["transcode", "wait"])
def test_a_miss_is_explained(own: Comparison, part: str) -> None:
    tasks, workers = (table.copy() for table in TABLES)
    late = ["t_upld_start", "t_completed"]
    if part == "wait":
        late = ["t_assigned", "t_dwnld_start", "t_tc_start", *late]
    tasks[late] += 60.0
    missed = compare(replay(only_run(tasks, workers), PROFILE, seeds=3))
    assert missed.passed is False
    (line,) = [line for line in remarks(missed) if line.startswith("missed: ")]
    assert f"the {part} by +" in line
    if part == "transcode":
        assert "transcodes by height: " in line
    assert not any(line.startswith("missed: ") for line in remarks(own))


def test_an_unknown_limit_is_read_off_the_run() -> None:
    result = replay(run_with(max_workers=None), PROFILE, seeds=1)
    assert "max_workers=5" in result.policy
    assert any("limit is not recorded" in note for note in result.notes)


def found(tasks: pd.DataFrame, workers: pd.DataFrame) -> str:
    return " ".join(anomalies(replay(only_run(tasks, workers), PROFILE, seeds=5)))


def test_transcodes_that_never_end_are_named() -> None:
    tasks, workers = (table.copy() for table in TABLES)
    tasks.loc[0, ["t_upld_start", "t_completed", "status"]] = [nan, nan, "aborted"]
    place = f"{tasks['worker'][0]} on {tasks['node'][0]}: {tasks['video'][0]}"
    assert f"a transcode should have ended before the stop ({place} ran for" in found(
        tasks, workers
    )


def test_a_worker_that_is_idle_while_requests_wait_is_named() -> None:
    tasks, workers = (table.copy() for table in TABLES)
    last = tasks["t_assigned"].idxmax()
    name = tasks.loc[last, "worker"]
    later = ["t_assigned", "t_dwnld_start", "t_tc_start", "t_upld_start", "t_completed"]
    tasks.loc[last, later] += 60.0
    workers["t_stopped"] = nan
    assert f"{name} for 60 s" in found(tasks, workers)


def test_fewer_workers_than_the_limit_are_noticed() -> None:
    tasks, workers = TABLES
    text = found(tasks.assign(max_workers=9), workers)
    assert "requests waited with at most 5 of 9 workers there and none booting for them" in text


def test_the_distribution_test_finds_what_differs() -> None:
    rng = np.random.default_rng(3)
    samples = [rng.lognormal(0, 1, 30) for _ in range(200)]
    ranks = [
        distribution_test(samples[i], samples[:i] + samples[i + 1 :])[1] for i in range(0, 200, 5)
    ]
    assert 0.35 < np.mean(ranks) < 0.65
    distance, p_value = distribution_test(rng.lognormal(1, 1, 30), samples)
    assert p_value < 0.01
    assert 0.2 < distance < 0.7
    assert all(isnan(value) for value in distribution_test(np.zeros(0), samples))
    assert all(isnan(value) for value in distribution_test(np.ones(3), [np.zeros(0)]))


def test_the_page_and_the_figures(own: Comparison) -> None:
    page = markdown_report([own])
    assert "1 of 1 complete runs lie within 12% in the mean and 15%" in page
    assert "![run01](run01.png)" in page
    rows = [line for line in page.splitlines() if line.startswith("| delay mean (s)")]
    assert len(rows) == 1
    figures = as_json([own])
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    mean = figures["runs"]["run01"]["parts"]["delay"]["mean_s"]
    assert mean["measured"] == pytest.approx(
        (TABLES[0]["t_completed"] - TABLES[0]["t_received"]).mean()
    )


def test_a_run_in_which_nothing_happened() -> None:
    tasks, _ = cut_tables(5.0)
    later = [c for c in tasks if str(c).startswith("t_") and c != "t_received"]
    workers = pd.DataFrame(columns=TABLES[1].columns)
    comparison = compare(
        replay(
            only_run(tasks.assign(worker="", **dict.fromkeys(later, nan)), workers),
            PROFILE,
            seeds=2,
        )
    )
    assert comparison.ended.measured == 0
    json.dumps(as_json([comparison]), allow_nan=False)
    assert "| transcode" not in markdown_report([comparison])


def folder_of(path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> Path:
    path.mkdir()
    tables[0].to_csv(path / "requests.csv", index=False)
    tables[1].to_csv(path / "workers.csv", index=False)
    return path


def profile_file(path: Path, profile: Profile) -> str:
    """A shipped profile's file with another intercept of the transcoding law."""
    source = Path(__file__).resolve().parents[2] / "env" / "profiles" / f"{profile.name}.toml"
    old = load_profile(profile.name).timing.transcode.intercept
    text = source.read_text(encoding="utf-8")
    new = f"intercept = {profile.timing.transcode.intercept}"
    assert f"intercept = {old}" in text
    path.write_text(text.replace(f"intercept = {old}", new), encoding="utf-8")
    return str(path)


def test_the_command_on_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = str(folder_of(tmp_path / "runs", TABLES))
    report = tmp_path / "report"
    assert main(["--runs", runs, "--seeds", "20", "--report", str(report), "--details"]) == 0
    printed = capsys.readouterr().out
    assert "holds" in printed
    assert "transcode p95 (s)" in printed
    assert sorted(path.name for path in report.iterdir()) == [
        "replay.json",
        "replay.md",
        "run01.png",
    ]
    assert (report / "run01.png").read_bytes().startswith(b"\x89PNG")

    wrong = profile_file(tmp_path / "wrong.toml", slower(PROFILE, 1.5))
    assert main(["--runs", runs, "--seeds", "5", "--profile", wrong, "--json"]) == 1
    figures = json.loads(capsys.readouterr().out)
    assert figures["passed"] is False
    assert figures == json.loads(json.dumps(figures))

    assert main(["--runs", runs, "--seeds", "5", "--until", "100"]) == 3
    assert "stopped early" in capsys.readouterr().out


def test_the_command_on_logs_and_exports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = str(write_catalog(tmp_path / "videos.csv"))
    log_file = str(write_event_log(tmp_path / "tc-events-01.txt", *TABLES))
    export = str(write_exports(tmp_path, "tc-events-02", *TABLES))
    given = ["--catalog", catalog, "--profile", "openstack", "--seeds", "15"]
    named = [*given, "--algorithm", "grace-period:max_idle_time=10", "--max-workers", "5"]
    assert main(["--runs", export, *named]) == 2  # an export does not tell the unit
    assert "tc-events-02: time grows as the asked bitrate" in capsys.readouterr().err
    named += ["--bitrate-unit", "kbit"]
    assert main(["--runs", log_file, export, *named, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert set(runs) == {"tc-events-01", "tc-events-02"}
    one, other = (run["parts"]["delay"]["mean_s"] for run in runs.values())
    assert one["measured"] == pytest.approx(other["measured"], abs=1e-4)
    assert main(["--runs", log_file, *given]) == 2
    assert "does not say which algorithm" in capsys.readouterr().err
    assert main(["--runs", log_file, "--catalog", catalog, "--algorithm", "grace-period"]) == 2
    assert "does not say what kind of workers it had" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "nowhere"], "nowhere does not exist"),
        (["--runs", "runs", "--only", "run9"], "there is no run 'run9': known: run01"),
        (["--runs", "runs", "--runner", "pod"], "no task ran on a worker of kind 'pod'"),
        (["--runs", "runs", "--profile", "opnstack"], "did you mean 'openstack'?"),
        (["--runs", "runs", "--algorithm", "grace"], "unknown policy 'grace'"),
        (["--runs", "runs", "--flavor", "huge"], "unknown flavor 'huge'"),
        (["--runs", "runs", "--seeds", "0"], "'0' is not a whole number of 1 or more"),
        (["--runs", "runs", "--until", "-3"], "'-3' is not a number of seconds above 0"),
        (["--runs", "runs", "--vcpus", "big", "x"], "'x' is not a number of vCPUs above 0"),
        (["--runs", "runs", "--report", "file/x"], "cannot make file/x"),
        (["--runs", "runs", "--event-log", "x"], "not allowed with argument"),
        ([], "one of the arguments --runs --event-log is required"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "runs", cut_tables(40.0))
    Path("file").write_text("", encoding="utf-8")
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""


def test_errors_are_the_users_to_put_right() -> None:
    assert issubclass(ValidationError, DaCircoError)


def test_replays_hold_what_was_measured(own: Comparison) -> None:
    result: Replay = own.replay
    assert result.run.trace.n_ended() == len(REQUESTS)
    assert len(result.simulated) == SEEDS
