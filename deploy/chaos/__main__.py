"""``python -m deploy.chaos``: a campaign against a service of its own."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.chaos.campaign import Campaign, ChaosError
from deploy.chaos.plan import FaultKind, Plan
from env.command import CommandParser, positive_seconds, run_command, whole_number


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, run the campaign, print the verdict, and return the exit code."""
    return run_command("deploy.chaos", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    plan = Plan(
        jobs=options.jobs,
        bad_jobs=options.bad_jobs,
        faults=options.faults,
        kinds=tuple(options.only or FaultKind),
        seed=options.seed,
        mean_gap_s=options.mean_gap,
        mean_length_s=options.mean_length,
        patience_s=options.patience,
    )
    folder = options.data or Path(tempfile.mkdtemp(prefix="dacirco-chaos-"))
    try:
        verdict = Campaign(plan, folder).run()
    except ChaosError as error:
        raise ChaosError(f"{error}; see {folder}") from None
    print("\n".join(verdict.lines()))
    if verdict.wrong:
        raise ChaosError(f"{len(verdict.wrong)} things are wrong; see {folder}")
    if options.data is None:
        shutil.rmtree(folder)


def _parser() -> argparse.ArgumentParser:
    plan = Plan()
    parser = CommandParser(
        prog="python -m deploy.chaos",
        description="Start an embedded service, submit jobs, disturb it at random times, and "
        "check that every accepted job ended exactly once and as its file deserves, that every "
        "result can be played to its end, and that no process is left. The faults: kill -9 of the "
        "controller, the Job API, workers and the service itself (kill), parts that stand still "
        "for a while (freeze), workers whose ffmpeg fails or leaves half a file (sick-worker), "
        "and full disks of the workers or of all (full-disk; needs root).",
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
        "--faults", type=whole_number, default=plan.faults, help="how many (%(default)s)"
    )
    parser.add_argument(
        "--only",
        type=FaultKind,
        choices=list(FaultKind),
        action="append",
        metavar="KIND",
        help=f"faults of this kind only, may be repeated: {', '.join(FaultKind)}",
    )
    parser.add_argument(
        "--seed", type=int, default=plan.seed, help="of everything random (%(default)s)"
    )
    parser.add_argument(
        "--mean-gap",
        type=positive_seconds,
        default=plan.mean_gap_s,
        metavar="SECONDS",
        help="mean time between the beginnings of two faults (%(default)s)",
    )
    parser.add_argument(
        "--mean-length",
        type=positive_seconds,
        default=plan.mean_length_s,
        metavar="SECONDS",
        help="mean time that a freeze or a full disk lasts (%(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=positive_seconds,
        default=plan.patience_s,
        metavar="SECONDS",
        help="after the last fault, until every job must have ended (%(default)s)",
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
