"""``dacirco_wait_scenario``: sends the jobs of a file one at a time, each after the last ended."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.clients.job_api import ENDED_JOB, KEY_VARIABLE, ApiAwayError, ApiError, JobApi
from deploy.clients.printable import printable
from deploy.clients.scenario_file import add_strict_option, complaint, read_jobs
from env.command import CommandParser, port_number, positive_seconds, run_command
from env.errors import DaCircoError
from env.jobs import Request


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, run the jobs, and return the exit code."""
    return run_command("dacirco_wait_scenario", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    given = read_jobs(options.file, strict=options.strict)
    jobs = given.jobs
    failed = 0
    with JobApi(options.api_server, options.api_port) as api:
        for number, job in enumerate(jobs, start=1):
            begin = time.monotonic()
            try:
                outcome = run_one(api, job, options.poll_interval, options.patience)
            except ApiError as error:
                outcome = str(error)
            failed += outcome != "Completed"
            took = f"{time.monotonic() - begin:.1f} s"
            print(printable(f"{number}/{len(jobs)} {job.movie}: {outcome} ({took})"), flush=True)
    if wrong := complaint(given, failed, "were not completed"):
        raise DaCircoError(wrong)


def run_one(api: JobApi, job: Request, poll_interval_s: float, patience_s: float) -> str:
    """Submit a job, wait for its end, and return its last state.

    Args:
        api: the server.
        job: what to submit.
        poll_interval_s: time between two looks at its state.
        patience_s: how long a server may be away before the job is given up.

    Raises:
        ApiError: the job was refused, or is no longer known.
        ApiAwayError: the server cannot be reached, or is away for too long.
    """
    return follow(api, api.submit(job), poll_interval_s, patience_s)


def follow(api: JobApi, job_id: str, poll_interval_s: float, patience_s: float) -> str:
    """Wait for the end of a job, and return its last state; see `run_one`."""
    heard = time.monotonic()
    while True:
        try:
            state = api.job_state(job_id)
        except ApiAwayError:
            if time.monotonic() - heard > patience_s:
                raise
        else:
            heard = time.monotonic()
            if state in ENDED_JOB:
                return state
        time.sleep(poll_interval_s)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="dacirco_wait_scenario",
        description="Send the jobs of a scenario file one at a time, each after the one before "
        "has ended; the delays in the file are passed over.",
        epilog=f"The API key, where one is needed, is read from the variable {KEY_VARIABLE}.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="scenario file")
    parser.add_argument(
        "--api-server",
        default="127.0.0.1",
        metavar="HOST",
        help="of the Job API (%(default)s)",
    )
    parser.add_argument(
        "--api-port",
        type=port_number,
        default=8000,
        metavar="PORT",
        help="of the Job API (%(default)s)",
    )
    parser.add_argument(
        "--poll-interval",
        type=positive_seconds,
        default=1.0,
        metavar="SECONDS",
        help="time between two looks at a job's state (%(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=positive_seconds,
        default=300.0,
        metavar="SECONDS",
        help="how long the server may be away while a job runs (%(default)s)",
    )
    add_strict_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
