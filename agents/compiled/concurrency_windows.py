"""The twin of `agents.concurrency_windows` on the engine."""

from __future__ import annotations

from math import ceil, floor, isnan, nan
from typing import Final

from agents.compiled.desired_count import COUNT_F, COUNT_I, DESIRED, OWN, begin_count
from agents.compiled.memory import floats_at, ints_at
from agents.compiled.windows import RING_I, begin_average, push_average
from agents.idle import TIME_TOLERANCE_S
from env.engine.compiling import compiled
from env.engine.layout import N_BUSY, N_IDLE, NOW, Centre, Floats
from env.engine.view import jobs_in_system, jobs_integral

PERIOD_S: Final = OWN
TARGET: Final = OWN + 1
STABLE: Final = OWN + 2
PANIC: Final = OWN + 3
THRESHOLD: Final = OWN + 4
SHRINK: Final = OWN + 5
GRACE: Final = OWN + 6
STABLE_SIZE: Final = OWN + 7
PANIC_SIZE: Final = OWN + 8

PANIC_UNTIL: Final = COUNT_F  # not a number while there is none
ZERO_SINCE: Final = COUNT_F + 1
RINGS_F: Final = COUNT_F + 2
PANIC_WORKERS: Final = COUNT_I
STABLE_I: Final = COUNT_I + 1
PANIC_I: Final = STABLE_I + RING_I
AVERAGES_I: Final = PANIC_I + RING_I
"""Whole numbers that the rule remembers."""


@compiled
def begin_windows(s: Centre, given: Floats) -> None:
    """Twin of `ConcurrencyWindows.reset`."""
    f, i = floats_at(s), ints_at(s)
    begin_count(s, given[PERIOD_S])
    integral = jobs_integral(s)
    begin_average(s, i + STABLE_I, f + RINGS_F, integral)
    begin_average(s, i + PANIC_I, f + RINGS_F + 2 * int(given[STABLE_SIZE]), integral)
    s.f[f + PANIC_UNTIL] = s.f[f + ZERO_SINCE] = nan
    s.i[i + PANIC_WORKERS] = 0


@compiled
def desired_by_windows(s: Centre, given: Floats) -> int:
    """Twin of `ConcurrencyWindows.desired`."""
    f, i = floats_at(s), ints_at(s)
    now, integral = s.f[NOW], jobs_integral(s)
    stable, panic = int(given[STABLE_SIZE]), int(given[PANIC_SIZE])
    ready = s.i[N_IDLE] + s.i[N_BUSY]
    long = push_average(s, i + STABLE_I, f + RINGS_F, stable, given[STABLE], integral)
    short = push_average(s, i + PANIC_I, f + RINGS_F + 2 * stable, panic, given[PANIC], integral)
    lowest = floor(ready / given[SHRINK])
    calm = max(ceil(long / given[TARGET] - 1e-9), lowest)
    burst = max(ceil(short / given[TARGET] - 1e-9), lowest)

    if burst >= given[THRESHOLD] * max(1, ready):
        s.f[f + PANIC_UNTIL] = now + given[STABLE]
    elif not isnan(s.f[f + PANIC_UNTIL]) and now > s.f[f + PANIC_UNTIL]:
        s.f[f + PANIC_UNTIL] = nan
        s.i[i + PANIC_WORKERS] = 0
    if not isnan(s.f[f + PANIC_UNTIL]):
        most = max(s.i[i + PANIC_WORKERS], calm, burst)
        s.i[i + PANIC_WORKERS] = most
        calm = most
    return _keep_last(s, given, calm)


@compiled
def _keep_last(s: Centre, given: Floats, wanted: int) -> int:
    f = floats_at(s)
    if wanted > 0 or s.i[ints_at(s) + DESIRED] == 0:
        s.f[f + ZERO_SINCE] = nan
        return wanted
    if jobs_in_system(s) > 0:
        return 1
    if isnan(s.f[f + ZERO_SINCE]):
        s.f[f + ZERO_SINCE] = s.f[NOW]
    ends = s.f[f + ZERO_SINCE] + given[GRACE]
    return 0 if s.f[NOW] + TIME_TOLERANCE_S >= ends else 1
