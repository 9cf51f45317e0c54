"""The existing system's grace period that grows in a rush and shrinks in a quiet time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic.dataclasses import dataclass

from agents.event_algorithm import EventAlgorithm, ExistingParameters, IdleTime
from agents.looks import LOOK_S
from agents.parameters import STRICT

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster

STEP_S: Final = 5.0
"""By so much the grace period changes at a look."""
BUSY_SHARE: Final = 0.7
HIGH_RATE: Final = 1.0
LOW_RATE: Final = 0.1
"""Requests that wait, for each second since the last look."""
LONGEST: Final = 2.0
SHORTEST: Final = 0.5
"""Of `max_idle_time`, between which the grace period moves."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdaptiveGracePeriodParameters(ExistingParameters):
    """Parameters of `AdaptiveGracePeriod`."""

    max_idle_time: IdleTime = 60.0


class AdaptiveGracePeriod(EventAlgorithm):
    """A worker for each new request; how long idle ones live follows the load.

    Each new request starts one worker. A worker that becomes free takes the oldest waiting
    request, else it idles. Every second: if more than 0.7 of the workers (booting ones included)
    are busy, or more than one request waits for each second since the last look, the grace
    period grows by 5 s, up to twice `max_idle_time`; if less than 0.7 are busy and less than 0.1
    requests wait for each second, it shrinks by 5 s, down to half; idle workers beyond it end;
    and one worker more is started if the rate is above 1 and more requests wait than workers run.

    Source: DaCirco (2024), ``--algorithm adaptive-grace-period``. Differences: in the existing
    system a new request waits for a worker that becomes free although others idle; here, as
    with every policy, it is given to an idle one at once. By default the limit is what the
    cluster holds instead of 2.
    """

    name = "adaptive-grace-period"
    summary = "a worker for each new request, a grace period by load (existing system, 2024)"
    source = "DaCirco (2024), --algorithm adaptive-grace-period"
    parameters_type = AdaptiveGracePeriodParameters
    parameters: AdaptiveGracePeriodParameters

    def reset(self, cluster: Cluster) -> None:
        """See `EventAlgorithm.reset`."""
        super().reset(cluster)
        self.grace_s = self.parameters.max_idle_time
        self._remember(cluster)

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        action = super().act(cluster)
        self._remember(cluster)
        return action

    def _on_requests(self, cluster: Cluster, new: int, waiting: int) -> None:
        self._start(self._flavors["flavor"], new)

    def _on_looks(self, cluster: Cluster, looks: int) -> None:
        # All these looks saw what the last event had left: nobody was woken for them.
        share, rate = self._seen
        usual = self.parameters.max_idle_time
        if share > BUSY_SHARE or rate > HIGH_RATE:
            self.grace_s = min(LONGEST * usual, self.grace_s + looks * STEP_S)
        elif share < BUSY_SHARE and rate < LOW_RATE:
            self.grace_s = max(SHORTEST * usual, self.grace_s - looks * STEP_S)
        if self._wants_one_more(cluster):
            self._start(self._flavors["flavor"])

    def _end(self, cluster: Cluster) -> Action:
        return self._end_expired(cluster, self.grace_s)

    def wake_at(self, cluster: Cluster) -> float | None:
        """The next look, while a worker idles or one more may be started."""
        more = self._wants_one_more(cluster) and self._below_limit(cluster)
        return self._looks.next() if cluster.n_idle or more else None

    def _remember(self, cluster: Cluster) -> None:
        self._seen = (self._busy_share(cluster), cluster.waiting / LOOK_S)

    def _wants_one_more(self, cluster: Cluster) -> bool:
        return cluster.waiting / LOOK_S > HIGH_RATE and cluster.waiting > self._live(cluster)
