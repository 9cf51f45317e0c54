"""The existing system's further algorithms on the engine: what the twins share.

Orders lie in a ring of runs: so many workers of a flavor. All mind the same limit.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Final

from agents.compiled.desired_count import OWN, live_workers
from agents.compiled.idle import flavor_of_longest_idle, idle_since
from agents.compiled.memory import OVERFLOWN, OWN_I, floats_at, ints_at
from agents.compiled.one_flavor import FLAVOR, MOST
from agents.idle import TIME_TOLERANCE_S
from agents.looks import LOOK_S
from env.actions import KEEP_INDEX, SPAWN_INDEX
from env.engine.arrivals import COUNT
from env.engine.compiling import compiled
from env.engine.layout import ARRIVALS, N_BUSY, N_FLAVORS, N_IDLE, NOW, WAITING, Centre, Floats
from env.engine.view import fits

OTHER_FLAVOR: Final = OWN
"""The larger one, where there are two."""
IDLE_S: Final = OWN + 1
THRESHOLD: Final = OWN + 2
PATIENCE: Final = OWN + 3  # not a number for ever

START: Final = 0
STARTED_AT: Final = 1
GRACE: Final = 2
SEEN_SHARE: Final = 3
SEEN_RATE: Final = 4
EVENTS_F: Final = 5
"""Floats that all of these rules remember."""
REQUESTS: Final = OWN_I  # counted the last time; -1: none yet
LOOKS: Final = OWN_I + 1
FIRST: Final = OWN_I + 2
RUNS: Final = OWN_I + 3
ORDERS: Final = OWN_I + 4
_RING: Final = 64
EVENTS_I: Final = ORDERS + 2 * _RING
"""Whole numbers likewise."""


@compiled
def begin_events(s: Centre) -> None:
    """Twin of `EventAlgorithm.reset`."""
    f, i = floats_at(s), ints_at(s)
    s.f[f + START] = s.f[NOW]
    s.f[f + STARTED_AT] = -1.0
    s.i[i + REQUESTS] = -1
    s.i[i + LOOKS] = s.i[i + FIRST] = s.i[i + RUNS] = 0


@compiled
def order_workers(s: Centre, given: Floats, flavor: int, workers: int) -> None:
    """Twin of `EventAlgorithm._start`."""
    n = min(workers, int(given[MOST]))
    if n <= 0:
        return
    i = ints_at(s)
    first, runs = s.i[i + FIRST], s.i[i + RUNS]
    last = i + ORDERS + 2 * ((first + runs - 1) % _RING)
    if runs > 0 and s.i[last] == flavor:
        s.i[last + 1] += n
        return
    if runs == _RING:
        s.i[i + OVERFLOWN] = 1
        return
    place = i + ORDERS + 2 * ((first + runs) % _RING)
    s.i[place] = flavor
    s.i[place + 1] = n
    s.i[i + RUNS] = runs + 1


@compiled
def next_order(s: Centre, given: Floats) -> int:
    """The spawn that the orders bring, keep for none: the first half of `EventAlgorithm.act`."""
    i = ints_at(s)
    while s.i[i + RUNS] > 0:
        place = i + ORDERS + 2 * s.i[i + FIRST]
        flavor = s.i[place]
        if live_workers(s) < given[MOST]:
            if fits(s, flavor):
                s.i[place + 1] -= 1
                if s.i[place + 1] == 0:
                    _drop_run(s)
                s.f[floats_at(s) + STARTED_AT] = s.f[NOW]
                return SPAWN_INDEX + flavor
            if live_workers(s) == 0:
                break
        _drop_run(s)  # what is true of its first order is of all
    return KEEP_INDEX


@compiled
def _drop_run(s: Centre) -> None:
    i = ints_at(s)
    s.i[i + FIRST] = (s.i[i + FIRST] + 1) % _RING
    s.i[i + RUNS] -= 1


@compiled
def may_end_now(s: Centre) -> bool:
    """Whether `EventAlgorithm.act` comes to ending workers."""
    started: bool = s.f[floats_at(s) + STARTED_AT] == s.f[NOW]
    return may_end(s) and not started


@compiled
def new_requests(s: Centre) -> int:
    """How many have come since this was asked: the beginning of `EventAlgorithm._notice`."""
    i, waiting = ints_at(s), s.i[WAITING]
    counted = int(s.f[ARRIVALS + COUNT])
    new = waiting if s.i[i + REQUESTS] < 0 else counted - s.i[i + REQUESTS]
    s.i[i + REQUESTS] = counted
    return min(new, max(1, waiting))


@compiled
def looks_due(s: Centre) -> int:
    """Twin of `Looks.due`."""
    i = ints_at(s)
    n = floor((s.f[NOW] - s.f[floats_at(s) + START] + TIME_TOLERANCE_S) / LOOK_S)
    due = n - s.i[i + LOOKS]
    s.i[i + LOOKS] = n
    return due


@compiled
def last_look(s: Centre) -> float:
    """Twin of `Looks.last`."""
    time: float = s.f[floats_at(s) + START] + LOOK_S * s.i[ints_at(s) + LOOKS]
    return time


@compiled
def next_look(s: Centre) -> float:
    """Twin of `Looks.next`."""
    time: float = s.f[floats_at(s) + START] + LOOK_S * (s.i[ints_at(s) + LOOKS] + 1)
    return time


@compiled
def first_look_from(s: Centre, time_s: float) -> float:
    """Twin of `Looks.first_from`."""
    start = s.f[floats_at(s) + START]
    n = ceil((time_s - start - TIME_TOLERANCE_S) / LOOK_S)
    time: float = start + LOOK_S * max(n, s.i[ints_at(s) + LOOKS] + 1)
    return time


@compiled
def nobody_is_ordered(s: Centre) -> bool:
    """Whether requests wait, and no worker is there or ordered."""
    none: bool = s.i[ints_at(s) + RUNS] == 0 and s.i[WAITING] > 0 and live_workers(s) == 0
    return none


@compiled
def may_end(s: Centre) -> bool:
    """Twin of `EventAlgorithm._may_end`."""
    may: bool = s.i[N_IDLE] > 0 and s.i[WAITING] == 0
    return may


@compiled
def busy_share(s: Centre) -> float:
    """Twin of `EventAlgorithm._busy_share`."""
    live = live_workers(s)
    return s.i[N_BUSY] / live if live > 0 else 0.0


@compiled
def end_expired(s: Centre, timeout_s: float) -> int:
    """Twin of `EventAlgorithm._end_expired`."""
    flavor = flavor_of_longest_idle(s)
    if flavor < 0 or last_look(s) + TIME_TOLERANCE_S < idle_since(s, flavor) + timeout_s:
        return KEEP_INDEX
    action: int = SPAWN_INDEX + s.ei[N_FLAVORS] + flavor
    return action


@compiled
def own_flavor(given: Floats) -> int:
    """The flavor, or the smaller of two."""
    return int(given[FLAVOR])
