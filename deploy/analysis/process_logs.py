"""``dacirco_process_logs``: an event log as two tables, of workers and of finished requests."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

from deploy.analysis.history import read_history
from deploy.analysis.tables import (
    REQUEST_COLUMNS,
    REQUEST_STEPS,
    REQUESTS_ENDING,
    WORKER_COLUMNS,
    WORKER_STEPS,
    WORKERS_ENDING,
    with_times,
    write_table,
)
from env.command import CommandParser, run_command
from env.moments import local_offset


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, write the tables, and return the exit code."""
    return run_command("dacirco_process_logs", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    for path in process_log(options.file):
        print(path)


def process_log(path: Path) -> tuple[Path, Path]:
    """Write the tables beside the log; return their paths, that of the workers first.

    Times are dates with an offset from UTC: that of local time when the log begins, also beyond
    a clock change. A request that was received in an earlier log (the controller was started anew
    in between) is left out, and counted on standard error.

    Raises:
        EventLogError: the log cannot be read.
        ScenarioError: a table cannot be written.
    """
    history = read_history(path)
    workers = path.with_name(path.stem + WORKERS_ENDING)
    requests = path.with_name(path.stem + REQUESTS_ENDING)
    zone = UTC if history.begin is None else local_offset(history.begin)
    write_table(
        workers,
        WORKER_COLUMNS,
        (with_times(row, WORKER_STEPS, zone) for row in history.workers.values()),
    )
    finished = [
        with_times(request | history.finished[request_id], REQUEST_STEPS, zone)
        for request_id, request in history.requests.items()
        if request_id in history.finished
    ]
    write_table(requests, REQUEST_COLUMNS, finished)
    left_out = len(history.finished) - len(finished)
    if left_out:
        print(f"{left_out} requests of an earlier log were left out", file=sys.stderr)
    return workers, requests


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="dacirco_process_logs",
        description="Write tc-events-XY-workers.csv and tc-events-XY-ok-requests.csv (the "
        "requests that were finished) beside an event log. Times are dates with their offset from "
        "UTC, a timediff is the time since the event before, as pandas writes a timedelta.",
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="event log, tc-events-XY.txt; the parts that continue it are read with it",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
