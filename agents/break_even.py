"""Ski rental: keep an idle worker for as long as a new boot would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.idle import kill_expired, next_expiry
from agents.one_flavor import OneFlavorPolicy
from agents.parameters import STRICT, OneFlavorRivalParameters
from env.actions import KEEP

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BreakEvenParameters(OneFlavorRivalParameters):
    """Parameters of `BreakEven`."""

    factor: Annotated[
        float,
        Field(ge=0, le=100, description="idle time as a multiple of the break-even time"),
    ] = 1.0


class BreakEven(OneFlavorPolicy):
    """Keep an idle worker until its reservation has cost as much as the boot it may save.

    An idle worker costs ``(1 - w) c`` a second, with w the preference and c the
    worker's equivalent cores. If it is ended and a job comes, the job waits for a boot
    of b seconds, which costs ``w b`` for the job and ``(1 - w) c b`` for the booting
    worker. Both are equal after ``b (1 + w / ((1 - w) c))`` seconds: the timeout. By
    the ski-rental argument no other fixed timeout has a better worst case (twice the
    cost of knowing the next arrival). A waiting job gets a worker as in grace-period.

    Source: A. Karlin, M. Manasse, L. Rudolph, D. Sleator, "Competitive snoopy caching",
    Algorithmica 3 (1988); for servers: T. Lu, M. Chen, L. Andrew, "Simple and effective
    dynamic provisioning for power-proportional data centers", IEEE TPDS 24 (2013), which
    also hands jobs to the server that became idle last, as the cluster does. Difference:
    the boot's delay is priced at the preference, where the papers have one fixed
    switching cost; the timeout follows when the preference is changed.
    """

    name = "break-even"
    aliases = ("ski-rental",)
    summary = "idle workers live until their reservation has cost as much as a boot"
    source = "ski rental: Karlin et al. 1988; Lu, Chen, Andrew 2013"
    parameters_type = BreakEvenParameters
    parameters: BreakEvenParameters

    def timeout_s(self, cluster: Cluster) -> float:
        """How long an idle worker lives at the present preference, seconds."""
        return self.parameters.factor * cluster.break_even_s(self._flavor)

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        if cluster.waiting:
            return self._serve_waiting(cluster)
        return kill_expired(cluster, self.timeout_s(cluster)) if cluster.n_idle else KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        """When the longest-idle worker has used up its time."""
        if cluster.waiting or not cluster.n_idle:
            return None
        return next_expiry(cluster, self.timeout_s(cluster))
