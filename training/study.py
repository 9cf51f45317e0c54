"""Study the naive algorithms and the frozen policy: ``python -m training.study``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console

from agents.registry import is_model
from env.command import CommandParser, run_command
from env.errors import DaCircoError
from training.evaluation.plan import DEFAULT_PROFILE, SHIPPED_POLICY
from training.findings.world import FULL, QUICK, open_world
from training.progress import progress_bar
from training.rollouts.play import add_engine_option

T = TypeVar("T")

COMMAND: Final = "python -m training.study"


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=COMMAND,
        description=(
            "Run the two naive algorithms over loads, bursts and settings, look into the frozen "
            "policy, and write what is found as a page with pictures. Everything on the page is "
            "computed by this command; seeds are fixed, so it finds the same again."
        ),
    )
    parser.add_argument(
        "--policy",
        default=SHIPPED_POLICY.as_posix(),
        metavar="MODEL",
        help="folder of the frozen policy to explain (default: %(default)s)",
    )
    parser.add_argument(
        "--profile",
        default=DEFAULT_PROFILE,
        metavar="NAME_OR_PATH",
        help="data centre: a shipped profile or a TOML file (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("docs"),
        metavar="DIR",
        help="folder for study.md and images/study-*.png (default: %(default)s)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="seconds instead of minutes: short runs, few loads and seeds; the figures are rough",
    )
    add_engine_option(parser)
    return parser


def run(arguments: Sequence[str]) -> None:
    """The command.

    Raises:
        DaCircoError: bad input; no page was written.
    """
    options: argparse.Namespace = make_parser().parse_args(arguments)
    if not is_model(options.policy):
        raise DaCircoError(
            f"{options.policy!r} is not the folder of a frozen policy: name one as models/NAME"
        )
    effort = QUICK if options.quick else FULL
    world = open_world(options.profile, options.policy, effort, options.engine)
    # The pictures and the trees need libraries that take long to import.
    from training.findings.report import check_folder, write_page
    from training.findings.study_parts import find_out

    check_folder(options.out)
    with progress_bar() as progress:

        def track(cases: Sequence[T], part: str) -> Iterable[T]:
            return progress.track(cases, description=part)

        found = find_out(world, track)
    page = write_page(
        options.out,
        world,
        found,
        source=options.profile,
        command=shlex.join([*COMMAND.split(), *arguments]),
    )
    Console(highlight=False).print(f"page: {page}", markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(COMMAND, lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
