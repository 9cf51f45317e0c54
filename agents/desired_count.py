"""What the scalers that steer towards a number of workers share."""

from __future__ import annotations

from abc import abstractmethod
from math import floor
from typing import TYPE_CHECKING

from agents.idle import TIME_TOLERANCE_S, longest_idle
from agents.one_flavor import OneFlavorPolicy
from env.actions import KEEP, kill

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


class DesiredCountPolicy(OneFlavorPolicy):
    """Every `period_s` seconds work out how many workers to have; steer there in between.

    Workers that serve no more (draining) do not count. A busy worker is never killed:
    when fewer workers are wanted than are busy, each ends when its job does and nothing
    waits. When the cluster is full, the rest is spawned as soon as there is room.
    """

    period_s: float
    """Time between two reviews, on a fixed grid from the reset; set by `reset`."""

    @abstractmethod
    def desired(self, cluster: Cluster) -> int:
        """How many workers to have from now on (before the limit); called at each review."""

    def reset(self, cluster: Cluster) -> None:
        """See `OneFlavorPolicy.reset`."""
        super().reset(cluster)
        self._start = cluster.now
        self._next_review = cluster.now
        self._desired = 0

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        if cluster.now + TIME_TOLERANCE_S >= self._next_review:
            self._review(cluster)
        live = cluster.n_workers - cluster.n_draining
        if live < self._desired:
            return self._spawn_or_keep(cluster)
        if cluster.waiting:
            return self._for_backlog(cluster)
        if cluster.n_idle and live > self._desired:
            worker = longest_idle(cluster)
            return KEEP if worker is None else kill(worker.flavor)
        return KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        """The next review."""
        return self._next_review

    def _for_backlog(self, cluster: Cluster) -> Action:
        """What to do with jobs waiting although there are enough workers: wait for those."""
        return KEEP

    def _review(self, cluster: Cluster) -> None:
        """Work out the number now, and set the time of the next review."""
        self._desired = min(self.desired(cluster), self._max_workers)
        passed = cluster.now - self._start + TIME_TOLERANCE_S
        self._next_review = self._start + (floor(passed / self.period_s) + 1) * self.period_s
