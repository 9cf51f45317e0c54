"""Runs in the two-table form: ``requests.csv`` and ``workers.csv`` in one folder.

Columns of ``requests.csv``: run, runner, video, duration_s, width, height, speed, status,
node, worker and the times t_received, t_assigned, t_dwnld_start, t_tc_start, t_upld_start,
t_completed in seconds (empty: did not happen); size_bytes, bitrate, bitrate_unit (``bit`` or
``kbit``, see `training.calibration.bitrate_unit`) and output_bytes help. Columns of
``workers.csv``: run, runner, worker, node, t_created, t_available, t_stopped. Both name
the flavor (flavor_key) or give the size (vcpus). Further columns are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pandas as pd

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


def read_two_tables(
    folder: Path, flavor_vcpus: Mapping[tuple[str, str], float] = FLAVOR_VCPUS
) -> Observations:
    """Read a folder that holds both tables.

    Args:
        folder: where they are.
        flavor_vcpus: vCPUs by kind of worker and flavor key, for tables without a
            ``vcpus`` column.

    Raises:
        CalibrationError: a file is missing or lacks a column, or a flavor is unknown.
    """
    tasks = _read(folder / REQUESTS_FILE)
    workers = _read(folder / WORKERS_FILE)
    tasks["status"] = tasks["status"].map(_status)
    for table, name in ((tasks, REQUESTS_FILE), (workers, WORKERS_FILE)):
        if "vcpus" not in table:
            table["vcpus"] = _vcpus(table, flavor_vcpus, folder / name)
    return tidy(tasks, workers)


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise CalibrationError(f"cannot read {path}: {error}") from error
    missing = [column for column in _NEEDED[path.name] if column not in table]
    if missing:
        raise CalibrationError(f"{path}: the column {missing[0]!r} is missing")
    return table


def _status(status: object) -> str:
    text = str(status).lower()
    if text == "completed":
        return COMPLETED
    return ERROR if text in ("error", "failed") else UNFINISHED


def _vcpus(
    table: pd.DataFrame, flavor_vcpus: Mapping[tuple[str, str], float], path: Path
) -> pd.Series:
    if "flavor_key" not in table:
        raise CalibrationError(f"{path}: one of the columns 'flavor_key' and 'vcpus' is needed")
    keys = pd.Series(list(zip(table["runner"], table["flavor_key"], strict=True)))
    unknown = sorted({key for key in keys if isinstance(key[1], str)} - set(flavor_vcpus))
    if unknown:
        flavor = unknown[0][1]
        raise CalibrationError(
            f"{path}: the size of flavor {flavor!r} is unknown: "
            f"pass --vcpus {flavor} N, or add a column 'vcpus'"
        )
    return pd.Series(keys.map(dict(flavor_vcpus)).to_numpy(), index=table.index)
