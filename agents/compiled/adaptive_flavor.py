"""Flavor by preference and load on the engine: the twin of `agents.adaptive_flavor`."""

from __future__ import annotations

from math import ceil, nan
from typing import Final

from agents.compiled.idle import kill_expired, next_expiry
from env.actions import KEEP_INDEX, SPAWN_INDEX
from env.arrivals import MEDIUM
from env.engine import arrivals
from env.engine.arrivals import arrival_rate
from env.engine.compiling import compiled
from env.engine.layout import (
    ARRIVALS,
    CAPACITY_OF,
    CAPACITY_VCPUS,
    MILLICORES,
    N_BOOTING,
    N_DRAINING,
    N_FLAVORS,
    N_IDLE,
    N_WORKERS,
    NOW,
    PREFERENCE,
    WAITING,
    Centre,
    Floats,
)
from env.engine.view import fits, mean_service_s, reserved_vcpus
from env.engine.workers import flavor_constant
from env.node import MILLI

SPAWN_SHARE: Final = 0
SECOND_FROM: Final = 1
THIRD_FROM: Final = 2
MAX_LOAD: Final = 3
LONG_ABOVE: Final = 4
SHORT_ABOVE: Final = 5
LONG_IDLE: Final = 6
SHORT_IDLE: Final = 7
LEAN_IDLE: Final = 8
MOST: Final = 9
SIZE: Final = 10


@compiled
def act_by_load(s: Centre, given: Floats) -> int:
    """Twin of `AdaptiveFlavor.act`."""
    if s.i[WAITING] > 0:
        wanted = ceil(given[SPAWN_SHARE] * s.i[WAITING] - 1e-9)
        missing = wanted - s.i[N_BOOTING]
        return _spawn_largest(s, given, missing) if missing > 0 else KEEP_INDEX
    if s.i[N_IDLE] > 0:
        return kill_expired(s, _timeout_s(s, given))
    return KEEP_INDEX


@compiled
def wake_by_load(s: Centre, given: Floats) -> float:
    """Twin of `AdaptiveFlavor.wake_at`; not a number for never."""
    if s.i[WAITING] > 0 or s.i[N_IDLE] == 0:
        return nan
    return next_expiry(s, _timeout_s(s, given))


@compiled
def _timeout_s(s: Centre, given: Floats) -> float:
    w = s.f[PREFERENCE]
    if w > given[LONG_ABOVE]:
        return given[LONG_IDLE]
    return given[SHORT_IDLE] if w > given[SHORT_ABOVE] else given[LEAN_IDLE]


@compiled
def _allowed_flavor(s: Centre, given: Floats) -> int:
    largest = s.ei[N_FLAVORS] - 1
    if s.f[PREFERENCE] >= given[THIRD_FROM]:
        return largest
    return min(1 if s.f[PREFERENCE] >= given[SECOND_FROM] else 0, largest)


@compiled
def _spawn_largest(s: Centre, given: Floats, missing: int) -> int:
    if s.i[N_WORKERS] - s.i[N_DRAINING] >= given[MOST]:
        return KEEP_INDEX
    free = s.ef[CAPACITY_VCPUS] - reserved_vcpus(s)
    rate = arrival_rate(s.f[ARRIVALS : ARRIVALS + arrivals.SIZE], s.f[NOW], MEDIUM)
    for flavor in range(_allowed_flavor(s, given), 0, -1):
        busy = rate * mean_service_s(s, flavor)
        vcpus = flavor_constant(s, flavor, MILLICORES) // MILLI
        if (
            missing * vcpus <= free
            and busy <= given[MAX_LOAD] * flavor_constant(s, flavor, CAPACITY_OF)
            and fits(s, flavor)
        ):
            return SPAWN_INDEX + flavor
    return SPAWN_INDEX if fits(s, 0) else KEEP_INDEX
