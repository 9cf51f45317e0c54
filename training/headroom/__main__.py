"""What looking ahead could still win over a policy: ``python -m training.headroom``.

The policy plays episodes at light, half and heavy load, alone and with a search at each decision
that it is not sure of: every likely action is tried in copies of the data centre, each copy follows
the policy for some minutes, and the action that is cheapest on average is taken.

``futures`` look at arrivals drawn anew from their true law, which no operator has: what is won is
more than any search of this kind can win in production. ``true future`` looks at the arrivals,
sizes and boots that will come: knowledge, not skill. Both are figures of policies that were
played, not bounds: another policy may win more.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sb3_contrib import MaskablePPO

from env.command import CommandParser, run_command
from env.errors import ConfigError
from training.evaluation.statistics import Estimate, geometric_mean_ratio
from training.headroom.runs import Condition, Played, play
from training.headroom.search import Search
from training.network import Actor
from training.progress import progress_bar
from training.rollouts.flatten import flatten
from training.train.labels import RolloutSettings

NAME = "training.headroom"
_DISCOUNT_S = 2_000.0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    result = CommandParser(
        prog=f"python -m {NAME}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--policy",
        type=Path,
        default=Path("models/dacirco"),
        help="folder of a policy of your own: its policy.zip is unpickled (%(default)s)",
    )
    result.add_argument("--profile", default="openstack", help="data centre (%(default)s)")
    result.add_argument(
        "--loads", type=float, nargs="+", default=[0.1, 0.5, 0.9], help="offered loads"
    )
    result.add_argument("--preferences", type=float, nargs="+", default=[0.1, 0.5, 0.9], help="w")
    result.add_argument("--episodes", type=int, default=24, help="each (%(default)s)")
    result.add_argument("--minutes", type=float, default=30.0, help="length of each (%(default)g)")
    result.add_argument(
        "--futures", type=int, default=8, help="drawn at each decision (%(default)s)"
    )
    result.add_argument(
        "--length-s", type=float, default=180.0, help="of each rollout (%(default)g)"
    )
    result.add_argument(
        "--doubt",
        type=float,
        default=0.02,
        help="actions with at least this share are tried (%(default)g)",
    )
    result.add_argument(
        "--sure",
        type=float,
        default=1.0,
        help="standard errors that a saving must be above 0 (%(default)g)",
    )
    result.add_argument("--seed", type=int, default=90_000, help="of the episodes (%(default)s)")
    result.add_argument("--threads", type=int, default=2, help="(%(default)s)")
    result.add_argument("--json", type=Path, metavar="FILE", help="write the figures down, too")
    return result


def check(options: argparse.Namespace) -> None:
    """Refuse what makes no sense.

    Raises:
        ConfigError: naming the option and what is allowed.
    """
    for name in ("episodes", "minutes", "length_s", "threads", "doubt"):
        if not getattr(options, name) > 0:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(options, name)}: above 0")
    if options.futures < 2:
        raise ConfigError(f"--futures {options.futures}: at least 2, or nothing tells them apart")
    for load in options.loads:
        if not 0 < load <= 2:
            raise ConfigError(f"--loads {load}: above 0, at most 2")
    if not (options.policy / "policy.zip").is_file():
        raise ConfigError(f"--policy {options.policy}: there is no policy.zip in it")


def ratio(ours: Played, theirs: Played) -> Estimate:
    """Geometric mean over the episodes of the ratio of costs, with its 95 % interval."""
    found = geometric_mean_ratio(ours.costs.reshape(1, -1, 1), theirs.costs.reshape(1, -1, 1))
    assert found is not None
    return found


def _told(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"


def measure(options: argparse.Namespace) -> list[dict[str, object]]:
    """Play all conditions, and print the table.

    Raises:
        ConfigError: an option is out of range.
    """
    check(options)
    network = flatten(Actor(MaskablePPO.load(options.policy / "policy.zip", device="cpu")))
    rollouts = RolloutSettings(options.length_s, _DISCOUNT_S, options.threads)
    ways = {
        f"{options.futures} futures": Search(
            options.futures, False, options.doubt, options.sure, rollouts
        ),
        "true future": Search(1, True, options.doubt, 0.0, rollouts),
    }
    table = Table(title="Cost with looking ahead relative to the policy alone (95 % interval)")
    for title in ("load", "w", *ways, "searched", "changed"):
        table.add_column(title, justify="right")
    rows: list[dict[str, object]] = []
    conditions = [
        Condition(load, w, options.episodes, 60.0 * options.minutes, options.seed)
        for load in options.loads
        for w in options.preferences
    ]
    with progress_bar() as progress:
        bar = progress.add_task(
            "episodes", total=len(conditions) * options.episodes * (1 + len(ways))
        )
        for condition in conditions:
            alone = play(
                condition, network, None, options.profile, lambda n: progress.advance(bar, n)
            )
            cells = [f"{condition.load:g}", f"{condition.preference:g}"]
            row: dict[str, object] = {"load": condition.load, "w": condition.preference}
            for name, search in ways.items():
                played = play(
                    condition, network, search, options.profile, lambda n: progress.advance(bar, n)
                )
                found = ratio(played, alone)
                cells.append(_told(found))
                row[name] = [found.value, found.low, found.high]
                if not search.clairvoyant:
                    shares = played.searched / played.decisions, played.changed / played.decisions
                    row |= dict(zip(("searched", "changed"), shares, strict=True))
            cells += [f"{np.asarray(row[name]):.1%}" for name in ("searched", "changed")]
            table.add_row(*cells)
            rows.append(row)
    Console(width=100).print(table)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(NAME, lambda: measure(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
