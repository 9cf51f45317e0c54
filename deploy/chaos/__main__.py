"""``python -m deploy.chaos``: a campaign against a service of its own."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.chaos.campaign import Campaign, ChaosError, Plan
from env.command import CommandParser, positive_seconds, run_command, whole_number


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, run the campaign, print the verdict, and return the exit code."""
    return run_command("deploy.chaos", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    plan = Plan(
        jobs=options.jobs,
        bad_jobs=options.bad_jobs,
        kills=options.kills,
        seed=options.seed,
        mean_gap_s=options.mean_gap,
        patience_s=options.patience,
    )
    folder = options.data or Path(tempfile.mkdtemp(prefix="dacirco-chaos-"))
    try:
        verdict = Campaign(plan, folder).run()
    except ChaosError as error:
        raise ChaosError(f"{error}; see {folder}") from None
    print("\n".join(verdict.lines()))
    if verdict.faults:
        raise ChaosError(f"{len(verdict.faults)} faults; see {folder}")
    if options.data is None:
        shutil.rmtree(folder)


def _parser() -> argparse.ArgumentParser:
    plan = Plan()
    parser = CommandParser(
        prog="python -m deploy.chaos",
        description="Start an embedded service, submit jobs, kill -9 its controller, Job API, "
        "workers and the service itself at random times, and check that every accepted job ended "
        "exactly once and that no process is left.",
    )
    parser.add_argument(
        "--jobs", type=whole_number, default=plan.jobs, help="to submit (%(default)s)"
    )
    parser.add_argument(
        "--bad-jobs",
        type=int,
        default=plan.bad_jobs,
        help="how many of them have a file that is no video (%(default)s)",
    )
    parser.add_argument(
        "--kills", type=whole_number, default=plan.kills, help="processes to kill (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=plan.seed, help="of everything random (%(default)s)"
    )
    parser.add_argument(
        "--mean-gap",
        type=positive_seconds,
        default=plan.mean_gap_s,
        metavar="SECONDS",
        help="mean time between two kills (%(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=positive_seconds,
        default=plan.patience_s,
        metavar="SECONDS",
        help="after the last kill, until every job must have ended (%(default)s)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="an empty folder to keep the service's data in; by default a temporary one, which is "
        "kept only if something is wrong",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
