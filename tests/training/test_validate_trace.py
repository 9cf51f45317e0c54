"""One run in figures: what counts, and what a cut leaves of it."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.config import load_profile
from tests.training.simulated_runs import draw_requests, simulated_tables
from training.calibration.observations import tidy
from training.validation.errors import ValidationError
from training.validation.measured_run import MeasuredRun, measured_runs
from training.validation.run_trace import JOB_PARTS, RunTrace

PROFILE = load_profile("openstack")
TABLES = simulated_tables(PROFILE, draw_requests(1, 12))


def make_trace(moments: list[list[float]], workers: list[list[float]]) -> RunTrace:
    """Rows of requests (received, assigned, downloaded, transcoded, ended) and of workers."""
    received, assigned, downloaded, transcoded, ended = np.array(moments, dtype=float).T
    created, ready, stopped = np.array(workers, dtype=float).reshape(-1, 3).T
    return RunTrace(
        received, assigned, assigned, downloaded, transcoded, ended, created, ready, stopped
    )


TRACE = make_trace(
    [[0, 10, 11, 20, 21], [5, 21, 22, 40, 42], [30, nan, nan, nan, nan]],
    [[0.5, 9.5, 45], [6, nan, nan]],
)


def test_parts_of_a_whole_run() -> None:
    np.testing.assert_equal(TRACE.part("delay"), [21, 37, nan])
    np.testing.assert_equal(TRACE.part("wait"), [10, 16, nan])
    np.testing.assert_equal(TRACE.part("boot"), [9, nan])
    np.testing.assert_equal(TRACE.part("transcode"), [9, 18, nan])
    assert (TRACE.n_assigned(), TRACE.n_ended(), TRACE.n_created()) == (2, 2, 2)
    assert TRACE.last_end == 42


def test_parts_up_to_a_cut() -> None:
    np.testing.assert_equal(TRACE.part("delay", 35), [21, 30, 5])
    np.testing.assert_equal(TRACE.part("wait", 20), [10, 15, nan])
    np.testing.assert_equal(TRACE.part("download", 35), [1, 1, nan])
    np.testing.assert_equal(TRACE.part("transcode", 35), [9, nan, nan])
    np.testing.assert_equal(TRACE.part("upload", 21), [1, nan, nan])
    assert (TRACE.n_assigned(20), TRACE.n_ended(35), TRACE.n_created(1)) == (1, 1, 1)


def test_workers_over_time() -> None:
    times = np.array([0.0, 0.5, 6.0, 44.9, 45.0])
    assert TRACE.workers_at(times).tolist() == [0, 1, 2, 2, 1]


def test_a_run_in_which_nothing_ended() -> None:
    trace = make_trace([[0, nan, nan, nan, nan]], [])
    assert np.isnan(trace.last_end)
    np.testing.assert_equal(trace.part("delay", 7), [7])
    assert len(trace.part("boot")) == 0


DURATIONS = st.lists(st.floats(0.1, 100), min_size=5, max_size=5)


@given(st.lists(DURATIONS, min_size=1, max_size=8), st.floats(0, 400))
def test_cutting(durations: list[list[float]], until: float) -> None:
    trace = make_trace(np.cumsum(durations, axis=1).tolist(), [])
    known = trace.received <= until
    delay, wait = trace.part("delay", until), trace.part("wait", until)
    assert (np.isfinite(delay) == known).all()
    assert (delay[known] <= until - trace.received[known]).all()
    assert (wait[known] <= delay[known]).all()
    assert trace.n_ended(until) <= trace.n_assigned(until) <= known.sum()
    for name in JOB_PARTS:
        whole, cut = trace.part(name), trace.part(name, until)
        assert (cut[np.isfinite(cut)] <= whole[np.isfinite(cut)]).all()
        np.testing.assert_equal(trace.part(name, inf), whole)


def only_run(tasks: pd.DataFrame, workers: pd.DataFrame) -> MeasuredRun:
    (run,) = measured_runs(tidy(tasks, workers))
    return run


def test_a_complete_run() -> None:
    tasks, workers = TABLES
    run = only_run(tasks.sample(frac=1, random_state=0), workers)
    assert (run.name, run.runner, run.algorithm, run.max_workers) == (
        "run01",
        "vm",
        "grace-period",
        5,
    )
    assert run.complete
    assert run.end == tasks["t_completed"].max()
    assert (run.flavor_key, run.vcpus, run.sizes) == ("", 1.0, (("", 1.0),))
    assert [r.arrival_s for r in run.requests] == sorted(tasks["t_received"])
    assert [r.movie for r in run.requests] == tasks["video"].tolist()
    assert run.catalog[tasks["video"][0]].size_bytes == tasks["size_bytes"][0]
    np.testing.assert_allclose(run.trace.part("delay"), tasks["t_completed"] - tasks["t_received"])
    assert len(run.worker_names) == len(run.worker_nodes) == len(workers)


def test_times_count_from_the_first_request() -> None:
    tasks, workers = (table.copy() for table in TABLES)
    for table in (tasks, workers):
        table[[c for c in table if str(c).startswith("t_")]] += 1.76e9
    moved, run = only_run(tasks, workers), only_run(*TABLES)
    np.testing.assert_allclose(moved.trace.ended, run.trace.ended, atol=1e-5)
    assert moved.requests[0].arrival_s == 0.0


def test_a_stopped_run() -> None:
    tasks, workers = (table.copy() for table in TABLES)
    tasks.loc[3, ["t_upld_start", "t_completed"]] = nan
    tasks.loc[3, "status"] = "aborted"
    run = only_run(tasks, workers)
    assert not run.complete
    moments = [c for c in tasks if str(c).startswith("t_")]
    assert run.until == run.end == max(tasks[moments].max().max(), workers["t_stopped"].max())


def test_errors_end_a_request() -> None:
    tasks, workers = (table.copy() for table in TABLES)
    tasks.loc[3, ["t_completed", "t_failed", "status"]] = [nan, 999.0, "error"]
    run = only_run(tasks, workers)
    assert run.complete
    assert run.trace.ended[3] == 999.0


def test_of_several_tasks_for_a_request_the_last_counts() -> None:
    tasks, workers = TABLES
    lost = tasks.iloc[[2]].assign(t_completed=nan, t_upld_start=nan, status="unfinished")
    lost["t_assigned"] -= 0.5
    run = only_run(pd.concat([lost, tasks], ignore_index=True), workers)
    assert len(run.requests) == len(tasks)
    assert run.complete


def test_runs_are_told_apart_and_empty_ones_are_left_out() -> None:
    tasks, workers = TABLES
    both = tidy(pd.concat([tasks, tasks.assign(run="run02")]), workers.assign(run="run03"))
    assert [run.name for run in measured_runs(both)] == ["run01", "run02"]
    with pytest.raises(ValidationError, match="there is nothing to replay"):
        measured_runs(tidy(tasks.iloc[:0], workers))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("speed", "slow", "speed 'slow' is none of ultrafast, fast"),
        ("width", nan, "length or frame size of video .* is missing"),
    ],
)
def test_what_cannot_be_replayed(column: str, value: object, message: str) -> None:
    tasks, workers = TABLES
    with pytest.raises(ValidationError, match=f"run01: {message}"):
        only_run(tasks.assign(**{column: value}), workers)


def test_an_unknown_bitrate_is_a_typical_one() -> None:
    tasks, workers = TABLES
    assert only_run(tasks.assign(bitrate=nan), workers).requests[0].bitrate_kbps == 3500
