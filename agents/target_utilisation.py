"""Kubernetes' HorizontalPodAutoscaler on CPU utilisation."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.desired_count import DesiredCountPolicy
from agents.horizontal_pod_autoscaler import HorizontalPodAutoscalerParameters, Stabiliser
from agents.parameters import STRICT

if TYPE_CHECKING:
    from env.cluster import Cluster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TargetUtilisationParameters(HorizontalPodAutoscalerParameters):
    """Parameters of `TargetUtilisation`."""

    target: Annotated[
        float,
        Field(ge=0.05, le=1, description="wanted share of the ready workers' vCPUs that is busy"),
    ] = 0.8
    min_workers: Annotated[
        int, Field(ge=0, le=10_000, description="fewest workers at any time")
    ] = 1


class TargetUtilisation(DesiredCountPolicy):
    """desired = ceil(workers x utilisation / target), every `sync_period`.

    Utilisation is the busy vCPUs, averaged over the last sync period, over the vCPUs of
    the ready workers now. Within the tolerance nothing changes. As in the original, a
    booting worker counts as unused when scaling up, and where that turns the direction
    nothing changes. Utilisation never exceeds 1, so a backlog shows only as "full".

    Source: Kubernetes HorizontalPodAutoscaler v2 (``replica_calculator.go``) with its
    defaults: target 80 %, at least 1 replica, tolerance 0.1, sync period 15 s, downscale
    stabilisation 300 s. Differences: busy workers are never killed; the default limit on
    the speed of growth (doubling, or 4 pods, per 15 s) cannot bind for targets from 0.5
    and is left out; with ``min_workers=0`` a waiting job starts a first worker (the
    original needs another metric for that).
    """

    name = "target-utilisation"
    aliases = ("target-utilization", "hpa")
    summary = "as many workers as bring the busy share of their vCPUs to a target"
    source = "Kubernetes HorizontalPodAutoscaler v2 on CPU utilisation"
    parameters_type = TargetUtilisationParameters
    parameters: TargetUtilisationParameters

    def reset(self, cluster: Cluster) -> None:
        """See `OneFlavorPolicy.reset`."""
        super().reset(cluster)
        self.period_s = self.parameters.sync_period
        self._stabiliser = Stabiliser(self.parameters.stabilisation)
        self._sampled_at = cluster.now
        self._sampled_busy = cluster.busy_vcpu_integral()

    def desired(self, cluster: Cluster) -> int:
        """See the class."""
        recommended = max(self.parameters.min_workers, self._recommend(cluster))
        recommended = min(recommended, self._max_workers)
        return self._stabiliser.settle(cluster.now, self._desired, recommended)

    def _recommend(self, cluster: Cluster) -> int:
        busy_vcpus = self._average_busy_vcpus(cluster)
        live = cluster.n_workers - cluster.n_draining
        if not live:
            return 1 if cluster.waiting else 0
        ready_vcpus = booting_vcpus = 0
        for flavor, vcpus in enumerate(cluster.vcpus):
            ready_vcpus += vcpus * (cluster.idle[flavor] + cluster.busy[flavor])
            booting_vcpus += vcpus * cluster.booting[flavor]
        if not ready_vcpus:
            return live  # nothing to measure yet
        used = min(busy_vcpus, float(ready_vcpus))
        ready = cluster.n_idle + cluster.n_busy
        ratio = used / ready_vcpus / self.parameters.target
        if ratio > 1.0 and booting_vcpus:
            ratio = used / (ready_vcpus + booting_vcpus) / self.parameters.target
            ready = live
            if ratio < 1.0:
                return live
        if abs(ratio - 1.0) <= self.parameters.tolerance:
            return live
        return ceil(ready * ratio - 1e-9)

    def _average_busy_vcpus(self, cluster: Cluster) -> float:
        """Busy vCPUs averaged since the last review; the present ones at the first."""
        now, integral = cluster.now, cluster.busy_vcpu_integral()
        passed, grown = now - self._sampled_at, integral - self._sampled_busy
        self._sampled_at, self._sampled_busy = now, integral
        if passed > 0.0:
            return grown / passed
        return float(sum(n * vcpus for n, vcpus in zip(cluster.busy, cluster.vcpus, strict=True)))
