"""Flavor by preference and load: large workers in calm times, small ones in a rush."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.heuristic import Heuristic
from agents.idle import kill_expired, next_expiry
from agents.parameters import DAY_S, STRICT, DisciplineParameters, Unit, WorkerLimitParameters
from env.actions import KEEP, spawn
from env.arrivals import MEDIUM

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdaptiveFlavorParameters(DisciplineParameters, WorkerLimitParameters):
    """Parameters of `AdaptiveFlavor`."""

    spawn_share: Annotated[
        float,
        Field(gt=0, le=1, description="share of the waiting jobs that get a worker of their own"),
    ] = 0.5
    second_flavor_from: Annotated[
        float, Field(ge=0, le=1, description="preference from which the second flavor is allowed")
    ] = 0.45
    third_flavor_from: Annotated[
        float,
        Field(ge=0, le=1, description="preference from which the third and larger are allowed"),
    ] = 0.8
    max_load: Annotated[
        float,
        Field(
            gt=0,
            le=100,
            description="a flavor is allowed while the load would keep at most this share busy",
        ),
    ] = 0.4
    long_idle_above: Annotated[
        float, Field(ge=0, le=1, description="preference above which long_idle applies")
    ] = 0.8
    short_idle_above: Annotated[
        float, Field(ge=0, le=1, description="preference above which short_idle applies")
    ] = 0.6
    long_idle: Annotated[
        float, Field(ge=0, le=DAY_S, description="idle timeout at high preference"), Unit("s")
    ] = 20.0
    short_idle: Annotated[
        float, Field(ge=0, le=DAY_S, description="idle timeout at middling preference"), Unit("s")
    ] = 10.0
    lean_idle: Annotated[
        float, Field(ge=0, le=DAY_S, description="idle timeout at low preference"), Unit("s")
    ] = 0.0


class AdaptiveFlavor(Heuristic):
    """Start workers for a share of the waiting jobs, as large as preference and room allow.

    As long as fewer workers are booting than `spawn_share` of the waiting jobs, start
    one: of the largest flavor that the preference allows, that the free vCPUs can carry
    for all those still missing, and of which the cluster holds enough for the present
    arrival rate (10-minute memory); else of the smallest. With an empty queue, end what
    has been idle for a time that grows with the preference.

    Source: the project's own first experiments, where this was the best of the simple
    rules. Differences: thresholds and timeouts are parameters, timeouts are exact, and
    `max_load` is new: without it (100) large workers that were started in a calm moment
    stay busy through the rush, and the vCPUs that they waste make the queue grow.
    """

    name = "adaptive-flavor"
    aliases = ("load-adaptive",)
    summary = "flavor by preference and load, idle timeout by preference"
    source = "DaCirco's own experiments"
    parameters_type = AdaptiveFlavorParameters
    parameters: AdaptiveFlavorParameters

    def reset(self, cluster: Cluster) -> None:
        """Nothing can be wrong: the flavors are the cluster's."""
        limit = self.parameters.max_workers
        self._max_workers = limit if limit is not None else 1 << 60
        self._largest = cluster.n_flavors - 1

    def _allowed_flavor(self, preference: float) -> int:
        """Index of the largest flavor at this preference."""
        if preference >= self.parameters.third_flavor_from:
            return self._largest
        return min(1 if preference >= self.parameters.second_flavor_from else 0, self._largest)

    def timeout_s(self, preference: float) -> float:
        """How long an idle worker lives at this preference, seconds."""
        given = self.parameters
        if preference > given.long_idle_above:
            return given.long_idle
        return given.short_idle if preference > given.short_idle_above else given.lean_idle

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        if cluster.waiting:
            wanted = ceil(self.parameters.spawn_share * cluster.waiting - 1e-9)
            missing = wanted - cluster.n_booting
            return self._spawn_largest(cluster, missing) if missing > 0 else KEEP
        if cluster.n_idle:
            return kill_expired(cluster, self.timeout_s(cluster.preference))
        return KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        """When the longest-idle worker has used up its time."""
        if cluster.waiting or not cluster.n_idle:
            return None
        return next_expiry(cluster, self.timeout_s(cluster.preference))

    def _spawn_largest(self, cluster: Cluster, missing: int) -> Action:
        if cluster.n_workers - cluster.n_draining >= self._max_workers:
            return KEEP
        free = cluster.capacity_vcpus - cluster.reserved_vcpus
        rate = cluster.arrivals.rate(cluster.now, MEDIUM)
        for flavor in range(self._allowed_flavor(cluster.preference), 0, -1):
            busy = rate * cluster.mean_service_s[flavor]
            if (
                missing * cluster.vcpus[flavor] <= free
                and busy <= self.parameters.max_load * cluster.capacity_of(flavor)
                and cluster.can_spawn(flavor)
            ):
                return spawn(flavor)
        return spawn(0) if cluster.can_spawn(0) else KEEP
