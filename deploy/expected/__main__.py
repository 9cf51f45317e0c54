"""``python -m deploy.expected``: how often jobs ended within their expected intervals.

Guesses are made in simulated runs of the scenarios, and compared with what then happened. The
factors around them come from the training scenarios; how often the truth lay inside is measured on
the test scenarios, with other seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

import numpy as np

from agents.registry import make_policy
from deploy.expected.forecast import Group, forecast
from deploy.expected.interval import FILE, NOMINAL, Factors, factors
from env.actions import ActionKind
from env.catalog import load_catalog
from env.command import CommandParser, run_command
from env.config import load_profile
from env.scenario import load_split
from env.simulator import Simulator
from env.textfile import write_atomically

POLICIES: Final = ("minimize-workers", "grace-period", "break-even", "models/dacirco")
PREFERENCES: Final = (0.3, 0.7)
_EVERY: Final = 7
"""Guesses are made at every so many epochs."""
_FEWEST: Final = 200
"""Fewer guesses than this say nothing of a group."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A guess, and what came of it: both in seconds from when it was made."""

    policy: str
    group: Group
    guessed_s: float
    took_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the factors if asked to."""
    return run_command("python -m deploy.expected", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    options.policy = options.policy or list(POLICIES)
    if options.write:
        fitted = fit(list(outcomes("train", options.policy, options.profile, options.seed)))
        target = Path(__file__).with_name(FILE)
        write_atomically(target, as_toml(fitted, options))
        print(f"{target} is written")
        factors.cache_clear()
    found = list(outcomes("test", options.policy, options.profile, options.seed + 1000))
    for line in report(found, factors()):
        print(line)


def outcomes(
    split: str, policies: Sequence[str], profile_name: str, seed: int
) -> Iterator[Outcome]:
    """Guesses and outcomes of all scenarios of a split."""
    profile, catalog = load_profile(profile_name), load_catalog()
    for number, scenario in enumerate(load_split(split)):
        for spec in policies:
            for preference in PREFERENCES:
                policy = make_policy(spec)
                simulator = Simulator(
                    profile,
                    scenario.requests,
                    catalog,
                    seed=seed + number,
                    preference=preference,
                    discipline=policy.discipline,
                )
                made: list[tuple[int, float, Group, float]] = []
                cluster, epoch = simulator.cluster, 0
                policy.reset(cluster)
                while simulator.advance():
                    while True:
                        action = policy.act(cluster)
                        if action.kind is ActionKind.KEEP or not simulator.apply(action):
                            break
                    wake = policy.wake_at(cluster)
                    if wake is not None:
                        simulator.wake_at(wake)
                    epoch += 1
                    if epoch % _EVERY == 0 and cluster.jobs_in_system:
                        made += [
                            (int(str(job)), cluster.now, guess.group, guess.remaining_s)
                            for job, guess in forecast(cluster).items()
                        ]
                for job, then, group, guessed in made:
                    took = simulator.ended_s[job] - then
                    if isfinite(took):
                        yield Outcome(spec, group, guessed, took)


def fit(found: Sequence[Outcome]) -> dict[Group, Factors]:
    """The factors of each group; of one that was hardly seen those of all."""
    tail = (1.0 - NOMINAL) / 2.0
    levels = (tail, 0.5, 1.0 - tail)
    fitted = {}
    for group in Group:
        ratios = [each.took_s / each.guessed_s for each in found if each.group is group]
        if len(ratios) < _FEWEST:
            ratios = [each.took_s / each.guessed_s for each in found]
        fitted[group] = Factors(*np.quantile(ratios, levels).tolist())
    return fitted


def as_toml(fitted: Mapping[Group, Factors], options: argparse.Namespace) -> str:
    """The factors as a file."""
    lines = [
        "# What guesses at the rest of a job are multiplied by; made by",
        f"# python -m deploy.expected --write --profile {options.profile} --seed {options.seed}",
    ]
    for group, row in fitted.items():
        lines += ["", f"[factors.{group}]"]
        lines += [f"{key} = {getattr(row, key):.4f}" for key in row.__slots__]
    return "\n".join([*lines, ""])


def report(found: Sequence[Outcome], by: Mapping[Group, Factors]) -> Iterator[str]:
    """How often the truth lay inside, by group and by policy."""
    yield f"nominal: {NOMINAL:.0%} inside"
    yield f"{'':24}{'guesses':>9}{'inside':>8}{'earlier':>9}{'later':>7}{'width s':>9}{'took s':>8}"
    rows: list[tuple[str, list[Outcome]]] = [("all", list(found))]
    rows += [(str(group), [each for each in found if each.group is group]) for group in Group]
    policies = dict.fromkeys(each.policy for each in found)
    rows += [(policy, [each for each in found if each.policy == policy]) for policy in policies]
    for label, mine in rows:
        if not mine:
            continue
        low = np.array([each.guessed_s * by[each.group].earliest for each in mine])
        high = np.array([each.guessed_s * by[each.group].latest for each in mine])
        took = np.array([each.took_s for each in mine])
        earlier, later = float(np.mean(took < low)), float(np.mean(took > high))
        yield (
            f"{label:24}{len(mine):9}{1 - earlier - later:8.1%}{earlier:9.1%}{later:7.1%}"
            f"{float(np.median(high - low)):9.1f}{float(np.median(took)):8.1f}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m deploy.expected",
        description="Measure how often jobs end within their expected intervals.",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="first find the factors anew, on the training scenarios, and write them down",
    )
    parser.add_argument("--profile", default="openstack", help="data centre (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    parser.add_argument(
        "--policy",
        action="append",
        metavar="POLICY",
        help=f"give it again for more (default: {', '.join(POLICIES)})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
