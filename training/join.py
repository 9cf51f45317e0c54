"""Join frozen policies into one, each in charge where it does best: ``python -m training.join``.

Policies that learned under different conditions may do best at different preferences. Each is run
on episodes of the training split and on random ones, at five preferences; the cheapest is put in
charge of the stretch of the dial around each, and one network that holds all of them is exported
to MODELS/NAME (see `training.gating`). The test scenarios have no say. The models must be your own:
``policy.zip`` is pickled.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sb3_contrib import MaskablePPO

from agents.frozen import NETWORK_FILE, sha256
from env.command import CommandParser, run_command, whole_number
from env.config import load_profile
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE
from env.errors import DaCircoError, PolicyError
from env.observation import preference_feature
from training.ancestor import CHECKPOINT_FILE, Ancestor, load_ancestor
from training.comparison import Comparison, over_all
from training.episode_sets import random_set, redrawn_set, scenario_set
from training.export import Provenance, check_replaceable, export
from training.gating import gated_width, join_actors
from training.model import build_model, training_batch
from training.network import Actor
from training.preferences import PREFERENCES
from training.processes import worker_pool
from training.progress import progress_bar
from training.settings import Settings
from training.watch import watch

NAME: Final = "training.join"
_RECORDED = 2_000
"""Observations on which the export is checked."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part(Ancestor):
    """A frozen policy that may become a part of another.

    Attributes:
        settings: that it was trained with.
    """

    settings: Settings


@dataclass(frozen=True, slots=True)
class Validation:
    """The episodes that decide.

    Attributes:
        draws: how often the training scenarios are drawn anew, with other jobs.
        episodes: random ones.
        seed: of the latter.
    """

    draws: int
    episodes: int
    seed: int

    def comparison(self, home: str) -> Comparison:
        """The episodes, without rivals."""
        return Comparison(
            [
                *scenario_set("train", home),
                *redrawn_set(self.draws, home),
                *random_set(self.episodes, self.seed, home),
            ],
            (),
        )


@dataclass(frozen=True, slots=True)
class Charge:
    """A part and its stretch of the dial.

    Attributes:
        part: its number.
        low, high: least and greatest preference.
    """

    part: int
    low: float
    high: float


def load_part(folder: Path) -> Part:
    """A frozen policy with a checkpoint.

    Raises:
        PolicyError: it is none, was changed, is itself joined, or is of another schema.
        ConfigError: it was trained with settings that are none any more.
    """
    ancestor = load_ancestor(folder)
    card = ancestor.card
    if "parts" in card["training"]:
        names = ", ".join(part["name"] for part in card["training"]["parts"])
        raise PolicyError(f"{folder} is itself joined, of {names}: name these instead")
    known = {field.name: field for field in dataclasses.fields(Settings)}
    kept = {key: value for key, value in card["training"]["settings"].items() if key in known}
    settings = Settings(**{**kept, "runs": Path(kept["runs"]), "models": Path(kept["models"])})
    home = load_profile(settings.home_profile)
    ancestor.check_flavors([flavor.name for flavor in home.cluster.flavors])
    return Part(folder, card, settings)


def _costs(task: tuple[Part, Comparison]) -> Floats:
    """Logarithms of a part's costs, shape (preferences, episodes)."""
    part, comparison = task
    torch.set_num_threads(1)
    costs: Floats = np.log(comparison.run(part.actor()).costs)
    return costs


def divide(costs: Sequence[Floats]) -> list[Charge]:
    """Who is in charge where: at each preference the cheapest, from halfway to halfway.

    Args:
        costs: of each part the logarithms of its costs, shape (preferences, episodes).
    """
    cheapest = np.array([part.mean(axis=1) for part in costs]).argmin(axis=0).tolist()
    runs = [list(run) for _, run in groupby(range(len(PREFERENCES)), key=lambda i: cheapest[i])]
    inner = [(PREFERENCES[a[-1]] + PREFERENCES[b[0]]) / 2 for a, b in pairwise(runs)]
    edges = [MIN_PREFERENCE, *inner, MAX_PREFERENCE]
    return [
        Charge(cheapest[run[0]], low, high)
        for run, (low, high) in zip(runs, pairwise(edges), strict=True)
    ]


def join(parts: Sequence[Part], charges: Sequence[Charge]) -> MaskablePPO:
    """One model whose actor holds those in charge; its critic has learned nothing."""
    actors = {number: parts[number].actor() for number in {charge.part for charge in charges}}
    row = [actors[charge.part] for charge in charges]
    settings = dataclasses.replace(parts[0].settings, width=gated_width(row), n_envs=2)
    model = build_model(settings, training_batch(settings))
    boundaries = [preference_feature(charge.high) for charge in charges[:-1]]
    join_actors(Actor(model), row, boundaries)
    return model


