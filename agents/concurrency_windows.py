"""Knative's autoscaler: concurrency averaged over a stable and a panic window."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.desired_count import DesiredCountPolicy
from agents.idle import TIME_TOLERANCE_S
from agents.parameters import DAY_S, STRICT, OneFlavorRivalParameters, Unit
from agents.windows import MovingAverage

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConcurrencyWindowsParameters(OneFlavorRivalParameters):
    """Parameters of `ConcurrencyWindows`."""

    target: Annotated[
        float, Field(gt=0, le=1000, description="jobs in the system for each worker")
    ] = 0.7
    stable_window: Annotated[
        float, Field(gt=0, le=DAY_S, description="averaging window in calm times"), Unit("s")
    ] = 60.0
    panic_window: Annotated[
        float, Field(gt=0, le=DAY_S, description="averaging window that detects bursts"), Unit("s")
    ] = 6.0
    panic_threshold: Annotated[
        float,
        Field(ge=1, le=1000, description="panic when a burst wants this many times the workers"),
    ] = 2.0
    max_scale_down_rate: Annotated[
        float,
        Field(gt=1, le=1000, description="shrink at most by this factor at one review"),
    ] = 2.0
    scale_to_zero_grace: Annotated[
        float,
        Field(ge=0, le=DAY_S, description="how long the last worker outlives the wish for none"),
        Unit("s"),
    ] = 30.0
    period: Annotated[
        float, Field(gt=0, le=DAY_S, description="time between two reviews"), Unit("s")
    ] = 2.0


class ConcurrencyWindows(DesiredCountPolicy):
    """desired = ceil(average jobs in the system / target), over a long or a short window.

    When the short window wants at least `panic_threshold` times the ready workers, the
    short one rules and nothing shrinks until a whole stable window has passed without
    such a wish. A job that finds no worker at all is acted on at once.

    Source: Knative Serving's KPA (``pkg/autoscaler/scaling/autoscaler.go``) with its
    defaults: windows 60 s and 6 s (10 %), panic threshold 200 %, tick 2 s, scale-down
    rate 2, scale-to-zero grace 30 s; target 0.7, which is its target utilisation of 70 %
    times a container concurrency of 1 (a worker takes one job at a time). Differences:
    exact time averages instead of one-second samples; busy workers are never killed; no
    limit on the speed of growth (its default, a factor of 1000, does not bind here); the
    grace is a minimum lifetime of the last worker, where the original has an upper bound
    for draining it.
    """

    name = "concurrency-windows"
    aliases = ("kpa", "knative")
    summary = "workers for the average concurrency over a stable and a panic window"
    source = "Knative Serving KPA"
    parameters_type = ConcurrencyWindowsParameters
    parameters: ConcurrencyWindowsParameters

    def reset(self, cluster: Cluster) -> None:
        """See `OneFlavorPolicy.reset`."""
        super().reset(cluster)
        given = self.parameters
        now, integral = cluster.now, cluster.jobs_integral()
        self.period_s = given.period
        self._stable = MovingAverage(given.stable_window, now, integral)
        self._panic = MovingAverage(given.panic_window, now, integral)
        self._panic_until: float | None = None
        self._panic_workers = 0
        self._zero_since: float | None = None

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        if cluster.waiting and not self._desired:
            self._desired = 1
        return super().act(cluster)

    def desired(self, cluster: Cluster) -> int:
        """See the class."""
        given = self.parameters
        now, integral = cluster.now, cluster.jobs_integral()
        ready = cluster.n_idle + cluster.n_busy
        calm = ceil(self._stable.push(now, integral) / given.target - 1e-9)
        burst = ceil(self._panic.push(now, integral) / given.target - 1e-9)
        lowest = floor(ready / given.max_scale_down_rate)
        calm, burst = max(calm, lowest), max(burst, lowest)

        if burst >= given.panic_threshold * max(1, ready):
            self._panic_until = now + given.stable_window
        elif self._panic_until is not None and now > self._panic_until:
            self._panic_until = None
            self._panic_workers = 0
        if self._panic_until is not None:
            self._panic_workers = max(self._panic_workers, calm, burst)
            calm = self._panic_workers
        return self._keep_last(cluster, calm)

    def _keep_last(self, cluster: Cluster, wanted: int) -> int:
        """Hold one worker for the grace period before going to none."""
        if wanted or not self._desired:
            self._zero_since = None
            return wanted
        if cluster.jobs_in_system:
            return 1
        if self._zero_since is None:
            self._zero_since = cluster.now
        ends = self._zero_since + self.parameters.scale_to_zero_grace
        return 0 if cluster.now + TIME_TOLERANCE_S >= ends else 1
