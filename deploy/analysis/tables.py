"""The tables that analyses write and read: CSV files with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from math import isnan, nan
from pathlib import Path
from typing import Final

from env.errors import DaCircoError
from env.moments import duration_text, parse_moment, text_with_offset
from env.textfile import read_lines, write_atomically

WORKERS_ENDING: Final = "-workers.csv"
REQUESTS_ENDING: Final = "-ok-requests.csv"
NODE_STATS_ENDING: Final = "-ok-requests-node-stats.csv"

WORKER_COLUMNS: Final = (
    "worker_id",
    "time_registered",
    "time_created",
    "time_destroyed",
    "name",
    "node",
    "cpus",
    "memory",
    "timediff_registered",
    "timediff_destroyed",
)
REQUEST_COLUMNS: Final = (
    "request_id",
    "time_received",
    "time_assigned",
    "time_started",
    "time_file_downloaded",
    "time_transcoding_done",
    "time_file_uploaded",
    "input_video",
    "bitrate",
    "speed",
    "worker_id",
    "task_id",
    "timediff_assigned",
    "timediff_started",
    "timediff_file_downloaded",
    "timediff_transcoding_done",
    "timediff_file_uploaded",
)
WORKER_STEPS: Final = ("created", "registered", "destroyed")
REQUEST_STEPS: Final = (
    "received",
    "assigned",
    "started",
    "file_downloaded",
    "transcoding_done",
    "file_uploaded",
)


def with_times(row: Mapping[str, str], steps: Sequence[str], zone: tzinfo) -> dict[str, str]:
    """The row with its times as dates, and ``timediff_STEP``: the time since the step before.

    Args:
        row: its ``time_STEP`` are seconds since the epoch; empty or missing for a step that did
            not happen. A timediff is empty where the step, or all before it, did not happen.
        steps: in order.
        zone: of the dates. One for a whole table, also over a clock change: pandas reads no
            column of several.
    """
    result = dict(row)
    before = nan
    for step in steps:
        moment = parse_moment(row.get(f"time_{step}", ""))
        result[f"time_{step}"] = text_with_offset(moment, zone)
        result[f"timediff_{step}"] = duration_text(moment - before)
        before = before if isnan(moment) else moment
    return result


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a table in one step; a cell that a row lacks is empty, others are left out.

    Raises:
        ScenarioError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def read_table(path: Path, columns: Iterable[str]) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and the rows of a table.

    Args:
        path: the file.
        columns: those that it must have.

    Raises:
        ScenarioError: the file cannot be read.
        DaCircoError: a column is missing, or a row has other than as many cells as columns.
    """
    reader = csv.DictReader(read_lines(path), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise DaCircoError(f"{path}, line {reader.line_num}: {error}") from error
    names = list(reader.fieldnames or ())
    for column in columns:
        if column not in names:
            raise DaCircoError(f"{path}: the column {column!r} is missing")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise DaCircoError(f"{path}, row {number}: not {len(names)} cells")
    return names, rows
