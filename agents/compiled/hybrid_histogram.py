"""The twin of `agents.hybrid_histogram` on the engine.

A slot has two windows' ends of its own instead of places in a heap: a slot that is taken forgets
them, so that at most one opening and one closing of each are to come.
"""

from __future__ import annotations

from math import isnan, nan, sqrt
from typing import Final

from agents.compiled.desired_count import OWN, kill_longest_idle, live_workers
from agents.compiled.memory import OWN_I, floats_at, ints_at
from agents.compiled.one_flavor import MOST, spawn_or_keep
from agents.idle import TIME_TOLERANCE_S
from env.actions import KEEP_INDEX
from env.engine.compiling import compiled
from env.engine.layout import BOOT_S, N_IDLE, NOW, WAITING, Centre, Floats
from env.engine.view import jobs_in_system

BIN_WIDTH: Final = OWN
BINS: Final = OWN + 1
HEAD: Final = OWN + 2
TAIL: Final = OWN + 3
MARGIN: Final = OWN + 4
MIN_SAMPLES: Final = OWN + 5
MIN_VARIATION: Final = OWN + 6
MAX_OUT: Final = OWN + 7
FALLBACK: Final = OWN + 8

SLOTS: Final = OWN_I
IN_USE: Final = OWN_I + 1
N_OPEN: Final = OWN_I + 2
SLOTS_I: Final = OWN_I + 3
"""Whole numbers before those of the slots."""

# A slot's floats and whole numbers; its bins follow the latter.
IDLE_FROM: Final = 0  # not a number before the first time
OPENS: Final = 1  # not a number for never
CLOSES: Final = 2
SQUARES: Final = 3
SLOT_F: Final = 4
IS_OPEN: Final = 0
COUNT: Final = 1
OUT: Final = 2
BINS_I: Final = 3


@compiled
def begin_histograms(s: Centre) -> None:
    """Twin of `HybridHistogram.reset`."""
    i = ints_at(s)
    s.i[i + SLOTS] = s.i[i + IN_USE] = s.i[i + N_OPEN] = 0


@compiled
def act_by_histogram(s: Centre, given: Floats) -> int:
    """Twin of `HybridHistogram.act`."""
    i, most = ints_at(s), int(given[MOST])
    _pass_windows(s, given)
    jobs = min(jobs_in_system(s), most)
    while s.i[i + IN_USE] < jobs:
        _take(s, given)
    while s.i[i + IN_USE] > jobs:
        _release(s, given)
    live = live_workers(s)
    wanted = min(jobs + s.i[i + N_OPEN], most)
    if live < wanted:
        return spawn_or_keep(s, given)
    if live > wanted and s.i[N_IDLE] > 0 and s.i[WAITING] == 0:
        return kill_longest_idle(s)
    return KEEP_INDEX


@compiled
def wake_for_window(s: Centre) -> float:
    """Twin of `HybridHistogram.wake_at`; not a number for never."""
    i = ints_at(s)
    first = nan
    for slot in range(s.i[i + IN_USE], s.i[i + SLOTS]):
        f = floats_at(s) + slot * SLOT_F
        for column in range(OPENS, CLOSES + 1):
            time = s.f[f + column]
            if not isnan(time) and not first <= time:
                first = time
    return first


@compiled
def _slot_ints(s: Centre, given: Floats, slot: int) -> int:
    return ints_at(s) + SLOTS_I + slot * (BINS_I + int(given[BINS]))


@compiled
def _pass_windows(s: Centre, given: Floats) -> None:
    i, end = ints_at(s), s.f[NOW] + TIME_TOLERANCE_S
    for slot in range(s.i[i + IN_USE], s.i[i + SLOTS]):
        f, of_slot = floats_at(s) + slot * SLOT_F, _slot_ints(s, given, slot)
        opens, closes = s.f[f + OPENS], s.f[f + CLOSES]
        if opens <= end:
            s.f[f + OPENS] = nan
            s.i[of_slot + IS_OPEN] = 1
            s.i[i + N_OPEN] += 1
        if closes <= end:
            s.f[f + CLOSES] = nan
            # Of two at the same time the closing goes first.
            s.i[of_slot + IS_OPEN] = int(opens <= end and not opens < closes)
            s.i[i + N_OPEN] -= 1


