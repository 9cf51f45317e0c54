"""Measure the speed of the simulator and of training: ``python -m training.bench``.

Times are those of one core, which other programs on the machine change little; each is the
median of several repetitions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from env.command import CommandParser, check_output_file, run_command
from env.errors import UnknownNameError
from env.textfile import write_atomically
from training.benchmarks.decisions import decision_speeds
from training.benchmarks.simulation import DAY_S, NODES, day_speed, scaling
from training.revision import git_revision
from training.settings import Settings

COMMAND: Final = "python -m training.bench"
WIDTH: Final = 106
"""Columns that the tables need."""

DECISIONS_PER_SECOND: Final = 25_000
TRAINING_RATIO: Final = 0.5
DAY_LIMIT_S: Final = 2.0
LABEL_RATIO: Final = 20.0
LEARNING_TIMES: Final = 5.0
LEARNING_SHARE: Final = 0.8
MEMORY_GIB: Final = 4.0
TUNING_RATIO: Final = 10.0
HOME_RATIO: Final = 8.0
ENGINE_NODES: Final = (3, 30, 300)


@dataclass(frozen=True, slots=True)
class Target:
    """A figure beside what it must reach."""

    name: str
    value: float
    limit: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether it does."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "name": self.name,
            "value": self.value,
            "at_least" if self.at_least else "at_most": self.limit,
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the benchmark found: its targets, its figures, a table."""

    targets: list[Target]
    figures: dict[str, Any]
    table: Table


def decisions_part(quick: bool) -> Part:
    """Decisions a second of the environment alone."""
    speeds = decision_speeds(*((2_000, 3) if quick else (40_000, 5)))
    table = _table("environment alone, one core, Poisson load 0.5", "decisions/s", "best")
    who = {
        "random": "random legal actions",
        "rule": "naive rule",
        "gym": "random legal actions through step()",
    }
    for name, speed in speeds.items():
        table.add_row(who[name], f"{speed.per_second:,.0f}", f"{speed.best_per_second:,.0f}")
    return Part(
        [Target("decisions a second", speeds["random"].per_second, DECISIONS_PER_SECOND, True)],
        {name: speed.to_dict() for name, speed in speeds.items()},
        table,
    )


def training_part(quick: bool) -> Part:
    """Training steps a second beside an environment that does nothing."""
    from training.benchmarks.learning import training_speed  # torch takes long to import

    settings = Settings()
    if quick:
        settings = replace(settings, n_envs=8, rollout_steps=64, batch_size=256)
    speed = training_speed(settings, 2 if quick else 7)
    table = _table(
        f"training, {settings.n_envs} environments, {settings.epochs} epochs", "steps/s", "best"
    )
    for name, one in (("simulated data centres", speed.real), ("doing nothing", speed.null)):
        table.add_row(name, f"{one.per_second:,.0f}", f"{one.best_per_second:,.0f}")
    table.add_row("ratio", f"{speed.ratio:.2f}", "")
    return Part(
        [Target("training, share of doing nothing", speed.ratio, TRAINING_RATIO, True)],
        {
            "environments": speed.real.to_dict(),
            "doing_nothing": speed.null.to_dict(),
            "ratio": speed.ratio,
        },
        table,
    )


def day_part(quick: bool) -> Part:
    """Time of a simulated day."""
    length_s = DAY_S / 48 if quick else DAY_S
    speed = day_speed(3 if quick else 5, length_s)
    day_s = speed.core_s * DAY_S / length_s
    table = _table("a simulated day of minimize-workers, Poisson load 0.5", "seconds", "jobs/s")
    table.add_row("time of a core", f"{day_s:.2f}", f"{speed.per_second:,.0f}")
    table.add_row("time that passed", f"{speed.wall_s * DAY_S / length_s:.2f}", "")
    return Part(
        [Target("seconds for a simulated day", day_s, DAY_LIMIT_S, False)],
        {"simulated_s": length_s, "day_core_s": day_s, **speed.to_dict()},
        table,
    )


def scaling_part(quick: bool) -> Part:
    """Cost of an event over the number of nodes."""
    found = scaling(*((300, 2) if quick else (20_000, 3)), nodes=NODES)
    table = _table(
        "an event of minimize-workers at load 0.5 per node", "microseconds", "ratio", "log bound"
    )
    for size in found.sizes:
        table.add_row(
            f"{size.nodes} nodes", f"{size.event_us:.1f}", f"{size.ratio:.2f}", f"{size.bound:.2f}"
        )
    table.caption = (
        f"fit: {found.base_us:.1f} + {found.slope_us:.2f} ln(nodes) microseconds; "
        f"as a power of the nodes: {found.exponent:.2f}"
    )
    largest = found.sizes[-1]
    return Part(
        [
            Target(
                f"cost of an event, {largest.nodes} to {found.sizes[0].nodes} nodes",
                largest.ratio,
                largest.bound,
                False,
            )
        ],
        found.to_dict(),
        table,
    )


