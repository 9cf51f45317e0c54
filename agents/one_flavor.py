"""What all policies with workers of a single size share: their limit, and when to start one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.heuristic import Heuristic, flavor_index
from agents.parameters import OneFlavorParameters
from env.actions import KEEP, spawn
from env.errors import PolicyError

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


class OneFlavorPolicy(Heuristic):
    """A rule whose workers are all of one flavor.

    Workers of other flavors (left by a policy that ruled before) are counted as
    workers, and ended when idle like any other.
    """

    parameters: OneFlavorParameters

    def reset(self, cluster: Cluster) -> None:
        """Find the flavor and the limit.

        Raises:
            UnknownNameError: the cluster lacks the flavor.
            PolicyError: not even the empty cluster holds a worker of the flavor.
        """
        self._flavor, self._max_workers = self.limits(cluster)
        self._spawn = spawn(self._flavor)

    def limits(self, cluster: Cluster) -> tuple[int, int]:
        """The flavor's index in the cluster, and the most workers at once; see `reset`."""
        name = self.parameters.flavor
        flavor = flavor_index(cluster, name)
        holds = cluster.capacity_of(flavor)
        if holds < 1:
            raise PolicyError(
                f"{self.name}: flavor={name} exceeds the cluster's limits: choose a smaller flavor"
            )
        limit = self.parameters.max_workers
        return flavor, holds if limit is None else min(holds, limit)

    def _spawn_or_keep(self, cluster: Cluster) -> Action:
        """A new worker if limit and room allow it; draining workers no longer serve."""
        if (
            cluster.can_spawn(self._flavor)
            and cluster.n_workers - cluster.n_draining < self._max_workers
        ):
            return self._spawn
        return KEEP

    def _serve_waiting(self, cluster: Cluster) -> Action:
        """A new worker if more jobs wait than workers are booting for them."""
        if cluster.waiting > cluster.n_booting:
            return self._spawn_or_keep(cluster)
        return KEEP