@compiled
def _take(s: Centre, given: Floats) -> None:
    """Twin of `HybridHistogram._take`."""
    i, slot = ints_at(s), s.i[ints_at(s) + IN_USE]
    f, of_slot = floats_at(s) + slot * SLOT_F, _slot_ints(s, given, slot)
    if slot == s.i[i + SLOTS]:
        s.i[i + SLOTS] += 1
        s.f[f + IDLE_FROM] = nan
        s.f[f + SQUARES] = 0.0
        for k in range(BINS_I + int(given[BINS])):
            s.i[of_slot + k] = 0
    s.i[i + IN_USE] += 1
    s.f[f + OPENS] = s.f[f + CLOSES] = nan
    if s.i[of_slot + IS_OPEN] != 0:
        s.i[of_slot + IS_OPEN] = 0
        s.i[i + N_OPEN] -= 1
    if not isnan(s.f[f + IDLE_FROM]):
        _add(s, given, f, of_slot, s.f[NOW] - s.f[f + IDLE_FROM])


@compiled
def _add(s: Centre, given: Floats, f: int, of_slot: int, idle_s: float) -> None:
    """Twin of `IdleHistogram.add`."""
    s.i[of_slot + COUNT] += 1
    index = int(idle_s / given[BIN_WIDTH])
    if index >= int(given[BINS]):
        s.i[of_slot + OUT] += 1
        return
    at = of_slot + BINS_I + index
    s.f[f + SQUARES] += 2 * s.i[at] + 1
    s.i[at] += 1


@compiled
def _release(s: Centre, given: Floats) -> None:
    """Twin of `HybridHistogram._release`."""
    i = ints_at(s)
    s.i[i + IN_USE] -= 1
    slot, now = s.i[i + IN_USE], s.f[NOW]
    f, of_slot = floats_at(s) + slot * SLOT_F, _slot_ints(s, given, slot)
    s.f[f + IDLE_FROM] = now
    begin_s, end_s = _window(s, given, f, of_slot)
    begin_s -= s.ef[BOOT_S]
    if begin_s > 0.0:
        s.f[f + OPENS] = now + begin_s
    elif end_s > 0.0:
        s.i[of_slot + IS_OPEN] = 1
        s.i[i + N_OPEN] += 1
    if end_s > 0.0:
        s.f[f + CLOSES] = now + max(begin_s, end_s)


@compiled
def _window(s: Centre, given: Floats, f: int, of_slot: int) -> tuple[float, float]:
    """Twin of `HybridHistogram._window`."""
    count, out = s.i[of_slot + COUNT], s.i[of_slot + OUT]
    trusted = (
        count >= given[MIN_SAMPLES]
        and out <= given[MAX_OUT] * count
        and _variation(s, given, f, of_slot) >= given[MIN_VARIATION]
    )
    if not trusted:
        return 0.0, given[FALLBACK]
    head_s, tail_s = _percentiles(s, given, of_slot)
    return head_s * (1.0 - given[MARGIN]), tail_s * (1.0 + given[MARGIN])


@compiled
def _variation(s: Centre, given: Floats, f: int, of_slot: int) -> float:
    """Twin of `IdleHistogram.variation`."""
    inside, bins = s.i[of_slot + COUNT] - s.i[of_slot + OUT], int(given[BINS])
    if inside == 0:
        return 0.0
    mean = inside / bins
    return sqrt(max(0.0, s.f[f + SQUARES] / bins - mean * mean)) / mean


@compiled
def _percentiles(s: Centre, given: Floats, of_slot: int) -> tuple[float, float]:
    """Twin of `IdleHistogram.percentiles`."""
    inside = s.i[of_slot + COUNT] - s.i[of_slot + OUT]
    low, high = given[HEAD] * inside, given[TAIL] * inside
    reached, first, last = 0, -1, 0
    for index in range(int(given[BINS])):
        held = s.i[of_slot + BINS_I + index]
        if held == 0:
            continue
        reached += held
        last = index
        if first < 0 and reached > low:
            first = index
        if reached >= high:
            break
    width = given[BIN_WIDTH]
    return (last if first < 0 else first) * width, (last + 1) * width
