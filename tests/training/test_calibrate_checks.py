"""Measured tables that cannot be right are refused with their place; times of every form."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from env.catalog import Catalog, Movie, load_catalog
from tests.training.event_files import START, iso, write_event_log
from tests.training.synthetic_runs import VIDEOS as FILMS
from tests.training.synthetic_runs import Truth, synthetic_tables
from training.calibration.cells import parse_seconds
from training.calibration.errors import CalibrationError
from training.calibration.observations import COMPLETED, UNFINISHED, Observations
from training.calibration.sources import read_observations

TASKS, WORKERS = synthetic_tables(Truth(), runs=1)
CATALOG = load_catalog("bbb")
VIDEOS = Catalog("videos", [Movie(*film) for film in FILMS])


def local(*when: int) -> float:
    return datetime(*when).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", 12.5),
        (" -3 ", -3.0),
        ("2026-11-30 14:30:29", local(2026, 11, 30, 14, 30, 29)),
        ("2026-11-30T14:30:29", local(2026, 11, 30, 14, 30, 29)),
        ("2026-11-30 14:30:29+01:00", datetime(2026, 11, 30, 13, 30, 29, tzinfo=UTC).timestamp()),
        ("0 days 00:00:04.737676", 4.737676),
        ("1 days 02:00:00", 93_600.0),
        ("2 days", 172_800.0),
        ("-1 days +23:59:59.5", -0.5),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("text", ["", " ", "NaT", "None"])
def test_what_did_not_happen(text: str) -> None:
    assert np.isnan(parse_seconds(text))


@pytest.mark.parametrize("text", ["soon", "1e300", "inf", "nan", "12,5", "two days", "1 x"])
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time: give seconds, a date like"):
        parse_seconds(text)


def read(folder: Path, tasks: pd.DataFrame, workers: pd.DataFrame, **csv: Any) -> Observations:
    tasks.to_csv(folder / "requests.csv", index=False, **csv)
    workers.to_csv(folder / "workers.csv", index=False, **csv)
    return read_observations([folder], CATALOG)


def changed(table: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    result = table.astype({column: object})
    result.loc[row, column] = value
    return result


@pytest.mark.parametrize(
    ("tasks", "workers", "message"),
    [
        (
            changed(TASKS, 3, "t_tc_start", "soon"),
            WORKERS,
            r"requests\.csv, line 5, column 't_tc_start': 'soon' is not a time",
        ),
        (
            TASKS,
            changed(WORKERS, 0, "t_created", "early"),
            r"workers\.csv, line 2, column 't_created': 'early' is not a time",
        ),
        (
            changed(TASKS, 2, "duration_s", "long"),
            WORKERS,
            r"requests\.csv, line 4, column 'duration_s': 'long' is not a number",
        ),
        (
            changed(TASKS, 1, "t_upld_start", TASKS["t_tc_start"][1] - 9.0),
            WORKERS,
            r"requests\.csv, line 3, column 't_upld_start': 9\.000 s before t_tc_start",
        ),
        (
            changed(TASKS, 1, "t_completed", TASKS["t_received"][1] - 1.0),
            WORKERS,
            r"line 3, column 't_completed': .* a step cannot end before it begins",
        ),
        (
            TASKS,
            changed(WORKERS, 1, "t_available", WORKERS["t_created"][1] - 2.0),
            r"workers\.csv, line 3, column 't_available': 2\.000 s before t_created",
        ),
        (
            pd.concat([TASKS, TASKS.iloc[[4]]]),
            WORKERS,
            rf"requests\.csv, line {len(TASKS) + 2}: says the same as line 6: remove one",
        ),
        (
            TASKS.loc[TASKS.index.repeat(2)],
            WORKERS,
            r"requests\.csv, line 3: says the same as line 2",
        ),
        (
            TASKS,
            pd.concat([WORKERS, WORKERS.iloc[[0]].assign(t_stopped=1e6)]),
            r"workers\.csv, line \d+, column 'worker': worker '.*' of run 'run00' is described tw",
        ),
        (
            changed(TASKS, 0, "worker", "ghost"),
            WORKERS,
            r"requests\.csv, line 2, column 'worker': no row describes worker 'ghost' of run",
        ),
        (
            changed(TASKS, 0, "bitrate", 3_000_000),
            WORKERS,
            r"line 2, column 'bitrate': 3e\+06 kbit/s is far outside 500 to 8000: give kbit/s",
        ),
    ],
)
def test_tables_that_cannot_be(
    tmp_path: Path, tasks: pd.DataFrame, workers: pd.DataFrame, message: str
) -> None:
    with pytest.raises(CalibrationError, match=message):
        read(tmp_path, tasks, workers)


def test_semicolons_and_ragged_rows(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="line 1: the columns are separated by semicolons"):
        read(tmp_path, TASKS, WORKERS, sep=";")
    read(tmp_path, TASKS, WORKERS)
    with (tmp_path / "requests.csv").open("a", encoding="utf-8") as file:
        file.write("run00,vm\n")
    with pytest.raises(CalibrationError, match=rf"line {len(TASKS) + 2}: 2 cells, but the header"):
        read_observations([tmp_path], CATALOG)


def test_clocks_may_cross_by_a_little(tmp_path: Path) -> None:
    late = changed(TASKS, 1, "t_upld_start", TASKS["t_completed"][1] + 0.3)
    assert len(read(tmp_path, late, WORKERS).tasks) == len(TASKS)


# -- event logs -----------------------------------------------------------------------------


def log_with(folder: Path, tasks: pd.DataFrame, workers: pd.DataFrame, *more: str) -> Path:
    path = write_event_log(folder / "tc-events-01.txt", tasks, workers)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in more)
    return path


def lines_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def line_of(path: Path, code: str, **keys: str) -> int:
    """Number of the line of an event."""
    return next(
        number
        for number, event in enumerate(lines_of(path), start=1)
        if event["code"] == code and all(event[key] == value for key, value in keys.items())
    )


def test_a_bitrate_of_an_event_log_in_another_unit(tmp_path: Path) -> None:
    path = log_with(tmp_path, changed(TASKS, 0, "bitrate", 3_000_000), WORKERS)
    number = line_of(path, "EV1", request_id=str(TASKS["request"][0]))
    message = rf"01\.txt, line {number}, 'bitrate': 3e\+06 kbit/s is far outside 500 to 8000"
    with pytest.raises(CalibrationError, match=message):
        read_observations([path], VIDEOS)


def test_a_step_of_an_event_log_that_ends_before_it_begins(tmp_path: Path) -> None:
    early = changed(TASKS, 1, "t_completed", TASKS["t_upld_start"][1] - 9.0)
    path = log_with(tmp_path, early, WORKERS)
    number = line_of(path, "EV7", request_id=str(TASKS["request"][1]))
    message = rf"line {number}, 't_completed': 9\.000 s before t_upld_start: a step cannot end"
    with pytest.raises(CalibrationError, match=message):
        read_observations([path], VIDEOS)


def test_a_worker_of_an_event_log_that_was_ready_before_it_was_created(tmp_path: Path) -> None:
    early = changed(WORKERS, 1, "t_available", WORKERS["t_created"][1] - 2.0)
    path = log_with(tmp_path, TASKS, early)
    number = line_of(path, "EV11", worker_id=str(WORKERS["worker"][1]))
    with pytest.raises(CalibrationError, match=rf"line {number}, 't_available': 2\.000 s before"):
        read_observations([path], VIDEOS)


def test_an_event_that_is_told_twice(tmp_path: Path) -> None:
    path = log_with(tmp_path, TASKS, WORKERS)
    lines = path.read_text(encoding="utf-8").splitlines()
    twice = next(number for number, line in enumerate(lines, 1) if '"EV5"' in line)
    log_with(tmp_path, TASKS, WORKERS, lines[twice - 1])
    message = rf"line {len(lines) + 1}: says the same as line {twice}: remove one of them"
    with pytest.raises(CalibrationError, match=message):
        read_observations([path], VIDEOS)


def test_a_worker_that_no_event_describes(tmp_path: Path) -> None:
    ghost = TASKS["worker"][0]
    path = log_with(tmp_path, TASKS, WORKERS[WORKERS["worker"] != ghost])
    number = line_of(path, "EV3", worker_id=str(ghost))
    with pytest.raises(CalibrationError, match=rf"line {number}, 'worker': no row describes worke"):
        read_observations([path], VIDEOS)
    moment = repr(START)
    restored = {"time": moment, "code": "EV36", "worker_id": str(ghost), "node": "node0"}
    log_with(tmp_path, TASKS, WORKERS[WORKERS["worker"] != ghost], json.dumps(restored))
    tasks = read_observations([path], VIDEOS).tasks
    assert set(tasks.loc[tasks["worker"] == ghost, "node"]) == {"node0"}
    lost = {"time": moment, "code": "EV46", "lines": "3", "since": moment}
    log_with(tmp_path, TASKS, WORKERS[WORKERS["worker"] != ghost], json.dumps(lost))
    assert len(read_observations([path], VIDEOS).tasks) == len(TASKS)


# -- the 2024 system's SQLite files ---------------------------------------------------------

SCHEMA = """
CREATE TABLE run (id INTEGER PRIMARY KEY, t_start TEXT);
CREATE TABLE scheduler_parameters (run_id INTEGER, algorithm TEXT, runner_type TEXT,
    max_workers INTEGER, tag TEXT);
