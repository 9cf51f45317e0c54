"""The existing system's algorithm that keeps one idle worker in reserve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.event_algorithm import EventAlgorithm, ExistingParameters
from agents.idle import kill_expired
from env.actions import KEEP

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster

_RESERVE = 1


class SchedulerWithReserve(EventAlgorithm):
    """One idle worker is kept in reserve; a request that takes it starts another.

    A new request that finds no idle worker starts two (one for it, one in reserve); one that
    finds one starts one. A worker that becomes free takes the oldest waiting request, and ends
    if another idles and nothing waits. Every second one worker is started if none idles, and
    idle ones beyond the reserve end. Workers that boot are no reserve yet: while none idles, one
    is started at each look, up to the limit, as in the measured system (at its start it booted
    all five that it was allowed, and ended four of them when they came).

    Source: DaCirco (2024), ``--algorithm scheduler-with-reserve``. Differences: by default the
    limit is what the cluster holds instead of 2.
    """

    name = "scheduler-with-reserve"
    summary = "one idle worker in reserve, two started if none idles (existing system, 2024)"
    source = "DaCirco (2024), --algorithm scheduler-with-reserve"
    parameters_type = ExistingParameters
    parameters: ExistingParameters

    def _on_requests(self, cluster: Cluster, new: int, waiting: int) -> None:
        flavor = self._flavors["flavor"]
        if new > waiting and not cluster.n_idle:  # one of them took the last idle worker
            self._start(flavor)
        self._start(flavor, waiting * (1 + _RESERVE))

    def _on_looks(self, cluster: Cluster, looks: int) -> None:
        if cluster.n_idle < _RESERVE:
            self._start(self._flavors["flavor"])

    def _end(self, cluster: Cluster) -> Action:
        return kill_expired(cluster, 0.0) if cluster.n_idle > _RESERVE else KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        """The next look, while it would start a worker."""
        wants = cluster.n_idle < _RESERVE and self._below_limit(cluster)
        return self._looks.next() if wants and self._fits(cluster) else None

    def _fits(self, cluster: Cluster) -> bool:
        return cluster.can_spawn(self._flavors["flavor"])
