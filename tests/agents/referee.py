"""Watches a shielded policy from outside, with books of its own, and cries foul."""

from __future__ import annotations

from collections import deque
from math import inf

from agents.policy import Policy
from agents.shield import Shielded, ShieldLimits
from env.actions import Action, ActionKind
from env.cluster import Cluster
from env.worker import WorkerState

WINDOW_S = 60.0
SLACK_S = 0.1
"""A wish to be woken may be met a little late."""


class Referee(Policy):
    """Passes on what the shielded policy decides, and checks it against the bounds.

    Whoever drives it must carry out each order, and wake it when it wishes.
    """

    def __init__(self, inner: Policy, limits: ShieldLimits) -> None:
        self.shield = Shielded(inner, limits)
        self.name, self.discipline = "referee", self.shield.discipline
        self.limits = limits
        self.decisions = self.forced = 0
        self._cluster: Cluster | None = None

    def reset(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.shield.reset(cluster)
        self._spawned_at: deque[float] = deque()
        self._orders, self._at = 0, -inf
        self._stuck_since: float | None = None
        self._failures = list(cluster.spawn_failures_of)
        self._registered = list(cluster.registered_of)
        self._failed_at = [-inf] * cluster.n_flavors
        self._attempts_in_vain: list[list[float]] = [[] for _ in cluster.flavors]

    def act(self, cluster: Cluster) -> Action:
        assert cluster is self._cluster
        self._note(cluster)
        decision = self.shield.decide(cluster)
        action = decision.action
        self.decisions += 1
        self.forced += decision.reason == "waiting-too-long"
        if action.kind is ActionKind.KEEP:
            self._orders = 0
            self._check_progress(cluster)
            return action
        self._orders += 1
        assert self._orders <= self.limits.orders_per_epoch, "it does not stop"
        if action.kind is ActionKind.SPAWN:
            self._check_spawn(cluster, action.flavor)
        else:
            worker = cluster.next_to_end(action.flavor)
            if worker.state is WorkerState.IDLE:
                assert worker.job is None, "a busy worker is killed"
                assert not cluster.waiting, "a worker is killed while jobs wait"
            else:
                assert cluster.can_retire(action.flavor), "a busy worker is killed"
        return action

    def wake_at(self, cluster: Cluster) -> float | None:
        wake = self.shield.wake_at(cluster)
        assert wake is None or cluster.now < wake < inf, f"cannot wake at {wake}"
        return wake

    # -- the books --------------------------------------------------------------------

    def _note(self, cluster: Cluster) -> None:
        now = cluster.now
        if now != self._at:
            self._at, self._orders = now, 0
        for flavor in range(cluster.n_flavors):
            if cluster.registered_of[flavor] > self._registered[flavor]:
                self._failed_at[flavor] = -inf
                self._attempts_in_vain = [[] for _ in cluster.flavors]
            if cluster.spawn_failures_of[flavor] > self._failures[flavor]:
                self._failed_at[flavor] = now
        self._registered = list(cluster.registered_of)
        self._failures = list(cluster.spawn_failures_of)

    def _check_spawn(self, cluster: Cluster, flavor: int) -> None:
        now, config = cluster.now, cluster.config
        sizes = [cluster.flavors[worker.flavor] for worker in cluster.workers.values()]
        sizes.append(cluster.flavors[flavor])
        assert len(sizes) <= (config.max_workers or inf)
        assert sum(size.vcpus for size in sizes) <= (config.max_vcpus or inf)
        assert sum(size.ram_gib for size in sizes) <= (config.max_ram_gib or inf)
        assert sum(size.vcpus for size in sizes) <= cluster.capacity_vcpus
        assert cluster.choose_node(flavor) is not None
        times = self._spawned_at
        times.append(now)
        while times[0] <= now - WINDOW_S:
            times.popleft()
        assert len(times) <= self.shield.spawns_per_minute, "spawns without end"
        assert now >= self._failed_at[flavor] + self.limits.backoff_s, "no back-off"
        self._attempts_in_vain[flavor].append(now)

    def attempts_in_vain(self, flavor: int) -> list[float]:
        """Times of the flavor's spawns since any worker has last come."""
        return self._attempts_in_vain[flavor]

    def _check_progress(self, cluster: Cluster) -> None:
        """A job that has waited too long, with room and nobody on the way, is soon helped."""
        since = cluster.oldest_waiting_since
        stuck = (
            since is not None
            and cluster.now - since >= self.limits.max_wait_s
            and not cluster.n_idle
            and not cluster.n_booting
            and any(cluster.fits)
        )
        if not stuck:
            self._stuck_since = None
            return
        if self._stuck_since is None:
            self._stuck_since = cluster.now
        bound = self.limits.backoff_limit_s + WINDOW_S + SLACK_S
        assert cluster.now - self._stuck_since <= bound, "a job waits for ever"