CREATE TABLE tc_request (id TEXT PRIMARY KEY, run_id INTEGER, input_video TEXT, duration REAL,
    resolution_x INTEGER, resolution_y INTEGER, file_size INTEGER, bitrate INTEGER, speed TEXT,
    status TEXT, t_received TEXT);
CREATE TABLE tc_task (run_id INTEGER, request_id TEXT, worker_id TEXT, t_assigned TEXT,
    t_dwnld_start TEXT, t_tc_start TEXT, t_upld_start TEXT, t_completed TEXT);
CREATE TABLE worker (id TEXT PRIMARY KEY, run_id INTEGER, name TEXT, param_key TEXT, node TEXT,
    t_created TEXT, t_available TEXT, t_idle_start TEXT, t_stopped TEXT);
"""
STEPS = ["t_assigned", "t_dwnld_start", "t_tc_start", "t_upld_start", "t_completed"]


def naive(moment: float) -> str | None:
    return None if pd.isna(moment) else iso(START + moment).replace("+00:00", "")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The synthetic run as the 2024 system keeps it, and a request that no worker was given."""
    path = tmp_path / "dacirco.db"
    with closing(sqlite3.connect(path)) as connection, connection as db:
        db.executescript(SCHEMA)
        db.execute("INSERT INTO run VALUES (7, '2026-11-30 14:00:00')")
        db.execute(
            "INSERT INTO scheduler_parameters VALUES (7, 'ADAPTIVE_GRACE_PERIOD', 'VM', 5, '')"
        )
        for row in TASKS.to_dict("records"):
            video = [row[c] for c in ("video", "duration_s", "width", "height", "size_bytes")]
            asked = [row["bitrate"], f"TCSpeed.{row['speed'].upper()}", "COMPLETED"]
            received = [naive(row["t_received"])]
            db.execute(
                f"INSERT INTO tc_request VALUES ({','.join('?' * 11)})",
                [row["request"], 7, *video, *asked, *received],
            )
            steps = [naive(row[step]) for step in STEPS]
            db.execute(
                f"INSERT INTO tc_task VALUES ({','.join('?' * 8)})",
                [7, row["request"], row["worker"], *steps],
            )
        waiting = ["waits", 7, "a.mp4", 9.0, 1280, 720, 5_000_000, 900, "fast", "WAITING"]
        db.execute(
            f"INSERT INTO tc_request VALUES ({','.join('?' * 11)})", [*waiting, naive(1000.0)]
        )
        for row in WORKERS.to_dict("records"):
            life = [row["t_created"], row["t_available"], np.nan, row["t_stopped"]]
            db.execute(
                f"INSERT INTO worker VALUES ({','.join('?' * 9)})",
                [row["worker"], 7, row["worker"], "default", row["node"], *map(naive, life)],
            )
    return path


