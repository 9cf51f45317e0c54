"""Makes the scenario files that ship with DaCirco: ``python -m env.make_scenarios``.

The same files come out each time (see `env.recipes`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from env.command import CommandParser, run_command, whole_number
from env.errors import ScenarioError
from env.recipes import RECIPES, make_scenario, redrawn
from env.scenario import SPLITS, Scenario, write_scenario

_NAME: Final = "python -m env.make_scenarios"


def make_scenarios(out: Path, draw: int = 0) -> list[Scenario]:
    """Write every scenario as ``out/SPLIT/NAME.csv``; files of other names stay.

    Args:
        out: the folder.
        draw: 0 for the scenarios that ship, another number for others of the same recipes.

    Raises:
        ScenarioError: if a file or folder cannot be written.
    """
    scenarios = [make_scenario(redrawn(recipe, draw)) for recipe in RECIPES]
    try:
        for split in SPLITS:
            (out / split).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScenarioError(f"cannot make folder {error.filename}: {error.strerror}") from error
    for scenario in scenarios:
        write_scenario(out / f"{scenario.name}.csv", scenario)
    return scenarios


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""

    def work() -> None:
        parser = CommandParser(prog=_NAME, description="Make the scenario files that ship.")
        parser.add_argument(
            "--out",
            type=Path,
            metavar="DIR",
            help="folder to write the splits train/ and test/ to (default: those in the package)",
        )
        parser.add_argument(
            "--draw",
            type=whole_number,
            default=0,
            metavar="N",
            help="instead of the scenarios that ship, draw others from the same recipes with "
            "seeds of their own for each N, 1 or more; needs --out",
        )
        options = parser.parse_args(arguments)
        if options.draw and options.out is None:
            parser.error("--draw makes other scenarios than those that ship: give --out DIR")
        out = options.out or Path(__file__).parent / "scenarios"
        scenarios = make_scenarios(out, options.draw)
        for recipe, scenario in zip(RECIPES, scenarios, strict=True):
            print(
                f"{scenario.name:26} load {recipe.load:.3f}  {len(scenario):4d} jobs"
                f"  {recipe.horizon_s / 60.0:4.0f} min"
            )

    return run_command(_NAME, work)


if __name__ == "__main__":
    sys.exit(main())
