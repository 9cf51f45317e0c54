"""The existing system's algorithm with priorities and two sizes of worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.event_algorithm import EventAlgorithm, IdleTime
from agents.idle import next_expiry
from agents.parameters import STRICT, WorkerLimitParameters

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster
    from env.jobs import Job

LARGE_ABOVE_KBPS: Final = 5000
"""A request for more than this bitrate gets a large worker."""
BUSY_SHARE: Final = 0.8
LARGE_BACKLOG: Final = 5
"""With more waiting than this, a look starts a large worker."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PriorityBasedDynamicParameters(WorkerLimitParameters):
    """Parameters of `PriorityBasedDynamic`."""

    max_idle_time: IdleTime = 60.0
    small: Annotated[
        str, Field(min_length=1, description="flavor that stands for a small worker")
    ] = "s10.small"
    large: Annotated[
        str, Field(min_length=1, description="flavor that stands for a large worker")
    ] = "s10.medium"


class PriorityBasedDynamic(EventAlgorithm):
    """Urgent requests first (large files, long waits), on small and large workers.

    Each new request starts one worker: a large one if the first by priority asks for more than
    5000 kbit/s, else a small one. A worker that becomes free takes the request with the highest
    priority (`env.dispatch.priority`), else it idles. Every second: if more than 0.8 of the
    workers (booting ones included) are busy and more requests wait than there are workers, one
    more is started, a large one if more than 5 wait; idle workers end after `max_idle_time`.

    Source: DaCirco (2024), ``--algorithm priority-based-dynamic``. Differences: as with every
    policy, a new request is given to an idle worker at once if there is one; the measured system
    starts workers beyond its limit at its looks, which this does not; by default the limit is
    what the cluster holds instead of 2. As another policy's fallback it starts and ends workers
    as it says, but the queue keeps the order of that policy.
    """

    name = "priority-based-dynamic"
    summary = "large files and long waits first, on two sizes of worker (existing system, 2024)"
    source = "DaCirco (2024), --algorithm priority-based-dynamic"
    parameters_type = PriorityBasedDynamicParameters
    parameters: PriorityBasedDynamicParameters
    flavor_keys = ("small", "large")

    def __init__(self, parameters: PriorityBasedDynamicParameters | None = None) -> None:
        super().__init__(parameters)
        self.discipline = "priority"

    def _on_requests(self, cluster: Cluster, new: int, waiting: int) -> None:
        first = cluster.head_job or _newest(cluster)
        large = first is not None and first.request.bitrate_kbps > LARGE_ABOVE_KBPS
        self._start(self._flavors["large" if large else "small"], new)

    def _on_looks(self, cluster: Cluster, looks: int) -> None:
        if self._wants_one_more(cluster):
            large = cluster.waiting > LARGE_BACKLOG
            self._start(self._flavors["large" if large else "small"], limit=self._look_limit)

    def _end(self, cluster: Cluster) -> Action:
        return self._end_expired(cluster, self.parameters.max_idle_time)

    def wake_at(self, cluster: Cluster) -> float | None:
        """The next look that would start a worker or end one."""
        if self._wants_one_more(cluster) and self._live(cluster) < self._look_limit:
            return self._looks.next()
        expiry = next_expiry(cluster, self.parameters.max_idle_time)
        if expiry is None or not self._may_end(cluster):
            return None
        return self._looks.first_from(expiry)

    @property
    def _look_limit(self) -> int:
        """How many workers there may be when a look has started one."""
        return self._max_workers

    def _wants_one_more(self, cluster: Cluster) -> bool:
        return self._busy_share(cluster) > BUSY_SHARE and cluster.waiting > self._live(cluster)


def _newest(cluster: Cluster) -> Job | None:
    """The request that came last: it has been given to an idle worker already."""
    return next(reversed(cluster.jobs.values()), None)
