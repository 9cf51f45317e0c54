"""Compare policies on the same jobs: ``python -m training.evaluate``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from env.catalog import DEFAULT_CATALOG
from env.command import CommandParser, check_output_file, run_command, whole_number
from env.textfile import write_atomically
from training.evaluation.leaderboard import print_leaderboard
from training.evaluation.plan import (
    DEFAULT_PREFERENCE,
    DEFAULT_PROFILE,
    DEFAULT_SEEDS,
    SHIPPED_POLICY,
    Plan,
    make_plan,
)
from training.evaluation.runs import MOST_PROCESSES, RunRecord, run_plan
from training.evaluation.summary import Summary, summarise
from training.progress import progress_bar
from training.rollouts.play import COMPILED, add_engine_option

COMMAND = "python -m training.evaluate"


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=COMMAND,
        description="Run policies on scenarios and compare them on the same jobs.",
        epilog=(
            "Rules and their parameters: python -m agents. Example: "
            f"{COMMAND} --scenario poisson-half --policy grace-period:max_idle_time=30 "
            "--policy adaptive-flavor --preference 0.1 --preference 0.9"
        ),
    )
    parser.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="FILE_OR_NAME",
        help="a scenario file, a shipped scenario, or a whole split: train or test; "
        "repeatable (default: test)",
    )
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="SPEC",
        help="NAME[:key=value,...], tuned:NAME, models/NAME or the folder of a frozen policy; "
        f"repeatable (default: {SHIPPED_POLICY.as_posix()} if it is there, every rule as it was "
        "tuned for each preference, and the naive ones at their defaults)",
    )
    parser.add_argument(
        "--untuned",
        action="store_true",
        help="without --policy: every rule at its defaults instead of tuned",
    )
    parser.add_argument(
        "--preference",
        action="append",
        default=[],
        type=float,
        metavar="W",
        help=f"from 0.1, lean, to 0.9, fast; repeatable (default: {DEFAULT_PREFERENCE:g})",
    )
    parser.add_argument(
        "--seeds",
        type=whole_number,
        default=DEFAULT_SEEDS,
        metavar="N",
        help="run everything N times with other noise, seeds 0 to N-1 (default: %(default)s)",
    )
    parser.add_argument(
        "--profile",
        default=DEFAULT_PROFILE,
        metavar="NAME_OR_PATH",
        help="data centre: a shipped profile or a TOML file (default: %(default)s)",
    )
    parser.add_argument(
        "--catalog",
        default=DEFAULT_CATALOG,
        metavar="NAME_OR_PATH",
        help="the scenarios' movies: a shipped catalog or a CSV file (default: %(default)s)",
    )
    parser.add_argument(
        "--baseline",
        metavar="SPEC",
        help="the policy that costs are relative to (default: grace-period if it takes part, "
        "else the first policy)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's figures")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write a report: index.html, which needs no other file, and report.md",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number,
        metavar="N",
        help=f"processes or threads (default: up to {MOST_PROCESSES} if there is much to run); the "
        "figures do not depend on it",
    )
    add_engine_option(parser)
    return parser


def evaluate(
    plan: Plan, processes: int | None = None, engine: str = COMPILED
) -> tuple[list[RunRecord], Summary]:
    """Run a plan with a progress bar on standard error."""
    with progress_bar() as progress:
        bar = progress.add_task("evaluating", total=sum(1 for _ in plan.tasks()))
        records = run_plan(
            plan,
            processes=processes,
            on_run=lambda: progress.advance(bar),
            engine=engine,
            say=progress.console.print,
        )
    return records, summarise(plan, records)


def document(records: Sequence[RunRecord], summary: Summary) -> str:
    """The JSON document of an evaluation; a figure that does not exist is null."""
    data = {
        "results": [record.to_dict() for record in records],
        "summary": summary.to_dict(),
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def run(arguments: Sequence[str]) -> None:
    """The command.

    Raises:
        DaCircoError: bad input; nothing was written.
    """
    options: argparse.Namespace = make_parser().parse_args(arguments)
    if options.json is not None:
        check_output_file(options.json)
    if options.report is not None:
        # The report needs matplotlib, which takes long to import.
        from training.evaluation.report import check_folder

        check_folder(options.report)
    plan = make_plan(
        scenarios=options.scenario,
        policies=options.policy,
        preferences=options.preference,
        seeds=options.seeds,
        profile=options.profile,
        catalog=options.catalog,
        baseline=options.baseline,
        tuned=not options.untuned,
    )
    records, summary = evaluate(plan, options.jobs, options.engine)
    if options.json is not None:
        write_atomically(options.json, document(records, summary))
    console = Console(highlight=False)
    print_leaderboard(summary, console)
    if options.json is not None:
        console.print(f"runs: {options.json}", markup=False)
    if options.report is not None:
        from training.evaluation.report import write_report

        command = shlex.join([*COMMAND.split(), *arguments])
        page = write_report(options.report, summary, records, command)
        console.print(f"report: {page}", markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(COMMAND, lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
