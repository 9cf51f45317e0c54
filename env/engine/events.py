"""What will happen: an indexed heap of a data centre's events, by time, then by running number.

Each thing that can happen once at a time has a slot (`env.engine.layout`): scheduling it anew
moves it, which is how what a change of load overtakes goes away. SimPy orders its events of one
priority alike, and every number is drawn here when the reference makes its Timeout.
"""

from __future__ import annotations

from env.engine.compiling import compiled
from env.engine.layout import (
    EVENTS,
    EVENTS_F,
    EVENTS_I,
    N_EVENTS,
    NOW,
    SEQ,
    Centre,
)

# In the whole numbers: slot and number of each place in the heap, then the place of each slot.


@compiled
def next_number(s: Centre) -> int:
    """The next running number."""
    number = s.i[SEQ]
    s.i[SEQ] = number + 1
    return number


@compiled
def is_scheduled(s: Centre, slot: int) -> bool:
    """Whether the slot's event is to come."""
    return s.i[s.ei[EVENTS_I] + 2 * s.ei[N_EVENTS] + slot] >= 0


@compiled
def schedule(s: Centre, slot: int, delay: float) -> None:
    """The slot's event happens after a delay, seconds, and not when it would have otherwise."""
    schedule_at(s, slot, s.f[NOW] + delay)


@compiled
def schedule_at(s: Centre, slot: int, time: float) -> None:
    """The slot's event happens at a time, seconds, and not when it would have otherwise."""
    number = next_number(s)
    places = s.ei[EVENTS_I] + 2 * s.ei[N_EVENTS]
    at = s.i[places + slot]
    if at < 0:
        at = s.i[EVENTS]
        s.i[EVENTS] = at + 1
        _rise(s, at, time, number, slot)
        return
    if time < s.f[s.ei[EVENTS_F] + at]:
        _rise(s, at, time, number, slot)
    else:  # its number is the greatest
        _sink(s, at, time, number, slot)


@compiled
def cancel(s: Centre, slot: int) -> None:
    """The slot's event does not happen, if it was to come at all."""
    places = s.ei[EVENTS_I] + 2 * s.ei[N_EVENTS]
    at = s.i[places + slot]
    if at < 0:
        return
    s.i[places + slot] = -1
    last = s.i[EVENTS] - 1
    s.i[EVENTS] = last
    if at == last:
        return
    times, base = s.ei[EVENTS_F], s.ei[EVENTS_I]
    time, moved, number = s.f[times + last], s.i[base + 2 * last], s.i[base + 2 * last + 1]
    if at > 0 and _before(s, time, number, (at - 1) >> 1):
        _rise(s, at, time, number, moved)
    else:
        _sink(s, at, time, number, moved)


@compiled
def take_next(s: Centre) -> int:
    """Take the next event out, of which there is one, and let time pass to it: its slot."""
    base = s.ei[EVENTS_I]
    slot = s.i[base]
    s.f[NOW] = s.f[s.ei[EVENTS_F]]
    s.i[base + 2 * s.ei[N_EVENTS] + slot] = -1
    last = s.i[EVENTS] - 1
    s.i[EVENTS] = last
    if last > 0:
        time = s.f[s.ei[EVENTS_F] + last]
        _sink(s, 0, time, s.i[base + 2 * last + 1], s.i[base + 2 * last])
    return slot


@compiled
def _before(s: Centre, time: float, number: int, at: int) -> bool:
    """Whether such an event comes before the one at a place."""
    other = s.f[s.ei[EVENTS_F] + at]
    return time < other or (time == other and number < s.i[s.ei[EVENTS_I] + 2 * at + 1])


@compiled
def _put(s: Centre, at: int, time: float, number: int, slot: int) -> None:
    base = s.ei[EVENTS_I]
    s.f[s.ei[EVENTS_F] + at] = time
    s.i[base + 2 * at] = slot
    s.i[base + 2 * at + 1] = number
    s.i[base + 2 * s.ei[N_EVENTS] + slot] = at


@compiled
def _move(s: Centre, source: int, target: int) -> None:
    base = s.ei[EVENTS_I]
    times = s.ei[EVENTS_F]
    _put(s, target, s.f[times + source], s.i[base + 2 * source + 1], s.i[base + 2 * source])


@compiled
def _rise(s: Centre, at: int, time: float, number: int, slot: int) -> None:
    while at > 0:
        parent = (at - 1) >> 1
        if not _before(s, time, number, parent):
            break
        _move(s, parent, at)
        at = parent
    _put(s, at, time, number, slot)


@compiled
def _sink(s: Centre, at: int, time: float, number: int, slot: int) -> None:
    size = s.i[EVENTS]
    times, base = s.ei[EVENTS_F], s.ei[EVENTS_I]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _before(s, s.f[times + right], s.i[base + 2 * right + 1], child):
            child = right
        if _before(s, time, number, child):
            break
        _move(s, child, at)
        at = child
    _put(s, at, time, number, slot)
