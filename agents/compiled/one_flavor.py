"""Rules with workers of one size on the engine: the twins of `agents.one_flavor` and its heirs.

Their settings are a row of floats: see the constants.
"""

from __future__ import annotations

from math import nan
from typing import Final

from agents.compiled.idle import kill_expired, next_expiry
from env.actions import KEEP_INDEX, SPAWN_INDEX
from env.engine.compiling import compiled
from env.engine.layout import (
    BOOT_S,
    N_BOOTING,
    N_DRAINING,
    N_IDLE,
    N_WORKERS,
    PREFERENCE,
    WAITING,
    Centre,
    Floats,
)
from env.engine.view import fits, flavor_cost

FLAVOR: Final = 0
MOST: Final = 1
"""Most workers at once."""
IDLE_S: Final = 2
"""How long an idle worker lives, seconds; for break-even the factor instead."""
SPARES: Final = 3


@compiled
def spawn_or_keep(s: Centre, given: Floats) -> int:
    """Twin of `OneFlavorPolicy._spawn_or_keep`."""
    flavor = int(given[FLAVOR])
    if fits(s, flavor) and s.i[N_WORKERS] - s.i[N_DRAINING] < given[MOST]:
        return SPAWN_INDEX + flavor
    return KEEP_INDEX


@compiled
def serve_waiting(s: Centre, given: Floats) -> int:
    """Twin of `OneFlavorPolicy._serve_waiting`."""
    if s.i[WAITING] > s.i[N_BOOTING]:
        return spawn_or_keep(s, given)
    return KEEP_INDEX


@compiled
def act_on_demand(s: Centre, given: Floats, timeout_s: float) -> int:
    """Twin of `MinimizeWorkers.act` (no timeout), `GracePeriod.act` and `BreakEven.act`."""
    if s.i[WAITING] > 0:
        return serve_waiting(s, given)
    return kill_expired(s, timeout_s) if s.i[N_IDLE] > 0 else KEEP_INDEX


@compiled
def wake_on_expiry(s: Centre, timeout_s: float) -> float:
    """Twin of `GracePeriod.wake_at` and `BreakEven.wake_at`; not a number for never."""
    if s.i[WAITING] > 0 or s.i[N_IDLE] == 0:
        return nan
    return next_expiry(s, timeout_s)


@compiled
def break_even_s(s: Centre, given: Floats) -> float:
    """Twin of `BreakEven.timeout_s`."""
    w = s.f[PREFERENCE]
    cost = flavor_cost(s, int(given[FLAVOR]))
    timeout: float = given[IDLE_S] * (s.ef[BOOT_S] * (1.0 + w / ((1.0 - w) * cost)))
    return timeout


@compiled
def act_with_reserve(s: Centre, given: Floats) -> int:
    """Twin of `ReserveK.act`."""
    excess = _excess(s, given)
    if excess < 0:
        return spawn_or_keep(s, given)
    if excess > 0 and s.i[N_IDLE] > 0 and s.i[WAITING] == 0:
        return kill_expired(s, given[IDLE_S])
    return KEEP_INDEX


@compiled
def wake_with_reserve(s: Centre, given: Floats) -> float:
    """Twin of `ReserveK.wake_at`; not a number for never."""
    if s.i[WAITING] > 0 or s.i[N_IDLE] == 0 or _excess(s, given) <= 0:
        return nan
    return next_expiry(s, given[IDLE_S])


@compiled
def _excess(s: Centre, given: Floats) -> int:
    return s.i[N_BOOTING] + s.i[N_IDLE] - s.i[WAITING] - int(given[SPARES])
