"""The existing system's algorithm that lets requests queue up before it starts a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.event_algorithm import EventAlgorithm, ExistingParameters
from agents.idle import TIME_TOLERANCE_S, kill_expired
from agents.parameters import DAY_S, STRICT, Unit

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SchedulerWithQueueParameters(ExistingParameters):
    """Parameters of `SchedulerWithQueue`."""

    queue_threshold: Annotated[
        int,
        Field(ge=0, le=10_000, description="a worker is started if more requests would wait"),
    ] = 9
    patience: Annotated[
        float | None,
        Field(
            ge=0,
            le=DAY_S,
            description="longest wait with no worker there at all; none: for ever",
        ),
        Unit("s"),
    ] = None


class SchedulerWithQueue(EventAlgorithm):
    """A worker more for each new request that finds more than `queue_threshold` waiting.

    A new request goes to an idle worker if there is one; else one worker is started if more
    than `queue_threshold` would wait, the new one counted. A worker that becomes free takes the
    oldest waiting request, and ends if there is none.

    So up to `queue_threshold` requests wait for ever if no other follows and no worker is
    there. That is the algorithm, and what it is measured as; who runs a service with it should
    set `patience`: then a request that has waited so long with no worker there starts one.

    Source: DaCirco (2024), ``--algorithm scheduler-with-queue``. Differences: by default the
    limit is what the cluster holds instead of 2.
    """

    name = "scheduler-with-queue"
    summary = "a worker when more than queue_threshold requests wait (existing system, 2024)"
    source = "DaCirco (2024), --algorithm scheduler-with-queue"
    parameters_type = SchedulerWithQueueParameters
    parameters: SchedulerWithQueueParameters

    def _on_requests(self, cluster: Cluster, new: int, waiting: int) -> None:
        # One after the other: each found those before it waiting.
        beyond = cluster.waiting - self.parameters.queue_threshold
        self._start(self._flavors["flavor"], max(0, min(waiting, beyond)))

    def _end(self, cluster: Cluster) -> Action:
        return kill_expired(cluster, 0.0)

    def _on_nobody(self, cluster: Cluster) -> None:
        # More than may wait, and no worker: those that had been started were lost.
        end = self._end_of_patience(cluster)
        over = end is not None and cluster.now + TIME_TOLERANCE_S >= end
        if over or cluster.waiting > self.parameters.queue_threshold:
            super()._on_nobody(cluster)

    def wake_at(self, cluster: Cluster) -> float | None:
        """When the oldest request's patience ends, if no worker is there."""
        if not cluster.waiting or not self._nobody_serves(cluster):
            return None
        end = self._end_of_patience(cluster)
        return end if end is not None and end > cluster.now else None

    def _end_of_patience(self, cluster: Cluster) -> float | None:
        patience, since = self.parameters.patience, cluster.oldest_waiting_since
        return None if patience is None or since is None else since + patience
