"""Square-root staffing: the estimated load and a safety margin of its square root."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, erf, exp, pi, sqrt
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.desired_count import DesiredCountPolicy
from agents.parameters import DAY_S, STRICT, OneFlavorRivalParameters, Unit
from agents.windows import MovingMaximum
from env.actions import KEEP
from env.arrivals import LONG, MEDIUM, SHORT

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster

HORIZONS: Final = {"short": SHORT, "medium": MEDIUM, "long": LONG}
"""Memories of the arrival rate by the names of `horizon`'s values."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SquareRootStaffingParameters(OneFlavorRivalParameters):
    """Parameters of `SquareRootStaffing`."""

    beta: Annotated[
        float | None,
        Field(ge=-10, le=10, description="safety margin; none: from the preference"),
    ] = None
    horizon: Annotated[
        Literal["short", "medium", "long"],
        Field(description="memory of the arrival rate: 1 minute, 10 minutes or 1 hour"),
    ] = "medium"
    backlog_share: Annotated[
        float,
        Field(ge=0, le=1, description="share of the waiting jobs that get a worker of their own"),
    ] = 1.0
    period: Annotated[
        float, Field(gt=0, le=DAY_S, description="time between two reviews"), Unit("s")
    ] = 15.0
    stabilisation: Annotated[
        float,
        Field(ge=0, le=DAY_S, description="keep the largest staff wanted within this time"),
        Unit("s"),
    ] = 60.0


def waiting_probability(margin: float) -> float:
    """Halfin and Whitt's limit of the probability that a job waits, for a margin above 0."""
    density = exp(-margin * margin / 2.0) / sqrt(2.0 * pi)
    below = 0.5 * (1.0 + erf(margin / sqrt(2.0)))
    return 1.0 / (1.0 + margin * below / density)


@lru_cache(maxsize=1024)
def optimal_margin(ratio: float) -> float:
    """The margin beta that balances waiting against staff in a large M/M/n queue.

    Minimises ``beta + ratio * P(beta) / beta``, with P the probability of waiting: the
    staff's and the waiting jobs' cost in units of one worker times the square root of
    the load (Borst, Mandelbaum, Reiman 2004). The function has one minimum, found to
    1e-4 by ternary search.

    Args:
        ratio: cost of a job that waits a second over cost of a worker for a second.
    """
    low, high = 1e-3, 6.0
    while high - low > 1e-4:
        third = (high - low) / 3.0
        left, right = low + third, high - third
        cost_left = left + ratio * waiting_probability(left) / left
        cost_right = right + ratio * waiting_probability(right) / right
        low, high = (low, right) if cost_left < cost_right else (left, high)
    return (low + high) / 2.0


class SquareRootStaffing(DesiredCountPolicy):
    """Keep n = R + beta sqrt(R) workers, R the offered load (arrival rate x mean service).

    n is rounded to the nearest whole number, so that a load that almost vanished keeps
    nobody; jobs that wait in spite of n get workers of their own (`backlog_share`).

    Source: the square-root staffing rule of Erlang; S. Halfin, W. Whitt, "Heavy-traffic
    limits for queues with many exponential servers", Operations Research 29 (1981);
    beta from the costs: S. Borst, A. Mandelbaum, M. Reiman, "Dimensioning large call
    centers", Operations Research 52 (2004). Differences: the load is estimated while
    running instead of known, a backlog is acted on, and beta follows the preference.
    """

    name = "square-root-staffing"
    aliases = ("square-root", "halfin-whitt")
    summary = "workers for the estimated load plus a margin of beta times its square root"
    source = "Halfin, Whitt 1981; Borst, Mandelbaum, Reiman 2004"
    parameters_type = SquareRootStaffingParameters
    parameters: SquareRootStaffingParameters

    def reset(self, cluster: Cluster) -> None:
        """See `OneFlavorPolicy.reset`."""
        super().reset(cluster)
        self.period_s = self.parameters.period
        self._horizon = HORIZONS[self.parameters.horizon]
        self._largest = MovingMaximum(self.parameters.stabilisation)

    def margin(self, cluster: Cluster) -> float:
        """The safety margin beta at the present preference."""
        if self.parameters.beta is not None:
            return self.parameters.beta
        w = cluster.preference
        return optimal_margin(w / ((1.0 - w) * cluster.flavor_cost(self._flavor)))

    def desired(self, cluster: Cluster) -> int:
        """See the class."""
        rate = cluster.arrivals.rate(cluster.now, self._horizon)
        load = rate * cluster.mean_service_s[self._flavor]
        staff = max(0, round(load + self.margin(cluster) * sqrt(load)))
        return self._largest.push(cluster.now, min(staff, self._max_workers))

    def _for_backlog(self, cluster: Cluster) -> Action:
        wanted = max(1, ceil(self.parameters.backlog_share * cluster.waiting - 1e-9))
        if cluster.n_booting >= wanted or (not self.parameters.backlog_share and self._desired):
            return KEEP
        return self._spawn_or_keep(cluster)
