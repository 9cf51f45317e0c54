"""A fixed number of spare workers, always."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.idle import kill_expired, next_expiry
from agents.one_flavor import OneFlavorPolicy
from agents.parameters import DAY_S, STRICT, OneFlavorRivalParameters, Unit
from env.actions import KEEP

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReserveKParameters(OneFlavorRivalParameters):
    """Parameters of `ReserveK`."""

    spares: Annotated[
        int, Field(ge=0, le=10_000, description="k: workers kept ready beyond the waiting jobs")
    ] = 1
    max_idle_time: Annotated[
        float,
        Field(ge=0, le=DAY_S, description="how long an idle worker beyond the spares lives"),
        Unit("s"),
    ] = 5.0


class ReserveK(OneFlavorPolicy):
    """Keep booting and idle workers at or above the waiting jobs plus `spares`.

    An idle worker beyond that ends once it has been idle for `max_idle_time`, so that
    a spare is not killed and booted again around each job.

    Source: GitLab Runner's autoscaling (``IdleCount``, ``IdleTime``); the same rule is
    the warm pool of EC2 Auto Scaling and the placeholder pods of Kubernetes cluster
    over-provisioning. Differences: one limit for all hours (no cron-like periods).
    """

    name = "reserve-k"
    aliases = ("warm-pool", "idle-count")
    summary = "k spare workers booting or idle at all times"
    source = "GitLab Runner autoscaling (IdleCount, IdleTime)"
    parameters_type = ReserveKParameters
    parameters: ReserveKParameters

    def reset(self, cluster: Cluster) -> None:
        """See `OneFlavorPolicy.reset`."""
        super().reset(cluster)
        self._spares = self.parameters.spares
        self._max_idle_s = self.parameters.max_idle_time

    def _excess(self, cluster: Cluster) -> int:
        """Workers booting or idle beyond what the rule asks for; negative if too few."""
        return cluster.n_booting + cluster.n_idle - cluster.waiting - self._spares

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        excess = self._excess(cluster)
        if excess < 0:
            return self._spawn_or_keep(cluster)
        if excess and cluster.n_idle and not cluster.waiting:
            return kill_expired(cluster, self._max_idle_s)
        return KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        """When the longest-idle worker beyond the spares has used up its time."""
        if cluster.waiting or not cluster.n_idle or self._excess(cluster) <= 0:
            return None
        return next_expiry(cluster, self._max_idle_s)
