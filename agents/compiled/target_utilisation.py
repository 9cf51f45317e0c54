"""The twin of `agents.target_utilisation` on the engine."""

from __future__ import annotations

from math import ceil
from typing import Final

from agents.compiled.desired_count import (
    COUNT_F,
    COUNT_I,
    OWN,
    begin_count,
    live_workers,
    stabilise,
)
from agents.compiled.memory import floats_at, ints_at
from agents.compiled.one_flavor import MOST
from agents.compiled.windows import forget
from env.engine.compiling import compiled
from env.engine.layout import (
    BOOTING,
    BUSY,
    IDLE,
    MILLICORES,
    N_BUSY,
    N_FLAVORS,
    N_IDLE,
    NOW,
    WAITING,
    Centre,
    Floats,
)
from env.engine.view import busy_vcpu_integral
from env.engine.workers import flavor_at, flavor_constant
from env.node import MILLI

PERIOD_S: Final = OWN
TOLERANCE: Final = OWN + 1
WINDOW: Final = OWN + 2
TARGET: Final = OWN + 3
FEWEST: Final = OWN + 4

SAMPLED_AT: Final = COUNT_F
SAMPLED_BUSY: Final = COUNT_F + 1
RING_F: Final = COUNT_F + 2
RING_I: Final = COUNT_I


@compiled
def begin_utilisation(s: Centre, given: Floats) -> None:
    """Twin of `TargetUtilisation.reset`."""
    begin_count(s, given[PERIOD_S])
    forget(s, ints_at(s) + RING_I)
    s.f[floats_at(s) + SAMPLED_AT] = s.f[NOW]
    s.f[floats_at(s) + SAMPLED_BUSY] = busy_vcpu_integral(s)


@compiled
def desired_by_utilisation(s: Centre, given: Floats) -> int:
    """Twin of `TargetUtilisation.desired`."""
    recommended = max(int(given[FEWEST]), _recommend(s, given))
    recommended = min(recommended, int(given[MOST]))
    return stabilise(
        s, given, ints_at(s) + RING_I, floats_at(s) + RING_F, given[WINDOW], recommended
    )


@compiled
def _recommend(s: Centre, given: Floats) -> int:
    busy_vcpus = _average_busy_vcpus(s)
    live = live_workers(s)
    if live == 0:
        return 1 if s.i[WAITING] > 0 else 0
    ready_vcpus = 0
    booting_vcpus = 0
    for flavor in range(s.ei[N_FLAVORS]):
        at, vcpus = flavor_at(flavor), flavor_constant(s, flavor, MILLICORES) // MILLI
        ready_vcpus += vcpus * (s.i[at + IDLE] + s.i[at + BUSY])
        booting_vcpus += vcpus * s.i[at + BOOTING]
    if ready_vcpus == 0:
        return live
    used = min(busy_vcpus, float(ready_vcpus))
    ready = s.i[N_IDLE] + s.i[N_BUSY]
    ratio = used / ready_vcpus / given[TARGET]
    if ratio > 1.0 and booting_vcpus > 0:
        ratio = used / (ready_vcpus + booting_vcpus) / given[TARGET]
        ready = live
        if ratio < 1.0:
            return live
    if abs(ratio - 1.0) <= given[TOLERANCE]:
        return live
    return ceil(ready * ratio - 1e-9)


@compiled
def _average_busy_vcpus(s: Centre) -> float:
    f = floats_at(s)
    now, integral = s.f[NOW], busy_vcpu_integral(s)
    passed, grown = now - s.f[f + SAMPLED_AT], integral - s.f[f + SAMPLED_BUSY]
    s.f[f + SAMPLED_AT] = now
    s.f[f + SAMPLED_BUSY] = integral
    if passed > 0.0:
        average: float = grown / passed
        return average
    busy = 0
    for flavor in range(s.ei[N_FLAVORS]):
        vcpus = flavor_constant(s, flavor, MILLICORES) // MILLI
        busy += s.i[flavor_at(flavor) + BUSY] * vcpus
    return float(busy)
