"""Event logs, CSV exports and two-table folders hold the same runs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deploy.analysis.process_logs import process_log
from env.catalog import Catalog, load_catalog
from env.log_parts import part_path
from env.moments import local_text
from tests.training.event_files import START, iso, write_catalog, write_event_log, write_exports
from tests.training.synthetic_runs import Truth, synthetic_tables
from training.calibration.errors import CalibrationError
from training.calibration.event_log import read_event_log
from training.calibration.observations import (
    CANCELLED,
    COMPLETED,
    ERROR,
    UNFINISHED,
    Observations,
)
from training.calibration.quantities import parse_cpus
from training.calibration.sources import read_observations

TABLES = synthetic_tables(Truth(), runs=1)
MOMENTS = ["t_assigned", "t_dwnld_start", "t_tc_start", "t_upld_start", "t_completed"]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return load_catalog(write_catalog(tmp_path_factory.mktemp("catalog") / "videos.csv"))


def check_same(observations: Observations, run: str) -> None:
    tasks, workers = TABLES
    assert observations.runs == [run]
    got = observations.tasks.set_index("request").loc[tasks["request"]].reset_index()
    for column in ("video", "speed", "worker", "node", "status"):
        assert got[column].tolist() == tasks[column].tolist()
    for column in ("duration_s", "width", "height", "size_bytes", "vcpus"):
        assert got[column].tolist() == tasks[column].tolist()
    assert got["bitrate"].tolist() == (tasks["bitrate"] / 1000).tolist()  # asked in bit/s
    for column in MOMENTS:
        np.testing.assert_allclose(got[column] - START, tasks[column], atol=1e-5)
    got = observations.workers.set_index("worker").loc[workers["worker"]].reset_index()
    assert got["node"].tolist() == workers["node"].tolist()
    for column in ("t_created", "t_available", "t_stopped"):
        np.testing.assert_allclose(got[column] - START, workers[column], atol=1e-5)


@pytest.mark.parametrize("write_time", [repr, iso, local_text])
def test_event_log(tmp_path: Path, catalog: Catalog, write_time: object) -> None:
    path = write_event_log(tmp_path / "tc-events-01.txt", *TABLES, write_time)  # type: ignore[arg-type]
    check_same(read_observations([path], catalog), "tc-events-01")


def test_csv_exports(tmp_path: Path, catalog: Catalog) -> None:
    path = write_exports(tmp_path, "tc-events-02", *TABLES)
    check_same(read_observations([path], catalog), "tc-events-02")


def test_csv_exports_of_today(tmp_path: Path, catalog: Catalog) -> None:
    """With dates and timedeltas, as `dacirco_process_logs` makes them of any log."""
    log = write_event_log(tmp_path / "tc-events-03.txt", *TABLES)
    _, path = process_log(log)
    assert "0 days 00:" in path.read_text(encoding="utf-8")
    check_same(read_observations([path], catalog), "tc-events-03")


def test_a_log_in_parts_is_one_run_however_it_is_named(tmp_path: Path, catalog: Catalog) -> None:
    log = write_event_log(tmp_path / "tc-events-01.txt", *TABLES)
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    parts = [log, *(part_path(log, number) for number in (2, 3))]
    for number, part in enumerate(parts):
        third = slice(number * len(lines) // 3, (number + 1) * len(lines) // 3)
        part.write_text("".join(lines[third]), encoding="utf-8")
    check_same(read_observations([log], catalog), "tc-events-01")
    (tmp_path / "tc-events-01.config.txt").write_text("seed = 0\n", encoding="utf-8")
    check_same(read_observations(sorted(tmp_path.glob("tc-events-*.txt")), catalog), "tc-events-01")
    with parts[1].open("a", encoding="utf-8") as second:
        second.write('{"time": "soon", "code": "EV8", "worker_id": "w"}\n')
    where = rf"part0002\.txt, line {len(lines[len(lines) // 3 : 2 * len(lines) // 3]) + 1}: "
    with pytest.raises(CalibrationError, match=where):
        read_observations([log], catalog)


def test_a_worker_that_never_registered_has_no_size(tmp_path: Path, catalog: Catalog) -> None:
    path = write_exports(tmp_path, "tc-events-02", *TABLES)
    with (tmp_path / "tc-events-02-workers.csv").open("a", encoding="utf-8") as workers:
        workers.write("never,never,,,,,1760000000,\n")
    observations = read_observations([path], catalog)
    never = observations.workers.set_index("worker").loc["never"]
    assert pd.isna(never["vcpus"])
    assert pd.isna(never["t_available"])
    assert len(observations.tasks) == len(TABLES[0])


def test_an_export_without_its_workers(tmp_path: Path, catalog: Catalog) -> None:
    path = write_exports(tmp_path, "tc-events-02", *TABLES)
    (tmp_path / "tc-events-02-workers.csv").unlink()
    observations = read_observations([path], catalog)
    assert set(observations.workers["worker"]) == set(TABLES[0]["worker"])
    assert observations.workers["t_created"].isna().all()
    assert observations.tasks["vcpus"].isna().all()
    told = read_observations([path], catalog, {"default": 2.0})
    assert set(told.tasks["vcpus"]) == set(told.workers["vcpus"]) == {2.0}


def test_an_export_with_times_as_pandas_writes_them(tmp_path: Path, catalog: Catalog) -> None:
    path = write_exports(tmp_path, "tc-events-02", *TABLES)
    table = pd.read_csv(path)
    steps = [name for name in table if name.startswith("time_")]  # type: ignore[attr-defined]
    dates = pd.to_datetime(table[steps].stack(), unit="s", utc=True).unstack()
    for before, after in pairwise(steps):
        table[after.replace("time_", "timediff_")] = dates[after] - dates[before]  # type: ignore[attr-defined]
    table["time_received"] = dates["time_received"].dt.tz_convert("Europe/Paris")
    table.drop(columns=steps[1:]).to_csv(path, index=False)  # the rest follows from these
    assert "0 days 00:00:" in path.read_text(encoding="utf-8")
    assert "+0" in path.read_text(encoding="utf-8")
    check_same(read_observations([path], catalog), "tc-events-02")


def test_two_tables_with_dates_and_any_case(tmp_path: Path, catalog: Catalog) -> None:
    tasks, workers = (table.assign(runner="VM") for table in TABLES)
    for table, name in ((tasks, "requests.csv"), (workers, "workers.csv")):
        times = [column for column in table if column.startswith("t_")]  # type: ignore[attr-defined]
        for column in times:
            table[column] = [
                "" if pd.isna(value) else iso(START + value).replace("+00:00", "")
                for value in table[column]
            ]
        table.to_csv(tmp_path / name, index=False)
    observations = read_observations([tmp_path], catalog).only("vm")
    start = observations.tasks["t_received"].min() - TABLES[0]["t_received"].min()
    for column in MOMENTS:
        np.testing.assert_allclose(observations.tasks[column] - start, TABLES[0][column], atol=1e-4)


def test_two_tables_with_sizes(tmp_path: Path, catalog: Catalog) -> None:
    tasks, workers = TABLES
    tasks.to_csv(tmp_path / "requests.csv", index=False)
    workers.to_csv(tmp_path / "workers.csv", index=False)
    observations = read_observations([tmp_path], catalog)
    assert observations.runs == ["run00"]
    np.testing.assert_allclose(observations.tasks[MOMENTS], tasks[MOMENTS])
    assert observations.only("vm").tasks.equals(observations.tasks)
    with pytest.raises(CalibrationError, match="no task ran on a worker of kind 'pod'"):
        observations.only("pod")


def test_two_tables_with_flavor_keys(tmp_path: Path, catalog: Catalog) -> None:
    tasks, workers = (table.drop(columns="vcpus") for table in TABLES)
    tasks.assign(flavor_key="default").to_csv(tmp_path / "requests.csv", index=False)
    workers.assign(flavor_key="huge").to_csv(tmp_path / "workers.csv", index=False)
    with pytest.raises(CalibrationError, match="size of flavor 'huge' is unknown: pass --vcpus"):
        read_observations([tmp_path], catalog)
    observations = read_observations([tmp_path], catalog, {"huge": 8})
    assert set(observations.tasks["vcpus"]) == {1.0}
    assert set(observations.workers["vcpus"]) == {8.0}


def log_of(tmp_path: Path, *events: str) -> Path:
    path = tmp_path / "tc-events-07.txt"
    path.write_text("\n".join(events) + "\n", encoding="utf-8")
    return path


RECEIVED = (
    '{"time": "5", "code": "EV1", "description": "", "request_id": "r",'
    ' "input_video": "a.mp4", "bitrate": "900", "speed": "fast"}'
)
ASSIGNED = (
    '{"time": "6", "code": "EV3", "description": "", "request_id": "r",'
    ' "worker_id": "w", "task_id": "t"}'
)
CREATED = '{"time": "4", "code": "EV2", "description": "", "name": "w", "worker_id": "w"}'


def test_events_that_did_not_happen_are_empty(tmp_path: Path, catalog: Catalog) -> None:
    observations = read_event_log(log_of(tmp_path, RECEIVED, CREATED, ASSIGNED), catalog)
    task = observations.tasks.iloc[0]
    assert (task["status"], task["worker"], task["node"]) == (UNFINISHED, "w", "")
    assert (task["t_received"], task["t_assigned"]) == (5.0, 6.0)
    assert pd.isna(task["t_completed"])
    worker = observations.workers.iloc[0]
    assert (worker["worker"], worker["node"], worker["t_created"]) == ("w", "", 4.0)
    assert pd.isna(worker["t_available"])


def test_an_error_ends_its_task(tmp_path: Path, catalog: Catalog) -> None:
    failed = '{"time": "9", "code": "EV10", "worker_id": "w", "task_id": "t", "error_message": ""}'
    observations = read_event_log(log_of(tmp_path, RECEIVED, CREATED, ASSIGNED, failed), catalog)
    task = observations.tasks.iloc[0]
    assert (task["status"], task["t_failed"]) == (ERROR, 9.0)


def test_a_cancelled_task_ends_there_and_a_cancelled_request_without_one_is_left_out(
    tmp_path: Path, catalog: Catalog
) -> None:
    cancelled = (
        '{"time": "9", "code": "EV51", "description": "", "request_id": "r", "attempts": "1", '
        '"reason": "", "worker_id": "w", "task_id": "t", "error_message": ""}'
    )
    waiting = RECEIVED.replace('"r"', '"r2"')
    never = (
        '{"time": "9", "code": "EV51", "description": "", "request_id": "r2", "attempts": "0", '
        '"reason": ""}'
    )
    log = log_of(tmp_path, RECEIVED, CREATED, ASSIGNED, waiting, cancelled, never)
    tasks = read_event_log(log, catalog).tasks
    assert tasks[["request", "status", "t_failed"]].to_numpy().tolist() == [["r", CANCELLED, 9.0]]


def test_a_request_that_is_tried_again_has_a_row_for_each_try(
    tmp_path: Path, catalog: Catalog
) -> None:
    again = ASSIGNED.replace('"t"', '"t2"').replace('"w"', '"w2"').replace('"6"', '"8"')
    done = again.replace("EV3", "EV7").replace('"8"', '"20"')
    second = CREATED.replace('"w"', '"w2"')
    log = log_of(tmp_path, RECEIVED, CREATED, ASSIGNED, second, again, done)
    tasks = read_event_log(log, catalog).tasks
    assert tasks["status"].tolist() == [UNFINISHED, COMPLETED]
    assert tasks["worker"].tolist() == ["w", "w2"]


def test_a_request_that_could_not_be_done_is_left_out(tmp_path: Path, catalog: Catalog) -> None:
    refused = RECEIVED.replace('"r"', '"r2"').replace("a.mp4", "../no such")
    failed = (
        '{"time": "1", "code": "EV25", "description": "", "request_id": "r2", "attempts": "0", '
        '"reason": "bad name", "refused": "true"}'
    )
    log = log_of(tmp_path, refused, failed, RECEIVED, CREATED, ASSIGNED)
    tasks = read_event_log(log, catalog).tasks
    assert tasks["request"].tolist() == ["r"]


def test_a_task_of_an_earlier_logs_request_is_kept(tmp_path: Path, catalog: Catalog) -> None:
    other = ASSIGNED.replace('"request_id": "r"', '"request_id": "older"').replace('"t"', '"t9"')
    tasks = read_event_log(log_of(tmp_path, RECEIVED, CREATED, other), catalog).tasks
    assert sorted(tasks["video"]) == ["", "a.mp4"]


def test_a_cut_off_last_line_is_left_out(tmp_path: Path, catalog: Catalog) -> None:
    path = log_of(tmp_path, RECEIVED, CREATED, ASSIGNED)
    whole = read_event_log(path, catalog)
    path.write_text(path.read_text(encoding="utf-8") + '{"time": "7", "co', encoding="utf-8")
    assert read_event_log(path, catalog).tasks.equals(whole.tasks)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (["nonsense", RECEIVED], "line 1: not a JSON object"),
        (["[1]", RECEIVED], "line 1: not a JSON object"),
        ([RECEIVED, '{"time": "6"}'], "line 2: the key 'code' is missing"),
        ([RECEIVED.replace('"5"', '"soon"')], "line 1: .*soon"),
        ([RECEIVED.replace('"900"', '"many"')], "line 1: .*many"),
        ([RECEIVED.replace("a.mp4", "z.mp4")], "lacks the video 'z.mp4': pass --catalog"),
        ([""], "no request in it"),
    ],
)
def test_a_wrong_event_log_is_refused(
    tmp_path: Path, catalog: Catalog, events: list[str], message: str
) -> None:
    with pytest.raises(CalibrationError, match=message):
        read_event_log(log_of(tmp_path, *events), catalog)


def test_a_wrong_export_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    path = write_exports(tmp_path, "tc-events-03", *TABLES)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("time_started", "when"), encoding="utf-8")
    with pytest.raises(CalibrationError, match="column 'time_started' is missing"):
        read_observations([path], catalog)
    path.write_text(text, encoding="utf-8")
    workers = tmp_path / "tc-events-03-workers.csv"
    workers.write_text(workers.read_text(encoding="utf-8").replace(",1,2048", ",-1,2048"))
    with pytest.raises(
        CalibrationError, match=r"line 2, column 'cpus': '-1' is not a number of CPUs"
    ):
        read_observations([path], catalog)


def test_paths_of_no_known_form_are_refused(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(CalibrationError, match="does not exist"):
        read_observations([tmp_path / "none.txt"], catalog)
    with pytest.raises(CalibrationError, match=r"has no requests\.csv"):
        read_observations([tmp_path], catalog)
    (tmp_path / "data.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CalibrationError, match="is no event log"):
        read_observations([tmp_path / "data.json"], catalog)
    with pytest.raises(CalibrationError, match="no measured run"):
        read_observations([], catalog)


@pytest.mark.parametrize(("text", "cpus"), [("2", 2.0), ("0.5", 0.5), ("500m", 0.5)])
def test_cpus(text: str, cpus: float) -> None:
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["", "two", "-1", "0", "nan", "inf"])
def test_no_cpus(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_cpus(text)