def engine_part(quick: bool) -> Part:
    """Decisions a second of the compiled engine, and against the environment in the same run."""
    from training.benchmarks.engine import engine_speed  # Numba takes long to import

    found = engine_speed(*((50_000, 2) if quick else (1_000_000, 3)), nodes=ENGINE_NODES)
    table = _table("compiled engine, observation and mask written", "decisions/s", "of environment")
    scalar = found.scalar.per_second
    rows = {
        "random legal actions, one core": found.random.per_second,
        "naive rule, one core": found.rule.per_second,
        "random legal actions, two threads, best": found.both,
        **{f"{n} nodes, one core": one.per_second for n, one in found.by_nodes.items()},
        "the scalar environment in the same run": scalar,
    }
    for name, speed in rows.items():
        table.add_row(name, f"{speed:,.0f}", f"{speed / scalar:.1f}")
    table.caption = (
        f"{found.bytes:,} bytes a data centre; {found.episode_bytes:,} an episode, which data "
        f"centres may share, and {found.request_bytes:.0f} each of its requests"
    )
    least, most = min(found.by_nodes), max(found.by_nodes)
    slower = found.by_nodes[least].per_second / found.by_nodes[most].per_second
    return Part(
        [
            Target("engine, times the environment", found.random.per_second / scalar, 25.0, True),
            Target("engine, decisions a second on two threads", found.both, 1_000_000, True),
            Target(
                f"engine, cost of a decision, {most} to {least} nodes",
                slower,
                1.0 + log(most / least),
                False,
            ),
        ],
        {
            "random": found.random.to_dict(),
            "rule": found.rule.to_dict(),
            "two_threads": found.both,
            "scalar": found.scalar.to_dict(),
            "by_nodes": {str(n): one.to_dict() for n, one in found.by_nodes.items()},
            "bytes": found.bytes,
            "episode_bytes": found.episode_bytes,
            "request_bytes": found.request_bytes,
        },
        table,
    )


def memory_part(quick: bool) -> Part:
    """Memory of thousands of data centres with a day of arrivals each."""
    from training.benchmarks.memory import CENTRES, day_memory  # Numba takes long to import

    found = day_memory(8 if quick else 256)
    table = _table(f"{found.days} data centres on the engine, a day each", "found")
    table.add_row("requests a day", f"{found.requests / found.days:,.0f}")
    table.add_row("bytes a request, all included", f"{found.request_bytes:.0f}")
    table.add_row(f"GiB for {CENTRES}", f"{found.gib:.2f}")
    return Part(
        [Target(f"GiB for {CENTRES} different days", found.gib, MEMORY_GIB, False)],
        found.to_dict(),
        table,
    )


def labels_part(quick: bool) -> Part:
    """Labelled states a second by paired rollouts, on the engine and on the simulator."""
    from training.benchmarks.labels import LENGTH_S, WIDTH, label_speeds  # torch, Numba

    speeds = label_speeds(*((8, 2, 2) if quick else (256, 10, 5)))
    table = _table(
        f"labelled states, {speeds.actions:.1f} actions each, {WIDTH} units", "states/s", "best"
    )
    for name, one in (("engine", speeds.engine), ("simulator", speeds.simulator)):
        table.add_row(name, f"{one.per_second:,.0f}", f"{one.best_per_second:,.0f}")
    table.add_row("ratio", f"{speeds.ratio:.0f}", "")
    table.caption = f"branches of {LENGTH_S:.0f} s, {speeds.decisions:.0f} decisions"
    return Part(
        [Target("labelled states, times the simulator's", speeds.ratio, LABEL_RATIO, True)],
        speeds.to_dict(),
        table,
    )