def test_a_database_holds_the_same_run(database: Path) -> None:
    before = database.read_bytes()
    observations = read_observations([database], CATALOG)
    assert database.read_bytes() == before
    assert observations.runs == ["dacirco-7"]
    tasks = observations.tasks.set_index("request")
    waits = tasks.loc["waits"]
    assert (waits["status"], waits["worker"], waits["video"]) == (UNFINISHED, "", "a.mp4")
    got = tasks.loc[TASKS["request"]].reset_index()
    assert set(got["algorithm"]) == {"adaptive_grace_period"}
    assert set(got["runner"]) == {"vm"}
    assert set(got["max_workers"]) == {5.0}
    assert set(got["status"]) == {COMPLETED}
    assert set(got["vcpus"]) == {1.0}
    for column in ("video", "speed", "worker", "node", "duration_s", "width", "size_bytes"):
        assert got[column].tolist() == TASKS[column].tolist()
    start = got["t_received"].min() - TASKS["t_received"].min()
    for column in STEPS:
        np.testing.assert_allclose(got[column] - start, TASKS[column], atol=1e-4)
    boots = observations.workers.set_index("worker").loc[WORKERS["worker"]]
    for column in ("t_created", "t_available", "t_stopped"):
        np.testing.assert_allclose(boots[column] - start, WORKERS[column], atol=1e-4)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE tc_task", "has no table 'tc_task': it is no file of the 2024 system"),
        (
            "DROP TABLE run; CREATE VIEW run AS SELECT 7 AS id",
            "has no table 'run'",
        ),
        ("ALTER TABLE worker DROP COLUMN node", "the table 'worker' lacks the column 'node'"),
        ("UPDATE worker SET param_key = 'huge'", "size of flavor 'huge' is unknown: pass --vcpus"),
        (
            "UPDATE tc_task SET t_completed = 'soon' WHERE rowid = 2",
            r"table tc_task, id '.*', column 't_completed': 'soon' is not a time",
        ),
        (
            "UPDATE tc_task SET t_completed = '2001-01-01 00:00:00' WHERE rowid = 2",
            r"table tc_task, request '.*', column 't_completed': .* cannot end before it begins",
        ),
        (
            "UPDATE tc_request SET bitrate = 3000000 WHERE rowid = 1",
            r"column 'bitrate': 3e\+06 kbit/s is far outside",
        ),
        ("UPDATE tc_task SET worker_id = 'ghost'", "no row describes worker 'ghost'"),
        ("DELETE FROM tc_request WHERE rowid = 1", r"no row of tc_request describes request"),
        ("UPDATE worker SET node = x'80'", r"column 'node': a cell is not a text"),
        ("DELETE FROM tc_task; DELETE FROM tc_request", "no request in it"),
    ],
)
def test_a_database_that_cannot_be(database: Path, statement: str, message: str) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.executescript(statement)
        db.commit()
    with pytest.raises(CalibrationError, match=message):
        read_observations([database], CATALOG)


def test_what_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(b"run,runner\n" * 200)
    with pytest.raises(CalibrationError, match=r"cannot read .*runs\.db as an SQLite file"):
        read_observations([path], CATALOG)


def test_two_runs_of_one_file_are_two(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.executescript(
            """
            INSERT INTO run VALUES (8, '2026-11-30 15:00:00');
            INSERT INTO scheduler_parameters VALUES (8, 'grace_period', 'pod', NULL, '');
            INSERT INTO tc_request SELECT 'other', 8, input_video, duration, resolution_x,
                resolution_y, file_size, bitrate, speed, status, t_received
                FROM tc_request WHERE id = 'waits';
            """
        )
        db.commit()
    observations = read_observations([database], CATALOG)
    assert observations.runs == ["dacirco-7", "dacirco-8"]
    other = observations.of(["dacirco-8"]).tasks.iloc[0]
    assert (other["runner"], other["algorithm"]) == ("pod", "grace_period")
    assert np.isnan(other["max_workers"])