def print_ratios(console: Console, parts: Sequence[Part], costs: Sequence[Floats]) -> None:
    """Cost of each part relative to the first, with standard errors."""
    n = costs[0].shape[1]
    table = Table(title=f"Cost relative to the first, {n} episodes (standard error)")
    table.add_column("policy")
    for preference in PREFERENCES:
        table.add_column(f"w={preference}", justify="right")
    table.add_column("all", justify="right")
    for part, own in zip(parts, costs, strict=True):
        saved = own - costs[0]
        ratios, errors = np.exp(saved.mean(axis=1)), saved.std(axis=1) / np.sqrt(n)
        cells = [f"{r:.4f} ({e:.4f})" for r, e in zip(ratios, errors, strict=True)]
        table.add_row(part.folder.as_posix(), *cells, f"{over_all(ratios):.4f}")
    console.print(table)


def export_joined(
    model: MaskablePPO,
    folder: Path,
    parts: Sequence[Part],
    charges: Sequence[Charge],
    validation: Validation,
    decisions: int,
) -> None:
    """Freeze the joined policy.

    Raises:
        PolicyError: see `training.export.export`.
    """
    settings, actor = parts[0].settings, Actor(model)
    boxes = [parts[charge.part].card["observation_envelope"] for charge in charges]
    low = np.min([box["low"] for box in boxes], axis=0)
    high = np.max([box["high"] for box in boxes], axis=0)
    rng = np.random.default_rng(validation.seed)
    recorded = []
    for met in watch(actor, settings, decisions):
        low, high = np.minimum(low, met.min(axis=0)), np.maximum(high, met.max(axis=0))
        recorded.append(met[rng.choice(len(met), min(_RECORDED, len(met)), replace=False)])
    scenarios = Comparison(scenario_set("test", settings.home_profile))
    about = (
        f"Cost per job relative to rules at their defaults: geometric mean over the "
        f"{len(scenarios.episodes)} test scenarios, one seed each."
    )
    export(
        model,
        folder,
        Provenance(
            training={
                "parts": [
                    {
                        "name": parts[charge.part].folder.name,
                        "preferences": [charge.low, charge.high],
                        "checkpoint_sha256": sha256(parts[charge.part].checkpoint),
                        **parts[charge.part].card["training"],
                    }
                    for charge in charges
                ],
                "validation": dataclasses.asdict(validation),
            },
            observations=np.concatenate(recorded),
            envelope=(low.tolist(), high.tolist()),
            evaluation=scenarios.summary(scenarios.run(actor), about),
            flavors=tuple(f.name for f in scenarios.episodes[0].profile.cluster.flavors),
        ),
    )


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=f"python -m {NAME}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("policies", nargs="+", type=Path, metavar="MODEL", help="its folder")
    parser.add_argument("--name", required=True, help="of the joined policy")
    parser.add_argument(
        "--models", type=Path, default=Path("models"), help="where to export to (%(default)s)"
    )
    parser.add_argument(
        "--draws",
        type=whole_number,
        default=5,
        metavar="N",
        help="run on the training scenarios so many times with other jobs (%(default)s)",
    )
    parser.add_argument(
        "--episodes",
        type=whole_number,
        default=96,
        metavar="N",
        help="and on so many random episodes (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=20_000, help="of the random episodes (%(default)s)"
    )
    parser.add_argument(
        "--decisions",
        type=whole_number,
        default=400_000,
        metavar="N",
        help="watch so many for the envelope, and as many in overloads (%(default)s)",
    )
    parser.add_argument(
        "--jobs", type=whole_number, default=2, metavar="N", help="processes (%(default)s)"
    )
    return parser


def run(arguments: Sequence[str] | None) -> None:
    """The command.

    Raises:
        DaCircoError: bad input, or one policy does best everywhere.
    """
    options = make_parser().parse_args(arguments)
    if options.seed < 0:
        raise DaCircoError(f"--seed {options.seed} is below 0: give a whole number of 0 or more")
    folder = options.models / Settings(name=options.name).name
    check_replaceable(folder)
    parts = [load_part(path) for path in options.policies]
    if len(set(options.policies)) < 2:
        raise DaCircoError("give two models or more to join")
    validation = Validation(options.draws, options.episodes, options.seed)
    console = Console(highlight=False, width=140)
    comparison = validation.comparison(parts[0].settings.home_profile)
    with progress_bar() as progress, worker_pool(min(options.jobs, len(parts))) as pool:
        bar = progress.add_task("policies on the validation episodes", total=len(parts))
        costs = []
        for found in pool.imap(_costs, [(part, comparison) for part in parts]):
            costs.append(found)
            progress.advance(bar)
    print_ratios(console, parts, costs)
    charges = divide(costs)
    for charge in charges:
        place = parts[charge.part].folder
        console.print(f"in charge from w = {charge.low:g} to {charge.high:g}: {place}")
    if len(charges) == 1:
        raise DaCircoError(f"{parts[charges[0].part].folder} does best everywhere: use it alone")
    export_joined(join(parts, charges), folder, parts, charges, validation, options.decisions)
    console.print(f"Frozen policy  {folder} ({NETWORK_FILE}, {CHECKPOINT_FILE})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(NAME, lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
