"""Shadow mode in the controller: what it logs, counts and estimates."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import Gauge

from agents.loading import live_policy
from deploy.controller.journal import Keys, decision_keys
from deploy.shadow import Shadow, ShadowDecision
from deploy.shadow_cost import LOW_PRIORITY, PERIOD_S, RelativeCost, estimate_in_background
from deploy.steps import Decided
from env.errors import DaCircoError
from env.event_log import EventCode

if TYPE_CHECKING:
    from deploy.controller.conductor import Conductor

_OF_A_CHANGE: Final = ("action", "flavor", "source", "reason", "agrees")

_LOGGER = logging.getLogger(__name__)


class Shadowing:
    """A policy that looks on, and where its answers go.

    Args:
        spec: text of the policy.
        fallback: of its fallback.

    Attributes:
        shadow: the scheduler's observer.
        warnings: what the operator must know, one line each.
        estimate: the latest relative cost, none before the first.

    Raises:
        DaCircoError: the policy does not exist.
    """

    def __init__(self, spec: str, fallback: str) -> None:
        policy, self.warnings = live_policy(spec, fallback)
        self.spec, self.fallback = spec, fallback
        self.shadow = Shadow(policy, self._heard)
        self.estimate: RelativeCost | None = None
        self._conductor: Conductor | None = None
        self._latest: Keys = {}
        self._repeated = 0

    def report_to(self, conductor: Conductor) -> None:
        """Log and count from now on."""
        self._conductor = conductor
        registry = conductor.metrics.registry
        agreement = Gauge(
            "dacirco_shadow_agreement",
            "share of decisions on which the policy in the shadow agrees; nan before the first",
            registry=registry,
        )
        agreement.set_function(lambda: _or_nan(self.shadow.agreement))
        self._cost = Gauge(
            "dacirco_shadow_relative_cost",
            "simulated cost of the policy in the shadow relative to the one in charge, with its "
            "95 % interval",
            ("bound",),
            registry=registry,
        )

    def _heard(self, heard: ShadowDecision) -> None:
        if heard.routine or self._conductor is None:
            return
        self._conductor.metrics.shadow(heard.decision.action.kind.name.lower())
        # Not now: the event that this is about is not yet written down itself.
        asyncio.get_running_loop().call_soon(self._write, heard)

    def _write(self, heard: ShadowDecision) -> None:
        conductor = self._conductor
        assert conductor is not None
        decided = Decided(heard.decision, carried_out=True, cluster_time=heard.cluster_time)
        keys = decision_keys(decided, conductor.scheduler.cluster, self.spec)
        keys["agrees"] = str(heard.agrees).lower()
        # It is asked every second: the log tells what has changed, and how often it had not.
        if self._latest and all(keys[name] == self._latest[name] for name in _OF_A_CHANGE):
            self._repeated += 1
            return
        conductor.note((EventCode.SHADOW_DECISION, keys | {"repeated": self._repeated}))
        self._latest, self._repeated = keys, 0

    async def keep_estimating(
        self,
        log_path: Path,
        against: str,
        period_s: float = PERIOD_S,
        niceness: int = LOW_PRIORITY,
    ) -> None:
        """Estimate the relative cost every so often, until cancelled.

        Args:
            log_path: the event log that is being written.
            against: text of the policy in charge.
            period_s: seconds of the wall's time.
            niceness: by how much the simulations give way to others.
        """
        while True:
            await asyncio.sleep(period_s)
            try:
                found = await estimate_in_background(
                    log_path, self.spec, against, fallback=self.fallback, niceness=niceness
                )
            except DaCircoError as error:
                _LOGGER.info("no estimate of the cost in the shadow: %s", error)
                continue
            self._estimated(found)

    def _estimated(self, found: RelativeCost) -> None:
        self.estimate = found
        _LOGGER.info("%s", found)
        for bound, ratio in (("estimate", found.ratio), ("low", found.low), ("high", found.high)):
            self._cost.labels(bound).set(ratio)
        assert self._conductor is not None
        self._conductor.note(
            (
                EventCode.SHADOW_COST,
                {
                    "policy": found.policy,
                    "against": found.against,
                    "ratio": f"{found.ratio:.4f}",
                    "low": f"{found.low:.4f}",
                    "high": f"{found.high:.4f}",
                    "requests": found.requests,
                    "seeds": found.seeds,
                    "preference": f"{found.preference:g}",
                },
            )
        )


def _or_nan(share: float | None) -> float:
    return float("nan") if share is None else share
