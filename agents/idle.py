"""Idle timeouts, over workers of all flavors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from env.actions import KEEP, kill

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster
    from env.worker import Worker

TIME_TOLERANCE_S: Final = 1e-6
"""Two times closer than this are the same: a wake-up may come early by a rounding error."""


def longest_idle(cluster: Cluster) -> Worker | None:
    """The worker that has been idle for longest, whatever its flavor; O(flavors)."""
    longest: Worker | None = None
    for flavor, count in enumerate(cluster.idle):
        if count:
            worker = cluster.longest_idle(flavor)
            if worker is not None and (longest is None or worker.idle_since < longest.idle_since):
                longest = worker
    return longest


def kill_expired(cluster: Cluster, timeout_s: float) -> Action:
    """Kill the longest-idle worker if it has been idle for `timeout_s` seconds, else KEEP."""
    worker = longest_idle(cluster)
    if worker is None or cluster.now + TIME_TOLERANCE_S < worker.idle_since + timeout_s:
        return KEEP
    return kill(worker.flavor)


def next_expiry(cluster: Cluster, timeout_s: float) -> float | None:
    """When the first idle worker will have been idle for `timeout_s`; none if none is idle."""
    worker = longest_idle(cluster)
    return None if worker is None else worker.idle_since + timeout_s
