"""The file of the tuned rules: written by tuning, read by `agents.tuned`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from env.textfile import write_atomically
from training.tuning.study import Effort, Tuned

_HEAD = """\
# The best setting found for each rule at each preference, on the training split.
# cost: relative to grace-period at its defaults on the same jobs, geometric mean;
# default_cost: the same of the rule at its own defaults; judged: settings that were run (what
# was suggested for one preference is judged at all, but for rules that heed the preference);
# given_up: how many of these were stopped early, behind the best in a paired test.
# Written by the command below; do not edit.
"""


def tuned_text(tuned: Sequence[Tuned], effort: Effort, scenarios: int, command: str) -> str:
    """The file's text; rules in the order given, each with its preferences ascending."""
    lines = [
        _HEAD,
        "[made]",
        f"command = {_quoted(command)}",
        f"trials = {effort.trials}",
        f"seed = {effort.seed}",
        f"training_scenarios = {scenarios}",
        f"random_episodes = {effort.random_episodes}",
        f"profile = {_quoted(effort.profile)}",
    ]
    for rule in dict.fromkeys(one.rule for one in tuned):
        for one in sorted((t for t in tuned if t.rule == rule), key=lambda t: t.preference):
            lines += [
                "",
                f'[rules.{rule}."{one.preference:g}"]',
                f"spec = {_quoted(one.spec)}",
                f"cost = {one.cost:.4f}",
                f"default_cost = {one.default_cost:.4f}",
                f"judged = {one.judged}",
                f"given_up = {one.given_up}",
            ]
    return "\n".join(lines) + "\n"


def write_tuned(
    path: Path, tuned: Sequence[Tuned], effort: Effort, scenarios: int, command: str
) -> None:
    """Write the file whole or not at all.

    Raises:
        DaCircoError: it cannot be written.
    """
    write_atomically(path, tuned_text(tuned, effort, scenarios, command))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
