"""KEDA: workers in proportion to the queue, and none after a cooldown."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.desired_count import DesiredCountPolicy
from agents.horizontal_pod_autoscaler import HorizontalPodAutoscalerParameters, Stabiliser
from agents.idle import TIME_TOLERANCE_S
from agents.parameters import DAY_S, STRICT, Unit

if TYPE_CHECKING:
    from env.cluster import Cluster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class QueueScalingParameters(HorizontalPodAutoscalerParameters):
    """Parameters of `QueueScaling`."""

    target: Annotated[
        float, Field(gt=0, le=1000, description="jobs waiting or in process for each worker")
    ] = 1.0
    polling_interval: Annotated[
        float,
        Field(gt=0, le=DAY_S, description="time between two looks at the queue with no worker"),
        Unit("s"),
    ] = 30.0
    cooldown: Annotated[
        float,
        Field(ge=0, le=DAY_S, description="time without any job before the last worker ends"),
        Unit("s"),
    ] = 300.0


class QueueScaling(DesiredCountPolicy):
    """desired = ceil(jobs / target); one from none at a poll, none after a cooldown.

    The metric counts waiting and running jobs, as KEDA's scalers for message queues do
    (messages in flight are still in the queue). With workers running, the
    HorizontalPodAutoscaler's tolerance and downscale stabilisation apply.

    Source: KEDA 2 ScaledObject with its defaults: polling interval 30 s, cooldown 300 s,
    and HPA's sync period 15 s, tolerance 0.1, stabilisation 300 s. Differences: busy
    workers are never killed; the target is 1 job (KEDA's queue scalers say 5 messages:
    a worker of ours takes one at a time).
    """

    name = "queue-scaling"
    aliases = ("keda",)
    summary = "workers in proportion to the jobs in the system, none after a cooldown"
    source = "KEDA 2 ScaledObject with a queue scaler"
    parameters_type = QueueScalingParameters
    parameters: QueueScalingParameters

    def reset(self, cluster: Cluster) -> None:
        """See `OneFlavorPolicy.reset`."""
        super().reset(cluster)
        self.period_s = self.parameters.polling_interval
        self._stabiliser = Stabiliser(self.parameters.stabilisation)
        self._active_at = cluster.now

    def desired(self, cluster: Cluster) -> int:
        """See the class."""
        wanted = self._recommend(cluster)
        self.period_s = self.parameters.sync_period if wanted else self.parameters.polling_interval
        return wanted

    def _recommend(self, cluster: Cluster) -> int:
        now, jobs = cluster.now, cluster.jobs_in_system
        if jobs:
            self._active_at = now
        elif now + TIME_TOLERANCE_S >= self._active_at + self.parameters.cooldown:
            # Zero is KEDA's own business: the autoscaler and its memory start anew from one.
            self._stabiliser = Stabiliser(self.parameters.stabilisation)
            return 0
        if not self._desired:
            return 1 if jobs else 0
        wanted = max(1, min(self._proportional(cluster), self._max_workers))
        return self._stabiliser.settle(now, self._desired, wanted)

    def _proportional(self, cluster: Cluster) -> int:
        jobs, target = cluster.jobs_in_system, self.parameters.target
        live = cluster.n_workers - cluster.n_draining
        if live and abs(jobs / (target * live) - 1.0) <= self.parameters.tolerance:
            return live
        return ceil(jobs / target - 1e-9)
