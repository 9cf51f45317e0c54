"""A log processor that behaves as the existing system's does, to the letter.

It reads a log with pandas, one JSON object a line. Lines with an ``error_message`` are failed
tasks: all rows with such a ``task_id`` and all rows of the requests that were assigned to it are
left out (a line without a ``task_id`` makes it leave out every row without one). Then it pivots on
worker and code, and on request and code: a second line of one code ends it with an error.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pandas as pd

WORKER_EVENTS = {"EV2": "created", "EV11": "registered", "EV8": "destroyed"}
REQUEST_EVENTS = {
    "EV1": "received",
    "EV3": "assigned",
    "EV4": "started",
    "EV5": "file_downloaded",
    "EV6": "transcoding_done",
    "EV7": "file_uploaded",
}


class Tables(NamedTuple):
    """Of workers and of requests, by id, with ``time_*`` and ``timediff_*``."""

    workers: pd.DataFrame
    requests: pd.DataFrame

    @property
    def ok(self) -> set[str]:
        """The requests of which every step is known."""
        done = self.requests[self.requests["time_file_uploaded"].notna()]
        return {str(request) for request in done.index}


def existing_process_log(path: Path) -> Tables:
    """The tables of a log.

    Raises:
        ValueError: a worker or request has two lines of one code; or a time is none.
    """
    log = pd.read_json(path, lines=True)
    for column in ("worker_id", "request_id", "task_id"):
        if column not in log:
            log[column] = None
    log["time"] = pd.to_datetime(log["time"])
    if "error_message" in log:
        failed = log.loc[log["error_message"].notna(), "task_id"].unique()
        of_failed = log["task_id"].isin(failed)
        requests = log.loc[of_failed & (log["code"] == "EV3"), "request_id"].unique()
        log = log[~of_failed & ~log["request_id"].isin(requests)]
    return Tables(
        _table(log, "worker_id", WORKER_EVENTS), _table(log, "request_id", REQUEST_EVENTS)
    )


def _table(log: pd.DataFrame, key: str, events: dict[str, str]) -> pd.DataFrame:
    rows = log[log["code"].isin(events)]
    table = rows.pivot(index=key, columns="code", values="time")
    table = table.reindex(columns=list(events)).rename(columns=events).astype("datetime64[us]")
    steps = list(events.values())
    for before, step in pairwise(steps):
        table[f"timediff_{step}"] = table[step] - table[before]
    return table.rename(columns={step: f"time_{step}" for step in steps})
