"""Idle timeouts on the engine: the twin of `agents.idle`."""

from __future__ import annotations

from math import nan

from agents.idle import TIME_TOLERANCE_S
from env.actions import KEEP_INDEX, SPAWN_INDEX
from env.engine.compiling import compiled
from env.engine.layout import IDLE_SINCE, N_FLAVORS, NOW, Centre
from env.engine.view import longest_idle
from env.engine.workers import worker_float


@compiled
def flavor_of_longest_idle(s: Centre) -> int:
    """Of the worker that has been idle for longest, the smallest of two alike; -1 for none."""
    best = -1
    for flavor in range(s.ei[N_FLAVORS]):
        if longest_idle(s, flavor) >= 0 and (
            best < 0 or idle_since(s, flavor) < idle_since(s, best)
        ):
            best = flavor
    return best


@compiled
def kill_expired(s: Centre, timeout_s: float) -> int:
    """Kill the longest-idle worker if it has been idle for `timeout_s` seconds, else keep."""
    flavor = flavor_of_longest_idle(s)
    if flavor < 0 or s.f[NOW] + TIME_TOLERANCE_S < idle_since(s, flavor) + timeout_s:
        return KEEP_INDEX
    action: int = SPAWN_INDEX + s.ei[N_FLAVORS] + flavor
    return action


@compiled
def next_expiry(s: Centre, timeout_s: float) -> float:
    """When the first idle worker will have been idle for `timeout_s`; not a number for none."""
    flavor = flavor_of_longest_idle(s)
    return nan if flavor < 0 else idle_since(s, flavor) + timeout_s


@compiled
def idle_since(s: Centre, flavor: int) -> float:
    """Since when the flavor's longest-idle worker idles, seconds; there is one."""
    since: float = s.f[worker_float(s, longest_idle(s, flavor), IDLE_SINCE)]
    return since
