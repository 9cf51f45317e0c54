"""What every policy is: a small object that looks at the cluster and orders one action."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from env.dispatch import Discipline

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


class Policy(ABC):
    """Decides, at each decision epoch, whether to keep, spawn or kill.

    At an epoch (an event, a periodic tick or a wake-up) the cluster first hands
    waiting jobs to idle workers; then `act` is called again and again until it
    returns KEEP (bounded by the caller). A policy reads the cluster and never
    changes it, and it uses only what is known at the time.

    Attributes:
        name: the policy's registered name, or the path of a frozen policy.
        discipline: in which order waiting jobs are served, ``fcfs`` or ``sjf``.
    """

    name: str
    discipline: Discipline

    @property
    def spec(self) -> str:
        """What `agents.registry.make_policy` turns back into an equal policy."""
        return self.name

    def reset(self, cluster: Cluster) -> None:  # noqa: B027 (nothing to do is a fine default)
        """Forget everything and prepare to serve this cluster.

        Raises:
            DaCircoError: the policy cannot serve this cluster (for instance, it
                lacks the configured flavor).
        """

    @abstractmethod
    def act(self, cluster: Cluster) -> Action:
        """The next order; KEEP ends the epoch."""

    def wake_at(self, cluster: Cluster) -> float | None:
        """When to be asked again even if nothing happens, absolute seconds; none for never.

        Read after each epoch. Later than `cluster.now` unless `act` still wants to order more.
        """
        return None
