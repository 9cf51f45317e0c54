"""Runs in the SQLite file of the 2024 system (``dacirco.db``): read, never written.

Each row of the table ``run`` is one run, named for the file and the run's id. The file is from
elsewhere: it is opened read-only, only these tables are read, nothing in it is executed or
unpickled, and what it may cost is bounded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pandas as pd

from training.calibration.cells import parse_figure, parse_seconds
from training.calibration.checks import check_tasks, check_workers
from training.calibration.errors import CalibrationError
from training.calibration.observations import (
    COMPLETED,
    ERROR,
    UNFINISHED,
    Observations,
    tidy,
)
from training.calibration.two_tables import flavor_size

ENDINGS: Final = (".db", ".sqlite", ".sqlite3")

MOST_ROWS: Final = 200_000
"""More rows in one table are no run of a small cloud."""
_LONGEST_CELL: Final = 10_000
_STEPS_A_CHECK: Final = 100_000
_MOST_CHECKS: Final = 2_000
"""Steps of SQLite's machine, between two looks and in all: an evil query plan ends."""

_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "run": ("id",),
    "scheduler_parameters": ("run_id", "algorithm", "runner_type", "max_workers"),
    "tc_request": (
        "id",
        "run_id",
        "input_video",
        "duration",
        "resolution_x",
        "resolution_y",
        "file_size",
        "bitrate",
        "speed",
        "status",
        "t_received",
    ),
    "tc_task": (
        "run_id",
        "request_id",
        "worker_id",
        "t_assigned",
        "t_dwnld_start",
        "t_tc_start",
        "t_upld_start",
        "t_completed",
    ),
    "worker": (
        "id",
        "run_id",
        "name",
        "param_key",
        "node",
        "t_created",
        "t_available",
        "t_stopped",
    ),
}

Row = dict[str, str]


def is_sqlite(path: Path) -> bool:
    """Whether the name is that of an SQLite file."""
    return path.suffix in ENDINGS


def read_sqlite(path: Path, flavor_vcpus: Mapping[tuple[str, str], float]) -> Observations:
    """Read all runs of one file.

    Args:
        path: the file.
        flavor_vcpus: vCPUs by kind of worker (``vm``, ``pod``) and flavor key (``param_key``).

    Raises:
        CalibrationError: it is no such file, lacks a table or column, holds too much, or a
            cell cannot be right (it names table, row and column).
    """
    rows = _read(path)
    parameters = {row["run_id"]: row for row in rows["scheduler_parameters"]}
    workers, described = _workers(path, rows["worker"], parameters, flavor_vcpus)
    tasks, told = _tasks(path, rows, parameters, described)
    observations = tidy(tasks, workers)
    if observations.tasks.empty:
        raise CalibrationError(f"{path}: no request in it, so nothing to calibrate from")

    def of_worker(row: int, column: str) -> str:
        return f"{path}, table worker, id {rows['worker'][row]['id']!r}, column {column!r}"

    def of_task(row: int, column: str) -> str:
        return f"{path}, table tc_task, request {told[row]!r}, column {column!r}"

    check_workers(observations.workers, of_worker)
    check_tasks(observations.tasks, observations.workers, of_task)
    return observations


def _workers(
    path: Path,
    rows: Sequence[Row],
    parameters: Mapping[str, Row],
    flavor_vcpus: Mapping[tuple[str, str], float],
) -> tuple[pd.DataFrame, dict[tuple[str, str], Row | dict[str, Any]]]:
    described: dict[tuple[str, str], Any] = {}
    found = []
    for row in rows:
        runner = _runner(parameters.get(row["run_id"], {}))
        one = {
            "run": _name(path, row["run_id"]),
            "runner": runner,
            "worker": row["id"],
            "node": row["node"],
            "flavor_key": row["param_key"],
            "vcpus": flavor_size(
                runner, row["param_key"].lower(), flavor_vcpus, f"{path}, table worker"
            ),
        }
        for column in ("t_created", "t_available", "t_stopped"):
            one[column] = _parsed(path, "worker", row["id"], column, row[column], parse_seconds)
        described[row["run_id"], row["id"]] = one
        found.append(one)
    return pd.DataFrame(found), described


