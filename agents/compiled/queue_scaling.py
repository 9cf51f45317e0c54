"""The twin of `agents.queue_scaling` on the engine."""

from __future__ import annotations

from math import ceil
from typing import Final

from agents.compiled.desired_count import (
    COUNT_F,
    COUNT_I,
    DESIRED,
    OWN,
    PERIOD,
    begin_count,
    live_workers,
    stabilise,
)
from agents.compiled.memory import floats_at, ints_at
from agents.compiled.one_flavor import MOST
from agents.compiled.windows import forget
from agents.idle import TIME_TOLERANCE_S
from env.engine.compiling import compiled
from env.engine.layout import NOW, Centre, Floats
from env.engine.view import jobs_in_system

PERIOD_S: Final = OWN
TOLERANCE: Final = OWN + 1
WINDOW: Final = OWN + 2
TARGET: Final = OWN + 3
POLLING: Final = OWN + 4
COOLDOWN: Final = OWN + 5

ACTIVE_AT: Final = COUNT_F
RING_F: Final = COUNT_F + 1
RING_I: Final = COUNT_I


@compiled
def begin_scaling(s: Centre, given: Floats) -> None:
    """Twin of `QueueScaling.reset`."""
    begin_count(s, given[POLLING])
    forget(s, ints_at(s) + RING_I)
    s.f[floats_at(s) + ACTIVE_AT] = s.f[NOW]


@compiled
def desired_by_queue(s: Centre, given: Floats) -> int:
    """Twin of `QueueScaling.desired`."""
    wanted = _recommend(s, given)
    s.f[floats_at(s) + PERIOD] = given[PERIOD_S] if wanted > 0 else given[POLLING]
    return wanted


@compiled
def _recommend(s: Centre, given: Floats) -> int:
    f, i = floats_at(s), ints_at(s)
    jobs = jobs_in_system(s)
    if jobs > 0:
        s.f[f + ACTIVE_AT] = s.f[NOW]
    elif s.f[NOW] + TIME_TOLERANCE_S >= s.f[f + ACTIVE_AT] + given[COOLDOWN]:
        forget(s, i + RING_I)
        return 0
    if s.i[i + DESIRED] == 0:
        return 1 if jobs > 0 else 0
    wanted = max(1, min(_proportional(s, given), int(given[MOST])))
    return stabilise(s, given, i + RING_I, f + RING_F, given[WINDOW], wanted)


@compiled
def _proportional(s: Centre, given: Floats) -> int:
    jobs, target = jobs_in_system(s), given[TARGET]
    live = live_workers(s)
    if live > 0 and abs(jobs / (target * live) - 1.0) <= given[TOLERANCE]:
        return live
    return ceil(jobs / target - 1e-9)
