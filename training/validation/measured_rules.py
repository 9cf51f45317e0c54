"""The existing system's algorithms where the measured system does what the product does not.

As with every policy of ours, a new request goes to an idle worker at once, and all workers keep
to the limit. In the measured system two algorithms answer a new request by starting a worker and
nothing else: it waits for one that becomes free, and a worker that idles already goes on idling
until its time is over. The looks of ``priority-based-dynamic`` start workers beyond the limit
(its runs on pods had up to 4 of 2, and 13 of 5). ``scheduler-with-queue`` starts a worker for
the first request, since none is there, and further ones when `queue_threshold` requests wait, one
at that request and one at each look. A replay has to do likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.adaptive_grace_period import AdaptiveGracePeriod
from agents.policy import Policy
from agents.priority_based_dynamic import (
    PriorityBasedDynamic,
    PriorityBasedDynamicParameters,
)
from agents.scheduler_with_queue import SchedulerWithQueue

if TYPE_CHECKING:
    from env.cluster import Cluster


class MeasuredAdaptiveGracePeriod(AdaptiveGracePeriod):
    """Workers end when their time is over, whether requests wait or not."""

    oddity = "a worker that idles is given no request that comes later"

    def _may_end(self, cluster: Cluster) -> bool:
        return cluster.n_idle > 0


class MeasuredPriorityBasedDynamic(PriorityBasedDynamic):
    """Likewise, and looks start workers beyond the limit.

    Args:
        parameters: as `PriorityBasedDynamic`.
        most: workers that there were at once, however many may be.
    """

    oddity = (
        "a worker that idles is given no request that comes later, and looks start workers beyond "
        "the limit, up to as many as there were at once"
    )

    def __init__(self, parameters: PriorityBasedDynamicParameters, most: int) -> None:
        super().__init__(parameters)
        self._most = most

    def _may_end(self, cluster: Cluster) -> bool:
        return cluster.n_idle > 0

    @property
    def _look_limit(self) -> int:
        return max(self._max_workers, self._most)


class MeasuredSchedulerWithQueue(SchedulerWithQueue):
    """No request waits without a worker, and looks start workers as new requests do."""

    oddity = "the first request starts a worker, and so do looks while queue_threshold wait"

    def _on_requests(self, cluster: Cluster, new: int, waiting: int) -> None:
        if self._nobody_serves(cluster) or self._too_many_wait(cluster):
            self._start(self._flavors["flavor"])

    def _on_looks(self, cluster: Cluster, looks: int) -> None:
        if self._too_many_wait(cluster):
            self._start(self._flavors["flavor"])

    def wake_at(self, cluster: Cluster) -> float | None:
        """The next look, while it would start a worker."""
        more = self._too_many_wait(cluster) and self._below_limit(cluster)
        return self._looks.next() if more else super().wake_at(cluster)

    def _too_many_wait(self, cluster: Cluster) -> bool:
        return cluster.waiting >= self.parameters.queue_threshold


def as_measured(policy: Policy, most: int) -> Policy:
    """The policy as the measured system has it.

    Args:
        policy: of the product.
        most: workers that the measured run had at once.
    """
    if type(policy) is AdaptiveGracePeriod:
        return MeasuredAdaptiveGracePeriod(policy.parameters)
    if type(policy) is PriorityBasedDynamic:
        return MeasuredPriorityBasedDynamic(policy.parameters, most)
    if type(policy) is SchedulerWithQueue:
        return MeasuredSchedulerWithQueue(policy.parameters)
    return policy


def oddity_of(policy: Policy) -> str:
    """In which way the measured rule differs from the product's; empty if it does not."""
    return str(getattr(policy, "oddity", ""))


def leaves_idle(policy: Policy) -> bool:
    """Whether workers that idle are given no new request."""
    return isinstance(policy, MeasuredAdaptiveGracePeriod | MeasuredPriorityBasedDynamic)
