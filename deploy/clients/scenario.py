"""``dacirco_scenario``: generates or replays job requests."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.clients.job_api import KEY_VARIABLE, ApiAwayError, ApiError, JobApi
from deploy.clients.printable import printable
from deploy.clients.scenario_file import (
    JobFile,
    add_strict_option,
    complaint,
    generate_jobs,
    read_jobs,
)
from deploy.clients.server_options import add_server_options
from env.command import CommandParser, run_command, whole_number
from env.errors import DaCircoError
from env.jobs import Request

SAVED_AS: Final = Path("last_scenario.csv")
_MAX_SEED: Final = 2**32
_MOST_JOBS: Final = 1_000_000


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, send the jobs, and return the exit code."""
    return run_command("dacirco_scenario", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    if options.file is not None:
        given = read_jobs(options.file, strict=options.strict)
    else:
        # Without a number it is a first try: one request, and an earlier scenario stays saved.
        save_as = None if options.number is None else SAVED_AS
        seed = chosen_seed(options.seed)
        given = JobFile(generate_jobs(options.number or 1, seed, save_as))
    jobs = given.jobs
    with JobApi(options.target, options.port) as api:
        failed = play(api, jobs, debug=options.debug)
    print(f"{len(jobs) - failed} of {len(jobs)} jobs were accepted")
    if wrong := complaint(given, failed, "were not accepted"):
        raise DaCircoError(wrong)


def play(api: JobApi, jobs: Sequence[Request], *, debug: bool = False) -> int:
    """Send each job at its time, counted from now; return how many were not accepted.

    A job that fails does not hold up the others.

    Raises:
        ApiAwayError: the server cannot be reached for the first job.
        KeyboardInterrupt: after telling how many were sent.
    """
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("sent"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    failed = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("sent", total=len(jobs))
        start = time.monotonic()
        for number, job in enumerate(jobs):
            try:
                time.sleep(max(0.0, start + job.arrival_s - time.monotonic()))
                job_id = api.submit(job)
            except KeyboardInterrupt:
                console.print(f"{number} of {len(jobs)} jobs were sent", markup=False)
                raise
            except (ApiError, ApiAwayError) as error:
                if number == 0 and isinstance(error, ApiAwayError):
                    raise
                failed += 1
                told = f"job {number + 1} ({job.movie}) failed: {error}"
                console.print(printable(told), markup=False, soft_wrap=True)
            else:
                if debug:
                    told = f"job {number + 1}: {job.movie}, {job.bitrate_kbps} kbit/s, {job.speed}"
                    console.print(printable(f"{told}: {job_id}"), markup=False, soft_wrap=True)
            progress.advance(bar)
    return failed


def chosen_seed(given: int | None) -> int:
    """The seed that was given, else another one each time."""
    return secrets.randbelow(_MAX_SEED) if given is None else given


def job_count(text: str) -> int:
    """An option's value: how many jobs to generate."""
    number = whole_number(text)
    if number > _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} jobs are too many: at most {_MOST_JOBS}")
    return number


def seed_number(text: str) -> int:
    """An option's value: a seed."""
    if not (text.isascii() and text.isdigit() and int(text) < _MAX_SEED):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {_MAX_SEED - 1}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="dacirco_scenario",
        description="Send jobs to the Job API: generated ones, or those of a scenario file "
        "(rows delay,movie,bitrate,speed; the delay in seconds since the row before). Without -n "
        "and -f, one generated job.",
        epilog=f"The API key, where one is needed, is read from the variable {KEY_VARIABLE}.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "-n",
        "--number",
        type=job_count,
        metavar="N",
        help=f"generate N jobs, one in about 6 s; they are saved as {SAVED_AS}",
    )
    source.add_argument("-f", "--file", type=Path, metavar="FILE", help="replay a scenario file")
    add_server_options(parser)
    parser.add_argument(
        "--seed",
        type=seed_number,
        help="generate the same jobs each time (default: others each time)",
    )
    add_strict_option(parser)
    parser.add_argument("-d", "--debug", action="store_true", help="tell the id of each job")
    return parser


if __name__ == "__main__":
    sys.exit(main())
