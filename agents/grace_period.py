"""The existing system's second algorithm: idle workers live for a fixed time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.idle import kill_expired, next_expiry
from agents.one_flavor import OneFlavorPolicy
from agents.parameters import DAY_S, STRICT, NaiveParameters, Unit
from env.actions import KEEP

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GracePeriodParameters(NaiveParameters):
    """Parameters of `GracePeriod`."""

    max_idle_time: Annotated[
        float, Field(ge=0, le=DAY_S, description="how long an idle worker lives"), Unit("s")
    ] = 60.0


class GracePeriod(OneFlavorPolicy):
    """A new worker for a waiting request; an idle worker ends after `max_idle_time`.

    Source: DaCirco's ``--algorithm grace-period``. Differences: a request for which a
    worker is booting already needs no second one, by default the limit is what the
    cluster holds instead of 2, and the worker ends exactly on time instead of at the
    next periodic call.
    """

    name = "grace-period"
    summary = "a worker for each waiting request, ended when idle for max_idle_time (naive)"
    source = "DaCirco, --algorithm grace-period"
    parameters_type = GracePeriodParameters
    parameters: GracePeriodParameters

    def reset(self, cluster: Cluster) -> None:
        """See `OneFlavorPolicy.reset`."""
        super().reset(cluster)
        self._max_idle_s = self.parameters.max_idle_time

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        if cluster.waiting:
            return self._serve_waiting(cluster)
        return kill_expired(cluster, self._max_idle_s) if cluster.n_idle else KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        """When the longest-idle worker has used up its time."""
        if cluster.waiting or not cluster.n_idle:
            return None
        return next_expiry(cluster, self._max_idle_s)
