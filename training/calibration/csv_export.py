"""Runs in the CSV exports of an event log, made by ``dacirco_process_logs``.

``PREFIX-workers.csv`` and ``PREFIX-ok-requests.csv`` (or ``...-ok-requests-node-stats.csv``)
stand for one run, named PREFIX. They hold finished requests only: what did not finish is
unseen, so it loads no node and failures cannot be counted. The 2024 system writes no table of
workers: then their boots are unseen, and their size unless it is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from env.catalog import Catalog
from training.calibration.cells import Table, parse_figure, parse_seconds, read_table
from training.calibration.checks import check_tasks, check_workers
from training.calibration.facts import add_video_facts
from training.calibration.observations import COMPLETED, Observations, tidy
from training.calibration.quantities import parse_cpus

REQUESTS_ENDINGS: Final = ("-ok-requests.csv", "-ok-requests-node-stats.csv")
WORKERS_ENDING: Final = "-workers.csv"
DEFAULT_SIZE: Final = "default"
"""The flavor key of a worker of which nothing else is told."""

_TASK_COLUMNS: Final = {
    "request_id": "request",
    "input_video": "video",
    "bitrate": "bitrate",
    "speed": "speed",
    "worker_id": "worker",
}
_TASK_MOMENTS: Final = {
    "time_received": "t_received",
    "time_assigned": "t_assigned",
    "time_started": "t_dwnld_start",
    "time_file_downloaded": "t_tc_start",
    "time_transcoding_done": "t_upld_start",
    "time_file_uploaded": "t_completed",
}
_WORKER_COLUMNS: Final = {"worker_id": "worker", "node": "node", "cpus": "cpus"}
_WORKER_MOMENTS: Final = {
    "time_created": "t_created",
    "time_registered": "t_available",
    "time_destroyed": "t_stopped",
}


def is_export(path: Path) -> bool:
    """Whether the name is that of an export's table of requests."""
    return path.name.endswith(REQUESTS_ENDINGS)


def read_csv_export(
    path: Path, catalog: Catalog, sizes: Mapping[str, float] | None = None
) -> Observations:
    """Read one export as one run.

    Args:
        path: the table of requests; the table of workers may lie beside it.
        catalog: gives length, frame size and file size of the videos.
        sizes: vCPUs by flavor key; that of ``default`` is of workers of which no table tells.

    Raises:
        CalibrationError: a file cannot be read, lacks a column or has a wrong cell (it names
            line and column), or the catalog lacks a video.
    """
    ending = next(e for e in REQUESTS_ENDINGS if path.name.endswith(e))
    run = path.name.removesuffix(ending)
    table = read_table(path)
    beside = path.with_name(run + WORKERS_ENDING)
    tasks = _columns(table, _TASK_COLUMNS, _TASK_MOMENTS).assign(run=run, status=COMPLETED)
    tasks["bitrate"] = table.column("bitrate", parse_figure)
    if beside.exists():
        workers, where = _workers(read_table(beside), run)
        check_workers(workers, where)
    else:
        workers = _seen_at_work(table, tasks, (sizes or {}).get(DEFAULT_SIZE, math.nan))
    places = workers.drop_duplicates("worker").set_index("worker")[["node", "vcpus"]]
    tasks = add_video_facts(tasks.join(places, on="worker"), catalog, str(path))
    observations = tidy(tasks, workers)
    names = {ours: theirs for theirs, ours in (_TASK_COLUMNS | _TASK_MOMENTS).items()}
    check_tasks(
        observations.tasks,
        observations.workers,
        lambda row, column: table.where(row, names.get(column, column)),
    )
    return observations


def _workers(table: Table, run: str) -> tuple[pd.DataFrame, Callable[[int, str], str]]:
    workers = _columns(table, _WORKER_COLUMNS, _WORKER_MOMENTS).assign(run=run)
    # Of a worker that never registered they are not known.
    workers["vcpus"] = table.column("cpus", lambda t: parse_cpus(t) if t.strip() else math.nan)
    names = {ours: theirs for theirs, ours in (_WORKER_COLUMNS | _WORKER_MOMENTS).items()}
    return (
        tidy(tasks=pd.DataFrame(), workers=workers).workers,
        lambda row, column: table.where(row, names.get(column, column)),
    )


def _seen_at_work(table: Table, tasks: pd.DataFrame, vcpus: float) -> pd.DataFrame:
    """The workers that tasks name, with what the table of requests tells of them."""
    told = {
        "worker": tasks["worker"],
        "node": table.column("node", str.strip) if "node" in table.header else "",
        "vcpus": (
            table.column("cpus", lambda t: parse_cpus(t) if t.strip() else math.nan)
            if "cpus" in table.header
            else vcpus
        ),
    }
    return pd.DataFrame(told).drop_duplicates("worker").assign(run=tasks["run"])


def _columns(table: Table, columns: dict[str, str], moments: dict[str, str]) -> pd.DataFrame:
    table.needs(list(columns))
    found: dict[str, list[float] | list[str]] = {
        ours: table.column(theirs, str.strip) for theirs, ours in columns.items()
    }
    before: list[float] = []
    for theirs, ours in moments.items():
        before = _moments(table, theirs, before)
        found[ours] = before
    return pd.DataFrame(found)


def _moments(table: Table, name: str, before: list[float]) -> list[float]:
    """A column of moments; where there is none, from the time since the event before."""
    since = name.replace("time_", "timediff_", 1)
    if name in table.header or since not in table.header or not before:
        table.needs([name])
        return table.column(name, parse_seconds)
    passed = table.column(since, parse_seconds)
    return [a + b for a, b in zip(before, passed, strict=True)]
