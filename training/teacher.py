"""Whom the network imitates first: a rule with parameters chosen for the preference."""

from __future__ import annotations

import tomllib
from importlib import resources

from agents.policy import Policy
from agents.registry import make_policy
from env.actions import Action
from env.cluster import Cluster
from env.dispatch import Discipline


class Teacher(Policy):
    """Follows, at each preference, the rule that ``teacher.toml`` names for the nearest one."""

    name = "teacher"
    discipline: Discipline = "sjf"

    def __init__(self, rules: dict[float, Policy]) -> None:
        self._rules = rules
        self._rule = next(iter(rules.values()))

    def reset(self, cluster: Cluster) -> None:
        """Choose the rule for the cluster's preference."""
        nearest = min(self._rules, key=lambda preference: abs(preference - cluster.preference))
        self._rule = self._rules[nearest]
        self._rule.reset(cluster)

    def act(self, cluster: Cluster) -> Action:
        """What the chosen rule orders."""
        return self._rule.act(cluster)

    def wake_at(self, cluster: Cluster) -> float | None:
        """When the chosen rule wants to be asked again."""
        return self._rule.wake_at(cluster)


def load_teacher() -> Teacher:
    """A new teacher."""
    text = (resources.files("training") / "teacher.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)["rules"]
    return Teacher({float(preference): make_policy(spec) for preference, spec in table.items()})
