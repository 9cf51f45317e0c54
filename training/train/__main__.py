"""Train an autoscaling policy: ``python -m training.train``.

With no argument it trains the configuration of the shipped policy; ``--preset quick`` is a
run that a person waits for. A run logs under RUNS/NAME (look inside with TensorBoard), keeps
checkpoints there, and exports its best policy to MODELS/NAME. Ctrl-C leaves a checkpoint;
``--resume`` goes on from it. The order of precedence is: option, configuration file, preset.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from env.command import CommandParser, run_command
from training.comparison import RIVALS, Comparison
from training.run import TrainingRun
from training.settings import PRESETS, Settings, load_settings

NAME = "training.train"


def parser() -> argparse.ArgumentParser:
    """The command's options: its own and one for each setting."""
    result = CommandParser(
        prog=f"python -m {NAME}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--preset", choices=sorted(PRESETS), default="full", help="Set of defaults (full)."
    )
    result.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file with settings over the preset's."
    )
    result.add_argument(
        "--resume",
        action="store_true",
        help="Go on from the latest checkpoint of RUNS/NAME, with the settings it began with.",
    )
    result.add_argument(
        "--from-scratch",
        action="store_true",
        help="Begin with a random network instead of imitating rules: --imitation-decisions 0.",
    )
    settings = result.add_argument_group("settings (keys of a configuration file)")
    for field in dataclasses.fields(Settings):
        default = field.default
        settings.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(default) if not isinstance(default, Path) else Path,
            default=None,
            metavar=type(default).__name__.removeprefix("Posix").upper(),
            help=f"{field.metadata['help']} ({default})".replace("%", "%%"),
        )
    return result


def settings_from(arguments: argparse.Namespace) -> Settings:
    """The settings that the command line asks for.

    Raises:
        ConfigError: a value is out of range, or the configuration file cannot be used.
    """
    base = PRESETS[arguments.preset]
    if arguments.config is not None:
        base = load_settings(arguments.config, base)
    given = {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(Settings)
        if getattr(arguments, field.name) is not None
    }
    if arguments.from_scratch:
        given["imitation_decisions"] = 0
    return dataclasses.replace(base, **given)


def print_table(run: TrainingRun, comparison: Comparison) -> None:
    """Export the best policy and print how it does on the test scenarios."""
    console = Console()
    summary = run.export(comparison)
    table = Table(title="Cost per job of the policy relative to ... on the test scenarios")
    table.add_column("relative to (at its defaults)")
    for preference in comparison.preferences:
        table.add_column(f"w={preference}", justify="right")
    table.add_column("all", justify="right")
    for name in RIVALS:
        by = summary["cost_ratio"][name]
        table.add_row(name, *(f"{value:.3f}" for value in by.values()))
    console.print(table)
    settings, state = run.settings, run.state
    console.print(
        f"Best policy: after {state.best_generations} generations of VinePPO and "
        f"{state.best_steps:,} decisions of PPO. Less than 1 is cheaper.\n"
        f"Frozen policy  {settings.model_folder}\n"
        f"Checkpoints    {run.checkpoints.folder}\n"
        f"TensorBoard    tensorboard --logdir {settings.runs}\n"
        f"Full report    python -m training.evaluate --policy {settings.model_folder} "
        "--report report",
        highlight=False,
        soft_wrap=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""

    def work() -> None:
        arguments = parser().parse_args(argv)
        settings = settings_from(arguments)
        run = TrainingRun(settings, resume=arguments.resume)
        try:
            print_table(run, run.train())
        except KeyboardInterrupt:
            places = " ".join(
                f"--{key} {value}"
                for key in ("runs", "models", "name")
                if (value := getattr(settings, key)) != getattr(Settings(), key)
            )
            print(
                f"stopped; what was learned is in {run.checkpoints.folder}: go on with "
                f"python -m {NAME} {places} --resume".replace("  ", " "),
                file=sys.stderr,
            )
            raise

    return run_command(NAME, work)


if __name__ == "__main__":
    sys.exit(main())
