"""What the existing system's further algorithms share: they answer events one at a time.

The two naive rules look at the state alone. These say what each *event* brings about: a new
request starts so many workers, whoever boots already; a look does this or that. A policy is
asked after the event, so the event is found again: requests that the cluster has counted since
the last time are new.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.heuristic import Heuristic, flavor_index
from agents.idle import TIME_TOLERANCE_S, longest_idle
from agents.looks import Looks
from agents.parameters import DAY_S, STRICT, OneFlavorParameters, Unit, WorkerLimitParameters
from env.actions import KEEP, kill, spawn
from env.errors import PolicyError

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster

IdleTime = Annotated[
    float, Field(ge=0, le=DAY_S, description="how long an idle worker lives"), Unit("s")
]
"""The type of ``max_idle_time``."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExistingParameters(OneFlavorParameters):
    """One flavor; the queue is served first come, first served."""


class EventAlgorithm(Heuristic):
    """A rule that answers new requests, workers that become free, and looks, one by one.

    The differences from the existing system that all of these have in common: its periodic call
    comes when it can, here exactly each second; a worker that was ordered while the nodes had no
    room is not ordered again, unless no worker is left; and where requests wait and no worker is
    there (it was lost, or the controller has started anew), one is started for them, which keeps
    every job from waiting for ever.
    """

    parameters: WorkerLimitParameters
    flavor_keys: ClassVar[tuple[str, ...]] = ("flavor",)
    """The parameters that name a flavor."""

    def reset(self, cluster: Cluster) -> None:
        """Find the flavors and the limit.

        Raises:
            UnknownNameError: the cluster lacks a flavor.
            PolicyError: not even the empty cluster holds a worker of it.
        """
        self._flavors, self._max_workers = self.limits(cluster)
        self._requests = -1  # none has been counted yet: all that wait are new
        self._orders: deque[tuple[int, int]] = deque()  # flavor, and the limit that it minds
        self._looks = Looks(cluster.now)
        self._started_at = -1.0

    def limits(self, cluster: Cluster) -> tuple[dict[str, int], int]:
        """Flavors by the parameters that name them, and the most workers at once; see `reset`."""
        flavors = {key: self._flavor(cluster, key) for key in self.flavor_keys}
        holds = max(cluster.capacity_of(flavor) for flavor in flavors.values())
        limit = self.parameters.max_workers
        return flavors, holds if limit is None else min(holds, limit)

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        self._notice(cluster)
        while self._orders:
            flavor, limit = self._orders[0]
            if self._live(cluster) >= limit:
                self._orders.popleft()
            elif cluster.can_spawn(flavor):
                self._orders.popleft()
                self._started_at = cluster.now
                return spawn(flavor)
            elif self._nobody_serves(cluster):
                break  # those that are ending leave the room in a moment
            else:
                self._orders.popleft()
        if not self._may_end(cluster) or self._started_at == cluster.now:
            return KEEP
        return self._end(cluster)

    # -- what an algorithm says -------------------------------------------------------

    @abstractmethod
    def _on_requests(self, cluster: Cluster, new: int, waiting: int) -> None:
        """Requests have come: `new` in all, of which `waiting` found no idle worker."""

    def _on_looks(self, cluster: Cluster, looks: int) -> None:
        """So many looks have passed, the last of them now or since the last time."""

    @abstractmethod
    def _end(self, cluster: Cluster) -> Action:
        """Which of the idle workers ends, if any; nothing waits."""

    # -- what they share --------------------------------------------------------------

    def _flavor(self, cluster: Cluster, key: str) -> int:
        name: str = getattr(self.parameters, key)
        flavor = flavor_index(cluster, name)
        if cluster.capacity_of(flavor) < 1:
            raise PolicyError(
                f"{self.name}: {key}={name} exceeds the cluster's limits: choose a smaller flavor"
            )
        return flavor

    def _notice(self, cluster: Cluster) -> None:
        """Find out what has happened since the last time, and what it brings about."""
        waiting, counted = cluster.waiting, cluster.arrivals.count
        # A rule that takes over, or one after a restart, cannot tell old requests from new ones:
        # it answers those that wait. So it does where nothing else can be known.
        new = waiting if self._requests < 0 else counted - self._requests
        new = min(new, max(1, waiting))
        self._requests = counted
        if new > 0:
            self._on_requests(cluster, new, min(new, waiting))
        looks = self._looks.due(cluster.now)
        if looks > 0:
            self._on_looks(cluster, looks)
        if not self._orders and waiting and self._nobody_serves(cluster):
            self._on_nobody(cluster)

    def _on_nobody(self, cluster: Cluster) -> None:
        """Requests wait, and no worker is there or ordered."""
        self._start(next(iter(self._flavors.values())))

    def _start(self, flavor: int, workers: int = 1, *, limit: int | None = None) -> None:
        """Order workers; what the limit does not allow is dropped when its turn comes."""
        most = self._max_workers if limit is None else limit
        self._orders.extend([(flavor, most)] * min(workers, most))

    def _may_end(self, cluster: Cluster) -> bool:
        """Whether a worker idles that no request waits for."""
        return cluster.n_idle > 0 and not cluster.waiting

    def _live(self, cluster: Cluster) -> int:
        """Workers that boot, idle or serve."""
        return cluster.n_workers - cluster.n_draining

    def _nobody_serves(self, cluster: Cluster) -> bool:
        return self._live(cluster) == 0

    def _below_limit(self, cluster: Cluster) -> bool:
        return self._live(cluster) < self._max_workers

    def _busy_share(self, cluster: Cluster) -> float:
        """Busy workers of all that there are, booting ones included; 0 of none."""
        live = self._live(cluster)
        return cluster.n_busy / live if live else 0.0

    def _end_expired(self, cluster: Cluster, timeout_s: float) -> Action:
        """The end of a worker that had idled for so long at the last look."""
        worker = longest_idle(cluster)
        if worker is None or self._looks.last + TIME_TOLERANCE_S < worker.idle_since + timeout_s:
            return KEEP
        return kill(worker.flavor)
