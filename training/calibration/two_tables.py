"""Runs in the two-table form: ``requests.csv`` and ``workers.csv`` in one folder.

Columns of ``requests.csv``: run, runner, video, duration_s, width, height, speed, status,
node, worker and the times t_received, t_assigned, t_dwnld_start, t_tc_start, t_upld_start,
t_completed (empty: did not happen); size_bytes, bitrate, bitrate_unit (``bit`` or ``kbit``, see
`training.calibration.bitrate_unit`) and output_bytes help. Columns of
``workers.csv``: run, runner, worker, node, t_created, t_available, t_stopped. Both name
the flavor (flavor_key) or give the size (vcpus). Further columns are ignored. Times are seconds,
dates in ISO 8601 or timedeltas as pandas writes them (see `training.calibration.cells`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from training.calibration.cells import Table, parse_figure, parse_seconds, read_table
from training.calibration.checks import check_tasks, check_workers
from training.calibration.errors import CalibrationError
from training.calibration.observations import COMPLETED, ERROR, UNFINISHED, Observations, tidy

REQUESTS_FILE: Final = "requests.csv"
WORKERS_FILE: Final = "workers.csv"

FLAVOR_VCPUS: Final[Mapping[tuple[str, str], float]] = {
    ("vm", "default"): 1.0,
    ("vm", "small"): 1.0,
    ("pod", "default"): 4.0,
    ("pod", "large"): 4.0,
    ("pod", "small"): 0.5,
}
"""vCPUs of a worker by its kind and flavor key (of a pod: its CPU limit)."""

_NEEDED: Final = {
    REQUESTS_FILE: (
        "run",
        "runner",
        "video",
        "duration_s",
        "width",
        "height",
        "speed",
        "status",
        "node",
        "worker",
        "t_received",
        "t_assigned",
        "t_dwnld_start",
        "t_tc_start",
        "t_upld_start",
        "t_completed",
    ),
    WORKERS_FILE: ("run", "runner", "worker", "node", "t_created", "t_available", "t_stopped"),
}


_TEXTS: Final = frozenset(
    {
        *("run", "runner", "algorithm", "flavor_key", "node", "worker"),
        *("video", "speed", "status", "bitrate_unit"),
    }
)
_FIGURES: Final = frozenset(
    {
        *("max_workers", "duration_s", "width", "height", "vcpus"),
        *("size_bytes", "bitrate", "output_bytes"),
    }
)


def read_two_tables(
    folder: Path, flavor_vcpus: Mapping[tuple[str, str], float] = FLAVOR_VCPUS
) -> Observations:
    """Read a folder that holds both tables.

    Args:
        folder: where they are.
        flavor_vcpus: vCPUs by kind of worker and flavor key, for tables without a
            ``vcpus`` column.

    Raises:
        CalibrationError: a file is missing or lacks a column, a flavor is unknown, or a cell
            cannot be right; it names file, line and column.
    """
    requests, described = read_table(folder / REQUESTS_FILE), read_table(folder / WORKERS_FILE)
    tasks = _typed(requests, flavor_vcpus)
    workers = _typed(described, flavor_vcpus)
    tasks["status"] = [_status(text) for text in tasks["status"]]
    observations = tidy(tasks, workers)
    check_workers(observations.workers, described.where)
    check_tasks(observations.tasks, observations.workers, requests.where)
    return observations


def _typed(table: Table, flavor_vcpus: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    table.needs(_NEEDED[table.path.name])
    columns: dict[str, Sequence[object]] = {}
    for name in table.header:
        if name in _TEXTS:
            columns[name] = table.column(name, str.strip)
        elif name in _FIGURES:
            columns[name] = table.column(name, parse_figure)
        elif name.startswith("t_"):
            columns[name] = table.column(name, parse_seconds)
    typed = pd.DataFrame(columns, index=range(len(table.rows)))
    typed["runner"] = typed["runner"].str.lower()
    if "vcpus" not in typed:
        typed["vcpus"] = _vcpus(typed, flavor_vcpus, table.path)
    return typed


def _status(status: str) -> str:
    text = status.lower()
    if text == "completed":
        return COMPLETED
    return ERROR if text in ("error", "failed") else UNFINISHED


def _vcpus(
    table: pd.DataFrame, flavor_vcpus: Mapping[tuple[str, str], float], path: Path
) -> list[float]:
    if "flavor_key" not in table:
        raise CalibrationError(f"{path}: one of the columns 'flavor_key' and 'vcpus' is needed")
    return [
        flavor_size(runner, key, flavor_vcpus, str(path))
        for runner, key in zip(table["runner"], table["flavor_key"], strict=True)
    ]


def flavor_size(
    runner: str, key: str, flavor_vcpus: Mapping[tuple[str, str], float], source: str
) -> float:
    """VCPUs of a worker by its kind and flavor key; not a number where the key is empty.

    Raises:
        CalibrationError: the size is not known; `source` is what to call the table.
    """
    if not key:
        return math.nan
    if (runner, key) not in flavor_vcpus:
        raise CalibrationError(
            f"{source}: the size of flavor {key!r} is unknown: "
            f"pass --vcpus {key} N, or add a column 'vcpus'"
        )
    return flavor_vcpus[runner, key]
