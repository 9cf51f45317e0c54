"""Shadow mode: a policy looks on, and what it would have done is only written down and counted.

It is asked once at each decision epoch, for its first order, in the very state in which the policy
in charge was asked. It cannot be asked "again until it keeps": its order is not carried out, so
the second question would be the first one again; a guess at the state after the order would say
more about the guess. So agreement is agreement on the first order. Nor is it woken when it would
wish to be: it sees the epochs of the one in charge, and the periodic ones.

What its orders would have led to cannot be read off single decisions: `deploy.shadow_cost`
simulates that.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agents.decision import Decision
from env.actions import ActionKind
from env.labels import action_words

if TYPE_CHECKING:
    from env.cluster import Cluster

_LOG = logging.getLogger(__name__)


class ShadowPolicy(Protocol):
    """Who looks on, for instance an `agents.loading.LivePolicy`."""

    name: str

    def reset(self, cluster: Cluster) -> None:
        """Prepare to look on."""

    def decide(self, cluster: Cluster) -> Decision:
        """What it would do."""


@dataclass(frozen=True, slots=True)
class ShadowDecision:
    """What the policy in the shadow would have done, and what was done.

    Attributes:
        decision: of the policy in the shadow.
        acting: of the policy in charge.
        agrees: whether both order the same.
        routine: both keep an empty cluster empty.
        cluster_time: when, seconds.
    """

    decision: Decision
    acting: Decision
    agrees: bool
    routine: bool
    cluster_time: float


class Shadow:
    """Observer of the scheduler (`deploy.scheduler.Observer`) that asks a policy.

    Nothing that the policy does reaches the cluster, or the scheduler if it raises.

    Args:
        policy: whom to ask.
        on_decision: is told each answer.

    Attributes:
        counts: how often which action was taken while which was meant in the shadow, in words
            (``keep``, ``spawn FLAVOR``, ``kill FLAVOR``); routine decisions are not counted.
        failures: how often it raised.
    """

    def __init__(
        self, policy: ShadowPolicy, on_decision: Callable[[ShadowDecision], None] | None = None
    ) -> None:
        self.policy = policy
        self.counts: Counter[tuple[str, str]] = Counter()
        self.failures = 0
        self._on_decision = on_decision
        self._cluster: Cluster | None = None

    @property
    def agreement(self) -> float | None:
        """Share of the decisions on which both agree; none before the first."""
        total = self.counts.total()
        same = sum(n for (acting, shadow), n in self.counts.items() if acting == shadow)
        return same / total if total else None

    def observe(self, cluster: Cluster, decision: Decision) -> None:
        """Ask the policy where another has just decided; see `deploy.scheduler.Observer`."""
        try:
            if cluster is not self._cluster:
                self.policy.reset(cluster)
                self._cluster = cluster
            shadow = self.policy.decide(cluster)
        except Exception:  # whatever it is, the one in charge goes on
            self.failures += 1
            _LOG.exception("the policy %s in the shadow failed", self.policy.name)
            return
        agrees = shadow.action == decision.action
        routine = (
            agrees
            and shadow.action.kind is ActionKind.KEEP
            and not cluster.jobs_in_system
            and not cluster.n_workers
        )
        if not routine:
            names = [flavor.name for flavor in cluster.flavors]
            acted, meant = action_words(decision.action, names), action_words(shadow.action, names)
            self.counts[acted, meant] += 1
        if self._on_decision is not None:
            self._on_decision(ShadowDecision(shadow, decision, agrees, routine, cluster.now))
