"""A policy that follows, at each preference, the rule that was chosen for it."""

from __future__ import annotations

from collections.abc import Mapping

from agents.policy import Policy
from env.actions import Action
from env.cluster import Cluster
from env.errors import PolicyError


class ByPreference(Policy):
    """Follows the rule of the preference that is nearest to the cluster's.

    Args:
        name: of the whole.
        rules: one or more policies by preference, all of the same discipline.

    Raises:
        PolicyError: they serve the queue in different orders.
    """

    def __init__(self, name: str, rules: Mapping[float, Policy]) -> None:
        self.name = name
        self._rules = dict(rules)
        self._rule = next(iter(self._rules.values()))
        self.discipline = self._rule.discipline
        if any(rule.discipline != self.discipline for rule in self._rules.values()):
            raise PolicyError(
                f"{name}: the rules of its preferences must all have the same discipline"
            )

    @property
    def rules(self) -> tuple[Policy, ...]:
        """All of them, in the order in which they were given."""
        return tuple(self._rules.values())

    def rule_at(self, preference: float) -> Policy:
        """The rule that counts at a preference."""
        return self._rules[min(self._rules, key=lambda w: abs(w - preference))]

    def reset(self, cluster: Cluster) -> None:
        """Choose the rule for the cluster's preference."""
        self._rule = self.rule_at(cluster.preference)
        self._rule.reset(cluster)

    def act(self, cluster: Cluster) -> Action:
        """What the chosen rule orders."""
        return self._rule.act(cluster)

    def wake_at(self, cluster: Cluster) -> float | None:
        """When the chosen rule wants to be asked again."""
        return self._rule.wake_at(cluster)
