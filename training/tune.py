"""Tune every rule on the training split: ``python -m training.tune``."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import optuna
from rich import box
from rich.console import Console
from rich.table import Table

from agents.registry import FURTHER, make_policy, policy_class, tunable_names
from env.command import CommandParser, check_output_file, run_command, whole_number
from env.config import load_profile
from env.cost import check_preference
from env.errors import DaCircoError
from env.scenario import scenario_names
from training.preferences import PREFERENCES
from training.processes import worker_pool
from training.progress import progress_bar
from training.rollouts.play import COMPILED, Stage, add_engine_option, left_out
from training.tuning.study import Effort, Tuned, tune
from training.tuning.tuned_file import write_tuned

COMMAND: Final = "python -m training.tune"
DEFAULT_OUTPUT: Final = Path("agents") / "tuned.toml"
DEFAULT_STORAGE: Final = Path("runs") / "tune.sqlite"
DEFAULT_TRIALS: Final = 250
DEFAULT_RANDOM_EPISODES: Final = 8

_Job = tuple[str, Sequence[float], Effort, Path, str]


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=COMMAND,
        description=(
            "Tune the parameters of each rule at each preference on the training split, with the "
            "same effort for all. The cost is that per job relative to grace-period at its "
            "defaults, geometric mean over the episodes. What is already in the storage is not "
            "done again: an interrupted command goes on where it was."
        ),
    )
    parser.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="RULE",
        help="a rule (see python -m agents); repeatable (default: every rule)",
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
        "--trials",
        type=whole_number,
        default=DEFAULT_TRIALS,
        metavar="N",
        help="settings suggested for each rule at each preference (default: %(default)s)",
    )
    parser.add_argument(
        "--random-episodes",
        type=_count,
        default=DEFAULT_RANDOM_EPISODES,
        metavar="N",
        help="random training episodes beside the training scenarios (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=_count,
        default=0,
        help="of the search and the random episodes (default: %(default)s)",
    )
    parser.add_argument(
        "--profile",
        default="openstack",
        metavar="NAME_OR_PATH",
        help="data centre: a shipped profile or a TOML file (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number,
        default=1,
        metavar="N",
        help="processes; the result does not depend on it (default: %(default)s)",
    )
    parser.add_argument(
        "--storage",
        type=Path,
        default=DEFAULT_STORAGE,
        metavar="FILE",
        help="SQLite file that keeps the trials (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=DEFAULT_OUTPUT,
        metavar="FILE",
        help="TOML file for the best settings; the default one is what tuned:RULE means "
        "(default: %(default)s)",
    )
    add_engine_option(parser)
    return parser


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return number


def tune_all(
    rules: Sequence[str],
    preferences: Sequence[float],
    effort: Effort,
    storage: Path,
    processes: int,
    engine: str = COMPILED,
) -> list[Tuned]:
    """Tune every rule at every preference, with a progress bar on standard error."""
    jobs: list[_Job] = [(rule, preferences, effort, storage, engine) for rule in rules]
    each = effort.trials * len(preferences)
    tuned: list[Tuned] = []
    with progress_bar() as progress:
        bar = progress.add_task("tuning", total=len(jobs) * each)
        if (line := left_out(Stage(engine), map(make_policy, rules))) is not None:
            progress.console.print(line)
        if processes == 1:
            for job in jobs:
                progress.update(bar, description=job[0])
                tuned += _tune(job, lambda: progress.advance(bar))
        else:
            for found in _in_processes(jobs, processes):
                tuned += found
                progress.advance(bar, each)
    return tuned


def _in_processes(jobs: Sequence[_Job], processes: int) -> Iterator[list[Tuned]]:
    with worker_pool(min(processes, len(jobs)), _quiet) as pool:
        yield from pool.imap(_tune, jobs)


def _tune(job: _Job, on_trial: Callable[[], None] = lambda: None) -> list[Tuned]:
    rule, preferences, effort, storage, engine = job
    return tune(rule, preferences, effort, storage, on_trial, Stage(engine))


def _quiet() -> None:
    """Optuna tells each trial; the progress bar tells what matters."""
    optuna.logging.set_verbosity(logging.WARNING)


def print_tuned(tuned: Sequence[Tuned], console: Console) -> None:
    """The costs by rule and preference, the best of each preference marked."""
    preferences = sorted({one.preference for one in tuned})
    best = {w: min(one.cost for one in tuned if one.preference == w) for w in preferences}
    table = Table(box=box.SIMPLE_HEAD, title="cost on the training split, tuned (at the defaults)")
    table.add_column("rule", no_wrap=True)
    for w in preferences:
        table.add_column(f"w = {w:g}", justify="right", no_wrap=True)
    for rule in dict.fromkeys(one.rule for one in tuned):
        costs = {one.preference: one for one in tuned if one.rule == rule}
        cells = [
            f"[{'bold green' if costs[w].cost == best[w] else 'none'}]{costs[w].cost:.3f}[/] "
            f"({costs[w].default_cost:.3f})"
            for w in preferences
        ]
        table.add_row(rule, *cells)
    console.width = max(console.width, Console(width=10_000).measure(table).maximum)
    console.print(table)


def run(arguments: Sequence[str]) -> None:
    """The command.

    Raises:
        DaCircoError: bad input; nothing was written.
    """
    options: argparse.Namespace = make_parser().parse_args(arguments)
    rules = list(dict.fromkeys(policy_class(name).name for name in options.rival))
    as_it_is = next((rule for rule in rules if rule in FURTHER), None)
    if as_it_is is not None:
        raise DaCircoError(
            f"{as_it_is} is compared as the existing system has it and is not tuned: "
            f"name one of {', '.join(tunable_names())}"
        )
    preferences = list(dict.fromkeys(check_preference(w) for w in options.preference))
    load_profile(options.profile)
    check_output_file(options.output)
    if options.storage.exists() and not options.storage.is_file():
        raise DaCircoError(f"cannot keep the trials in {options.storage}: it is not a file")
    effort = Effort(options.trials, options.seed, options.random_episodes, options.profile)
    _quiet()
    tuned = tune_all(
        rules or tunable_names(),
        preferences or PREFERENCES,
        effort,
        options.storage,
        options.jobs,
        options.engine,
    )
    command = shlex.join([*COMMAND.split(), *arguments])
    write_tuned(options.output, tuned, effort, len(scenario_names("train")), command)
    console = Console(highlight=False)
    print_tuned(tuned, console)
    console.print(f"settings: {options.output}", markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(COMMAND, lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
