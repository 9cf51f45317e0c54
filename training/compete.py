"""The competition, from the shipped models to its page: ``python -m training.compete``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from agents.registry import is_model, make_policy
from env.catalog import load_catalog
from env.cluster import Cluster
from env.command import CommandParser, run_command, whole_number
from env.config import load_profile
from env.cost import check_preference
from env.errors import DaCircoError
from env.scenario import SPLITS, load_scenario, scenario_names
from training.competition.conditions import ELSEWHERE
from training.competition.entrants import rivals, shipped_seeds
from training.competition.report import all_targets, write_page
from training.competition.results import Away, Entry, Home, away
from training.competition.runs import Batch, Course, Runner
from training.competition.targets import Target
from training.evaluation.plan import DEFAULT_PROFILE, SHIPPED_POLICY
from training.preferences import PREFERENCES
from training.progress import progress_bar
from training.rollouts.play import add_engine_option

COMMAND: Final = "python -m training.compete"
PARTS: Final = ("home", "bound", "elsewhere")
"""What is run: the test split, the clairvoyant bounds, the worlds off the profile."""


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=COMMAND,
        description=(
            "Let a frozen policy compete with every rule, tuned and at its defaults, on the same "
            "jobs, and write the page that tells who wins where. Runs are kept: an interrupted "
            "command goes on where it was, and only what has changed is run again (all of it "
            "after a change of the simulator or of the rules)."
        ),
    )
    parser.add_argument(
        "--policy",
        default=SHIPPED_POLICY.as_posix(),
        metavar="MODEL",
        help="folder of the frozen policy that the targets are of (default: %(default)s)",
    )
    parser.add_argument(
        "--seed-model",
        action="append",
        default=[],
        metavar="MODEL",
        help="a policy of another training seed; repeatable (default: those that ship as "
        "models/seed1 and so on, if the policy is the shipped one)",
    )
    parser.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="RULE",
        help="a rule; repeatable; the naive ones always take part (default: every rule)",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="FILE_OR_NAME",
        help="a scenario file, a shipped scenario, or a split; repeatable (default: test)",
    )
    parser.add_argument(
        "--preference",
        action="append",
        default=[],
        type=float,
        metavar="W",
        help="from 0.1, lean, to 0.9, fast; repeatable "
        f"(default: {', '.join(f'{w:g}' for w in PREFERENCES)})",
    )
    parser.add_argument(
        "--seeds",
        type=whole_number,
        default=3,
        metavar="N",
        help="seeds of the simulator at home and with faults (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds-elsewhere",
        type=whole_number,
        default=1,
        metavar="N",
        help="seeds in the other worlds (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds-bound",
        type=whole_number,
        default=1,
        metavar="N",
        help="seeds that the clairvoyant bound is worked out for (default: %(default)s)",
    )
    parser.add_argument(
        "--part",
        action="append",
        default=[],
        choices=PARTS,
        help="what to run and to report besides 'home'; repeatable (default: everything)",
    )
    parser.add_argument(
        "--profile",
        default=DEFAULT_PROFILE,
        metavar="NAME_OR_PATH",
        help="data centre: a shipped profile or a TOML file (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number,
        default=1,
        metavar="N",
        help="processes or threads; the figures do not depend on it (default: %(default)s)",
    )
    add_engine_option(parser)
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs") / "competition",
        metavar="DIR",
        help="folder that keeps the runs (default: %(default)s)",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="forget the runs that are kept and run them again"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("docs"),
        metavar="DIR",
        help="folder for competition.md and images/ (default: %(default)s)",
    )
    return parser


def make_entry(options: argparse.Namespace) -> Entry:
    """Look up all names and check that they go together.

    Raises:
        DaCircoError: something is unknown, or a policy is no frozen policy.
    """
    home = load_profile(options.profile)
    seeds = options.seed_model or shipped_seeds(options.policy)
    learned = tuple(dict.fromkeys([options.policy, *seeds]))
    for policy in learned:
        if not is_model(policy):
            raise DaCircoError(
                f"{policy!r} is not the folder of a frozen policy: name one as models/NAME"
            )
        make_policy(policy).reset(Cluster(home))
    catalog = load_catalog()
    scenarios: dict[str, None] = {}
    for name in options.scenario or ["test"]:
        for source in scenario_names(name) if name in SPLITS else [name]:
            load_scenario(source, catalog)
            scenarios[source] = None
    naive = ["minimize-workers", "grace-period"]
    return Entry(
        learned=learned,
        rivals=tuple(rivals([*naive, *options.rival] if options.rival else None)),
        scenarios=tuple(scenarios),
        preferences=tuple(sorted({check_preference(w) for w in options.preference or PREFERENCES})),
        seeds=options.seeds,
        seeds_elsewhere=options.seeds_elsewhere,
        seeds_bound=min(options.seeds_bound, options.seeds),
        home_nodes=len(home.cluster.nodes),
    )


def carry_out(home: Home, runner: Runner, parts: Sequence[str]) -> None:
    """Run what the parts need, with a progress bar on standard error for each."""
    work: dict[str, Callable[[], list[Batch]]] = {
        "home": home.entry.at_home,
        "bound": home.entry.bounds,
        "elsewhere": home.elsewhere,  # known when the runs at home have told who is best
    }
    with progress_bar() as progress:
        for part in parts:
            batches = list(dict.fromkeys(work[part]()))
            if (line := runner.left_out(runner.missing(batches))) is not None:
                progress.console.print(line)
            bar = progress.add_task(part, total=len(batches))
            runner.run(batches, lambda bar=bar: progress.advance(bar))  # type: ignore[misc]


def print_targets(found: Sequence[Target], console: Console) -> None:
    """Each target, what was found, and whether it is held."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("target", "found", "held"):
        table.add_column(heading, overflow="fold")
    for one in found:
        held = "[green]yes[/]" if one.held else "[bold red]no[/]"
        table.add_row(one.demand, one.found, held)
    console.print(table)
    console.print(f"{sum(one.held for one in found)} of {len(found)} targets are held")


def run(arguments: Sequence[str]) -> None:
    """The command.

    Raises:
        DaCircoError: bad input; no page was written.
    """
    options: argparse.Namespace = make_parser().parse_args(arguments)
    entry = make_entry(options)
    parts = [part for part in PARTS if part == "home" or part in (options.part or PARTS)]
    if options.output.exists() and not options.output.is_dir():
        raise DaCircoError(f"cannot write to {options.output}: it is not a folder")
    course = Course(options.profile, entry.scenarios, tuple(range(options.seeds)))
    runner = Runner(course, options.runs, options.jobs, fresh=options.fresh, engine=options.engine)
    home = Home(entry, runner)
    carry_out(home, runner, parts)
    worlds: list[Away] = []
    if "elsewhere" in parts:
        worlds = [away(home, runner, condition) for condition in ELSEWHERE]
    command = shlex.join([*COMMAND.split(), *arguments])
    page = write_page(options.output, home, worlds, bounds="bound" in parts, command=command)
    console = Console(highlight=False)
    print_targets(all_targets(home, worlds), console)
    console.print(f"page: {page}", markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(COMMAND, lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
