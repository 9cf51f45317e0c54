"""A stop-watch on the decisions, for the metrics."""

from __future__ import annotations

import time

from agents.decision import Decision
from agents.shield import Shielded
from deploy.metrics import Metrics
from env.actions import Action
from env.cluster import Cluster


class TimedPolicy:
    """The policy stack, with a stop-watch on its decisions.

    Args:
        policy: guarded and shielded.
        metrics: counts the time.
    """

    def __init__(self, policy: Shielded, metrics: Metrics) -> None:
        self._policy, self._metrics = policy, metrics
        self.name, self.discipline = policy.spec, policy.discipline

    def reset(self, cluster: Cluster) -> None:
        """See `Policy.reset`."""
        self._policy.reset(cluster)

    def act(self, cluster: Cluster) -> Action:
        """See `Policy.act`."""
        return self.decide(cluster).action

    def decide(self, cluster: Cluster) -> Decision:
        """See `Explained.decide`."""
        begin = time.perf_counter()
        try:
            return self._policy.decide(cluster)
        finally:
            self._metrics.decided_in(time.perf_counter() - begin)

    def wake_at(self, cluster: Cluster) -> float | None:
        """See `Policy.wake_at`."""
        return self._policy.wake_at(cluster)
