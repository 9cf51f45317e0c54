"""Bounds on what any policy can do, even a hostile one.

The shield trusts nothing but the cluster: it knows the past from the cluster's counters, refuses
an order (the answer is then KEEP) or, where jobs have waited too long, gives one of its own.
What no shield in this process can stop is code that changes the cluster behind its back.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from agents.decision import Decision, Explained, Source
from agents.guard import DECIDED, RAISED, check_action, check_wake, one_line
from agents.idle import TIME_TOLERANCE_S
from agents.policy import Policy
from env.actions import KEEP, Action, ActionKind, spawn
from env.errors import DaCircoError

if TYPE_CHECKING:
    from env.cluster import Cluster

_LOG = logging.getLogger(__name__)

# Reasons of the shield's decisions; `agents.guard` holds the others.
WAITING_TOO_LONG: Final = "waiting-too-long"
TOO_MANY_ORDERS: Final = "too-many-orders"
SPAWN_RATE: Final = "spawn-rate"
SPAWN_BACKOFF: Final = "spawn-backoff"

WINDOW_S: Final = 60.0
"""Spawns are counted over the last minute."""

_SPAWNS_PER_SMALLEST: Final = 2
"""By default the whole cluster may be filled with the smallest flavor this often a minute ..."""
_FEWEST_SPAWNS: Final = 20
"""... or this many workers may be spawned, if that is more."""
_RESERVED_SHARE: Final = 0.1
_LEAST_WAKE_S: Final = 0.05
"""A policy that always wants to be woken at once would keep the machine busy for nothing."""


@dataclass(frozen=True, slots=True)
class ShieldLimits:
    """The bounds.

    Attributes:
        max_wait_s: once a job has waited this long, and no worker is idle or booting, one is
            spawned though the policy did not ask for it, seconds.
        spawns_per_minute: most spawns in any 60 seconds; none means twice the number of workers
            of the smallest flavor that the cluster holds, at least 20. A tenth of it (at least
            one) is kept for jobs that have waited too long.
        orders_per_epoch: most orders at one instant without a KEEP in between.
        backoff_s: after a failed spawn, no further one of that flavor for this long, seconds;
            it doubles with each failure in a row. From the second failure in a row on, whatever
            the flavors, the same holds for all flavors together.
        backoff_limit_s: the longest such time, seconds.
    """

    max_wait_s: float = 300.0
    spawns_per_minute: int | None = None
    orders_per_epoch: int = 16
    backoff_s: float = 5.0
    backoff_limit_s: float = 120.0

    def __post_init__(self) -> None:
        for name in ("max_wait_s", "backoff_s", "backoff_limit_s"):
            if not getattr(self, name) > 0:
                raise DaCircoError(f"shield: {name} is {getattr(self, name)}: must be above 0")
        if self.orders_per_epoch < 1:
            raise DaCircoError(f"shield: orders_per_epoch is {self.orders_per_epoch}: must be >= 1")
        if self.spawns_per_minute is not None and self.spawns_per_minute < 2:
            raise DaCircoError(
                f"shield: spawns_per_minute is {self.spawns_per_minute}: must be 2 or more, "
                "one of them is kept for jobs that have waited too long"
            )


class _Backoff:
    """How long not to try again after failures in a row: doubles each time, up to a limit."""

    def __init__(self, first_s: float, limit_s: float, free_failures: int = 0) -> None:
        self._first_s, self._limit_s = first_s, limit_s
        self._free = free_failures
        self._in_a_row = 0
        self.until = -inf

    def failed(self, now: float) -> None:
        """A spawn failed; one that was ordered before the time began does not double it."""
        if now >= self.until:
            self._in_a_row += 1
        doublings = self._in_a_row - 1 - self._free
        if doublings >= 0:
            # 2**40 seconds are for ever; no need to work out 2**5000.
            self.until = now + min(self._limit_s, self._first_s * 2.0 ** min(doublings, 40))

    def succeeded(self) -> None:
        """A worker has come: try again at once."""
        self._in_a_row = 0
        self.until = -inf


class Shielded(Policy):
    """Lets through what the policy orders within the bounds.

    Args:
        inner: any policy.
        limits: see `ShieldLimits`.

    Attributes:
        interventions: how often the shield decided, by reason.
    """

    def __init__(self, inner: Policy, limits: ShieldLimits | None = None) -> None:
        self.inner = inner
        self.name, self.discipline = inner.name, inner.discipline
        self.limits = limits or ShieldLimits()
        self.interventions: Counter[str] = Counter()
        self._explained = inner if isinstance(inner, Explained) else None
        self._cluster: Cluster | None = None

    @property
    def spec(self) -> str:
        """The policy's."""
        return self.inner.spec

    @property
    def spawns_per_minute(self) -> int:
        """Most spawns in any minute on this cluster."""
        return self._most_spawns

    def reset(self, cluster: Cluster) -> None:
        """Forget what was, and begin to count from what the cluster's counters say now."""
        self.inner.reset(cluster)
        limits = self.limits
        self._cluster = cluster
        self.interventions.clear()
        self._most_spawns = limits.spawns_per_minute or max(
            _FEWEST_SPAWNS, _SPAWNS_PER_SMALLEST * cluster.capacity_of(0)
        )
        self._policys_spawns = self._most_spawns - max(1, int(self._most_spawns * _RESERVED_SHARE))
        self._spawned_at: deque[float] = deque()
        self._boots = cluster.boots
        self._failures = list(cluster.spawn_failures_of)
        self._registered = list(cluster.registered_of)
        self._backoff = _Backoff(limits.backoff_s, limits.backoff_limit_s, free_failures=1)
        self._backoff_of = [
            _Backoff(limits.backoff_s, limits.backoff_limit_s) for _ in cluster.flavors
        ]
        self._epoch = -inf
        self._orders = 0
        self._refused_until = inf

    def act(self, cluster: Cluster) -> Action:
        """The action of `decide`."""
        return self.decide(cluster).action

    def decide(self, cluster: Cluster) -> Decision:
        """The policy's decision, or what the bounds make of it."""
        if cluster is not self._cluster:
            self.reset(cluster)
        self._catch_up(cluster)
        if self._orders >= self.limits.orders_per_epoch:
            return self._refuse(
                cluster, TOO_MANY_ORDERS, f"{self._orders} orders at one instant without a keep"
            )
        flavor = self._flavor_to_force(cluster)
        if flavor is not None:
            self._orders += 1
            detail = f"a job has waited for {self._wait(cluster):.0f} s"
            return self._own(cluster, spawn(flavor), WAITING_TOO_LONG, detail)
        decision = self._ask(cluster)
        action = decision.action
        if action.kind is ActionKind.KEEP:
            self._orders = 0
            return decision
        if action.kind is ActionKind.SPAWN:
            name = cluster.flavors[action.flavor].name
            free_at = self._free_at(action.flavor)
            if cluster.now < free_at:
                self._refused_until = min(self._refused_until, free_at)
                return self._refuse(
                    cluster,
                    SPAWN_BACKOFF,
                    f"no {name} for {free_at - cluster.now:.1f} s: spawns have failed",
                    decision,
                )
            if len(self._spawned_at) >= self._policys_spawns:
                self._refused_until = min(self._refused_until, self._spawned_at[0] + WINDOW_S)
                return self._refuse(
                    cluster,
                    SPAWN_RATE,
                    f"no {name}: {len(self._spawned_at)} spawns in the last {WINDOW_S:g} s",
                    decision,
                )
        self._orders += 1
        return decision

    def wake_at(self, cluster: Cluster) -> float | None:
        """As the policy wishes, and when the shield may have to act or may let pass again."""
        now = cluster.now
        try:
            wish = check_wake(self.inner.wake_at(cluster))
        except Exception as error:
            _LOG.warning("%s failed: wake_at: %s", self.name, one_line(error))
            wish = None
        times = [self._refused_until, self._next_duty(cluster)]
        if wish is not None and wish > now:
            times.append(max(wish, now + _LEAST_WAKE_S))
        # Just after, so that rounding does not wake us just before.
        wake = min((time_s for time_s in times if time_s > now), default=inf)
        return wake if wake < inf else None

    # -- what the cluster tells -------------------------------------------------------

    def _catch_up(self, cluster: Cluster) -> None:
        """Take in what has happened since the last decision."""
        now = cluster.now
        if now != self._epoch:
            self._epoch = now
            self._orders = 0
            self._refused_until = inf
        if cluster.boots != self._boots:
            self._spawned_at.extend([now] * (cluster.boots - self._boots))
            self._boots = cluster.boots
        spawned_at = self._spawned_at
        while spawned_at and spawned_at[0] <= now - WINDOW_S:
            spawned_at.popleft()
        for flavor, backoff in enumerate(self._backoff_of):
            if cluster.registered_of[flavor] != self._registered[flavor]:
                self._registered[flavor] = cluster.registered_of[flavor]
                backoff.succeeded()
                self._backoff.succeeded()
            for _ in range(cluster.spawn_failures_of[flavor] - self._failures[flavor]):
                backoff.failed(now)
                self._backoff.failed(now)
            self._failures[flavor] = cluster.spawn_failures_of[flavor]

    def _wait(self, cluster: Cluster) -> float:
        """How long the oldest job has waited, seconds."""
        since = cluster.oldest_waiting_since
        return 0.0 if since is None else cluster.now - since

    def _free_at(self, flavor: int) -> float:
        """When the back-off lets a flavor be spawned."""
        return max(self._backoff.until, self._backoff_of[flavor].until)

    # -- what the shield does ---------------------------------------------------------

    def _flavor_to_force(self, cluster: Cluster) -> int | None:
        """The flavor to spawn for a job that has waited too long, none if there is no need."""
        if not cluster.waiting or cluster.n_booting or cluster.n_idle:
            return None
        if self._wait(cluster) + TIME_TOLERANCE_S < self.limits.max_wait_s:
            return None
        if len(self._spawned_at) >= self._most_spawns:
            return None
        return next(
            (
                flavor
                for flavor, fits in enumerate(cluster.fits)
                if fits and cluster.now >= self._free_at(flavor)
            ),
            None,
        )

    def _next_duty(self, cluster: Cluster) -> float:
        """When a worker may have to be spawned for a job that waits, infinite if never."""
        if not cluster.waiting or cluster.n_booting or cluster.n_idle or not any(cluster.fits):
            return inf  # an event comes before
        due = cluster.now - self._wait(cluster) + self.limits.max_wait_s
        free = min(self._free_at(flavor) for flavor, fits in enumerate(cluster.fits) if fits)
        rate = (
            self._spawned_at[0] + WINDOW_S + TIME_TOLERANCE_S
            if len(self._spawned_at) >= self._most_spawns
            else -inf
        )
        return max(due, free, rate)

    def _ask(self, cluster: Cluster) -> Decision:
        """The policy's decision; KEEP where it has none that can be carried out."""
        try:
            if self._explained is not None:
                decision = self._explained.decide(cluster)
            else:
                decision = Decision(self.inner.act(cluster), Source.POLICY, DECIDED)
            reason, detail = check_action(decision.action, cluster)
        except Exception as error:  # whatever it is, the service goes on
            return self._refuse(cluster, RAISED, one_line(error))
        return self._refuse(cluster, reason, detail, decision) if reason else decision

    def _refuse(
        self, cluster: Cluster, reason: str, detail: str, refused: Decision | None = None
    ) -> Decision:
        self._orders = 0
        return self._own(cluster, KEEP, reason, detail, refused.observation if refused else "")

    def _own(
        self, cluster: Cluster, action: Action, reason: str, detail: str, observation: str = ""
    ) -> Decision:
        self.interventions[reason] += 1
        return Decision(
            action, Source.SHIELD, reason, detail, observation or self.fingerprint(cluster)
        )

    def fingerprint(self, cluster: Cluster) -> str:
        """The hash of the observation behind the shield's own decisions, if one is wanted."""
        return ""