def _tasks(
    path: Path,
    rows: Mapping[str, Sequence[Row]],
    parameters: Mapping[str, Row],
    workers: Mapping[tuple[str, str], Any],
) -> tuple[pd.DataFrame, list[str]]:
    attempts: dict[tuple[str, str], list[Row]] = {}
    for row in rows["tc_task"]:
        attempts.setdefault((row["run_id"], row["request_id"]), []).append(row)
    found, told = [], []
    for row in rows["tc_request"]:
        run = row["run_id"]
        given = parameters.get(run, {})
        request: dict[str, Any] = {
            "run": _name(path, run),
            "runner": _runner(given),
            "algorithm": _word(given.get("algorithm", "")),
            "max_workers": _parsed(
                path,
                "scheduler_parameters",
                run,
                "max_workers",
                given.get("max_workers", ""),
                parse_figure,
            ),
            "request": row["id"],
            "video": row["input_video"],
            "speed": _word(row["speed"]),
            "status": _status(_word(row["status"])),
            "t_received": _parsed(
                path, "tc_request", row["id"], "t_received", row["t_received"], parse_seconds
            ),
        }
        for ours, theirs in (
            ("duration_s", "duration"),
            ("width", "resolution_x"),
            ("height", "resolution_y"),
            ("size_bytes", "file_size"),
            ("bitrate", "bitrate"),
        ):
            request[ours] = _parsed(
                path, "tc_request", row["id"], theirs, row[theirs], parse_figure
            )
        # A request that never became a task is one row, too.
        for task in attempts.pop((run, row["id"]), [{}]):
            one = dict(request)
            if task:
                one["worker"] = task["worker_id"]
                worker = workers.get((run, task["worker_id"]), {})
                one |= {key: worker[key] for key in ("node", "vcpus", "flavor_key") if worker}
            for column in _TABLES["tc_task"][3:]:
                one[column] = _parsed(
                    path, "tc_task", row["id"], column, task.get(column, ""), parse_seconds
                )
            found.append(one)
            told.append(row["id"])
    if attempts:
        run, request_id = next(iter(attempts))
        raise CalibrationError(
            f"{path}, table tc_task: no row of tc_request describes request {request_id!r} "
            f"of run {run!r}"
        )
    return pd.DataFrame(found), told


def _read(path: Path) -> dict[str, list[Row]]:
    # A file beside it means that a writer has left something there, or is still at work.
    beside = path.with_name(path.name + "-wal").exists()
    options = "mode=ro" if beside else "mode=ro&immutable=1"
    checks = 0

    def give_up() -> int:
        nonlocal checks
        checks += 1
        return int(checks > _MOST_CHECKS)

    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?{options}", uri=True)
        ) as database:
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
            database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            database.set_progress_handler(give_up, _STEPS_A_CHECK)
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA query_only = ON")
            return {table: _table(path, database, table) for table in _TABLES}
    except sqlite3.Error as error:
        raise CalibrationError(
            f"cannot read {path} as an SQLite file of the 2024 system: {error}"
        ) from None
    except UnicodeDecodeError:
        raise CalibrationError(f"cannot read {path}: a text in it is not UTF-8") from None


def _table(path: Path, database: sqlite3.Connection, table: str) -> list[Row]:
    columns = _TABLES[table]
    # A view may do anything; a table is only read.
    kinds = database.execute("SELECT type FROM sqlite_master WHERE name = ?", (table,)).fetchall()
    if [str(kind) for (kind,) in kinds] != ["table"]:
        raise CalibrationError(
            f"{path} has no table {table!r}: it is no file of the 2024 system, whose tables are "
            f"{', '.join(_TABLES)}"
        )
    known = {str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")}
    missing = next((column for column in columns if column not in known), None)
    if missing is not None:
        raise CalibrationError(f"{path}: the table {table!r} lacks the column {missing!r}")
    names = ", ".join(f'"{column}"' for column in columns)
    found = database.execute(
        f'SELECT {names} FROM "{table}" ORDER BY rowid LIMIT {MOST_ROWS + 1}'
    ).fetchall()
    if len(found) > MOST_ROWS:
        raise CalibrationError(
            f"{path}: the table {table!r} has more than {MOST_ROWS} rows: pass runs one by one"
        )
    return [
        {
            column: _text(path, table, column, cell)
            for column, cell in zip(columns, row, strict=True)
        }
        for row in found
    ]


def _text(path: Path, table: str, column: str, cell: object) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, str | int | float):
        raise CalibrationError(f"{path}, table {table}, column {column!r}: a cell is not a text")
    text = str(cell)
    if len(text) > _LONGEST_CELL:
        raise CalibrationError(
            f"{path}, table {table}, column {column!r}: a cell has {len(text)} characters"
        )
    return text.strip()


def _parsed(path: Path, table: str, row: str, column: str, text: str, parse: Any) -> float:
    try:
        return float(parse(text))
    except ValueError as error:
        raise CalibrationError(
            f"{path}, table {table}, id {row!r}, column {column!r}: {error}"
        ) from None


def _name(path: Path, run: str) -> str:
    return f"{path.stem}-{run}"


def _runner(parameters: Mapping[str, str]) -> str:
    return _word(parameters.get("runner_type", ""))


def _word(text: str) -> str:
    """A name as a database of Python's enumerations may have it: ``Speed.FAST`` is ``fast``."""
    return text.rpartition(".")[2].lower()


def _status(text: str) -> str:
    if text == "completed":
        return COMPLETED
    return ERROR if text in ("error", "failed") else UNFINISHED
