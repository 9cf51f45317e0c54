"""Runs in the CSV exports of an event log, made by ``dacirco_process_logs``.

``PREFIX-workers.csv`` and ``PREFIX-ok-requests.csv`` (or ``...-ok-requests-node-stats.csv``)
stand for one run, named PREFIX. They hold finished requests only: what did not finish is
unseen, so it loads no node and failures cannot be counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pandas as pd

from env.catalog import Catalog
from env.moments import parse_moment
from training.calibration.errors import CalibrationError
from training.calibration.facts import add_video_facts
from training.calibration.observations import COMPLETED, Observations, tidy
from training.calibration.quantities import parse_cpus

REQUESTS_ENDINGS: Final = ("-ok-requests.csv", "-ok-requests-node-stats.csv")
WORKERS_ENDING: Final = "-workers.csv"

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


def read_csv_export(path: Path, catalog: Catalog) -> Observations:
    """Read one export as one run.

    Args:
        path: the table of requests; the table of workers must lie beside it.
        catalog: gives length, frame size and file size of the videos.

    Raises:
        CalibrationError: a file is missing, lacks a column or has a wrong cell, or the
            catalog lacks a video.
    """
    ending = next(e for e in REQUESTS_ENDINGS if path.name.endswith(e))
    run = path.name.removesuffix(ending)
    beside = path.with_name(run + WORKERS_ENDING)
    workers = _read(beside, _WORKER_COLUMNS, _WORKER_MOMENTS)
    workers["vcpus"] = [  # of a worker that never registered they are not known
        _cell(parse_cpus, text, beside, "cpus") if text else math.nan for text in workers["cpus"]
    ]
    tasks = _read(path, _TASK_COLUMNS, _TASK_MOMENTS)
    places = workers.drop_duplicates("worker").set_index("worker")[["node", "vcpus"]]
    tasks = add_video_facts(tasks.join(places, on="worker"), catalog, str(path))
    return tidy(tasks.assign(run=run, status=COMPLETED), workers.assign(run=run))


def _read(path: Path, columns: dict[str, str], moments: dict[str, str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise CalibrationError(f"cannot read {path}: {error}") from error
    for name in (*columns, *moments):
        if name not in table:
            raise CalibrationError(f"{path}: the column {name!r} is missing")
    for name in moments:
        table[name] = [_cell(parse_moment, text, path, name) for text in table[name]]
    return table[[*columns, *moments]].rename(columns=columns | moments)


def _cell(parse: Callable[[str], float], text: str, path: Path, column: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise CalibrationError(f"{path}: column {column!r}: {error}") from None
