"""Asking the policy: whatever it does, the scheduler goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from agents.decision import Decision, Explained, Source
from env.actions import KEEP, Action
from env.cluster import Cluster
from env.dispatch import Discipline

_LOGGER = logging.getLogger(__name__)


class LivePolicy(Protocol):
    """What the scheduler needs of a policy."""

    name: str
    discipline: Discipline

    def reset(self, cluster: Cluster) -> None:
        """A life begins."""

    def act(self, cluster: Cluster) -> Action:
        """The next order; asked again at the same epoch until it is keep."""

    def wake_at(self, cluster: Cluster) -> float | None:
        """When to be asked again though nothing happens, seconds."""


class Observer(Protocol):
    """Looks on at each decision epoch (the shadow mode)."""

    def observe(self, cluster: Cluster, decision: Decision) -> None:
        """The policy's first decision of the epoch, before it is carried out.

        Waiting jobs are dispatched; nothing may be changed.
        """


class Deciding:
    """The policy in charge of a cluster, and those who look on.

    Args:
        policy: decides; told to serve the cluster here.
        cluster: what it decides over.
        observers: look on.

    Attributes:
        wake_at: when the policy wants to be asked again, seconds; none if it does not mind.

    Raises:
        DaCircoError: the policy cannot serve this cluster.
    """

    def __init__(self, policy: LivePolicy, cluster: Cluster, observers: Sequence[Observer]) -> None:
        policy.reset(cluster)
        self.policy, self.observers = policy, list(observers)
        self.wake_at: float | None = None
        self._cluster = cluster

    def decide(self) -> Decision:
        """The policy's next decision; keep if it fails."""
        policy = self.policy
        try:
            if isinstance(policy, Explained):
                return policy.decide(self._cluster)
            return Decision(policy.act(self._cluster), Source.POLICY, "policy")
        except Exception as error:  # the state has changed by now: the steps must get through
            _LOGGER.exception("the policy failed")
            return Decision(KEEP, Source.SHIELD, "policy-failed", repr(error)[:200])

    def show(self, decision: Decision) -> None:
        """Let the observers see the first decision of an epoch."""
        for observer in self.observers:
            try:
                observer.observe(self._cluster, decision)
            except Exception:
                _LOGGER.exception("an observer failed")

    def ask_when_to_wake(self) -> None:
        """As in the simulator: a wish holds until it is fulfilled or replaced by another one."""
        now = self._cluster.now
        if self.wake_at is not None and self.wake_at <= now:
            self.wake_at = None
        try:
            wake = self.policy.wake_at(self._cluster)
        except Exception:
            _LOGGER.exception("the policy cannot tell when to wake it")
            return
        if wake is not None and wake > now:
            self.wake_at = wake