def learning_part(quick: bool) -> Part:
    """Training steps a second on the engine, beside scalar environments and doing nothing."""
    from training.benchmarks import engine_learning as bench  # torch, Numba

    settings = Settings()
    if quick:
        settings = replace(settings, n_envs=8, rollout_steps=64, batch_size=256)
    repetitions, stepped, steps = (2, 64, 50) if quick else (5, 1024, 400)
    found = bench.learning_speeds(settings, repetitions, stepped=stepped, steps=steps)
    names = {
        bench.SCALAR: "scalar environments",
        bench.ENGINE: "engine",
        bench.NOTHING: "doing nothing",
        bench.CLASSIC: f"Gymnasium's {bench.CLASSIC} in NumPy",
    }
    table = _table(f"on the engine, {settings.n_envs} environments", "steps/s", "best")
    for kind, speeds in (("learning", found.learning), ("stepping", found.stepping)):
        for name, one in speeds.items():
            row = f"{kind}, {names[name]}"
            table.add_row(row, f"{one.per_second:,.0f}", f"{one.best_per_second:,.0f}")
    table.caption = f"stepping: {stepped} environments; learning: {settings.width} units"
    return Part(
        [
            Target(
                "learning on the engine, times the scalar environments",
                found.ratio(bench.SCALAR),
                LEARNING_TIMES,
                True,
            ),
            Target(
                "learning on the engine, share of doing nothing",
                found.ratio(bench.NOTHING),
                LEARNING_SHARE,
                True,
            ),
        ],
        found.to_dict(),
        table,
    )


def arena_part(quick: bool) -> Part:
    """Tuning and competing, on the engine and on the reference simulator."""
    from training.benchmarks.arena import RULE, SCENARIOS, arena_speeds  # Numba, Optuna
    from training.preferences import PREFERENCES

    found = arena_speeds(
        trials=1 if quick else 4,
        random_episodes=0 if quick else 8,
        preferences=(0.5,) if quick else PREFERENCES,
        rules=["grace-period"] if quick else None,
        scenarios=SCENARIOS[2:3] if quick else SCENARIOS,
        repetitions=1 if quick else 3,
    )
    table = _table("tuning and competing, one core", "a second", "of reference")
    for what, speeds, ratio in (
        (f"settings of {RULE} judged", found.trials, found.trials_ratio),
        ("runs of the competition at home", found.runs, found.runs_ratio),
    ):
        for engine, speed in speeds.items():
            times = f"{ratio:.1f}" if engine == "compiled" else "1"
            table.add_row(f"{what}, {engine}", f"{speed.per_second:,.2f}", times)
    return Part(
        [
            Target("tuning, times the reference", found.trials_ratio, TUNING_RATIO, True),
            Target("competing at home, times the reference", found.runs_ratio, HOME_RATIO, True),
        ],
        found.to_dict(),
        table,
    )


PARTS: Final[dict[str, Callable[[bool], Part]]] = {
    "decisions": decisions_part,
    "training": training_part,
    "day": day_part,
    "scaling": scaling_part,
    "labels": labels_part,
    "learning": learning_part,
    "memory": memory_part,
    "engine": engine_part,
    "arena": arena_part,
}


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(prog=COMMAND, description=__doc__)
    parser.add_argument(
        "part",
        nargs="*",
        metavar="PART",
        help=f"what to measure: {', '.join(PARTS)} (default: all)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of a minute; the figures are rough"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    return parser


def run(arguments: Sequence[str]) -> None:
    """The command.

    Raises:
        DaCircoError: bad input; nothing was measured.
    """
    options: argparse.Namespace = make_parser().parse_args(arguments)
    for name in options.part:
        if name not in PARTS:
            raise UnknownNameError("part", name, PARTS)
    if options.json is not None:
        check_output_file(options.json)
    console = Console(highlight=False)
    console.width = max(WIDTH, console.width)
    targets: list[Target] = []
    document: dict[str, Any] = {
        "machine": f"{platform.platform()}, {os.cpu_count()} CPUs",
        "revision": git_revision(),
        "quick": options.quick,
    }
    for name in options.part or PARTS:
        part = PARTS[name](options.quick)
        console.print(part.table)
        targets += part.targets
        document[name] = part.figures
    console.print(target_table(targets))
    document["targets"] = [target.to_dict() for target in targets]
    if options.json is not None:
        write_atomically(options.json, json.dumps(document, indent=1) + "\n")


def target_table(targets: Sequence[Target]) -> Table:
    """What had to be reached, and whether it was."""
    table = _table("targets", "found", "wanted", "")
    for target in targets:
        table.add_row(
            target.name,
            _number(target.value),
            f"{'at least' if target.at_least else 'at most'} {_number(target.limit)}",
            Text("reached", style="green") if target.met else Text("missed", style="red"),
        )
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column(title, no_wrap=True, min_width=52)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True, min_width=12)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(COMMAND, lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
