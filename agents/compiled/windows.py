"""Moving windows on the engine: the twins of `agents.windows`.

Each is a ring in the rule's memory: whole numbers `HEAD` and `LENGTH`, then for the maximum its
values, and as many floats as it has places, twice as many for the average. They start empty.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from agents.compiled.memory import OVERFLOWN, ints_at
from agents.idle import TIME_TOLERANCE_S
from env.engine.compiling import compiled
from env.engine.layout import NOW, Centre

HEAD: Final = 0
LENGTH: Final = 1
RING_I: Final = 2
_MOST: Final = 1 << 16


def average_size(window_s: float, period_s: float) -> int:
    """Places for an average that takes a point once in each period of a fixed grid."""
    return min(_MOST, ceil(min(_MOST, window_s / period_s)) + 6)


@compiled
def forget(s: Centre, ints: int) -> None:
    """A ring is empty."""
    s.i[ints + HEAD] = s.i[ints + LENGTH] = 0


@compiled
def push_maximum(s: Centre, ints: int, floats: int, size: int, window_s: float, value: int) -> int:
    """Twin of `MovingMaximum.push`, at the data centre's now.

    Values fall from the head to the end, so that one more place than there are values is enough.
    """
    now = s.f[NOW]
    head, n = s.i[ints + HEAD], s.i[ints + LENGTH]
    values = ints + RING_I
    while n > 0 and s.i[values + (head + n - 1) % size] <= value:
        n -= 1
    s.i[values + (head + n) % size] = value
    s.f[floats + (head + n) % size] = now
    n += 1
    start = now - window_s - TIME_TOLERANCE_S
    while s.f[floats + head] < start:
        head = (head + 1) % size
        n -= 1
    s.i[ints + HEAD], s.i[ints + LENGTH] = head, n
    largest: int = s.i[values + head]
    return largest


@compiled
def begin_average(s: Centre, ints: int, floats: int, integral: float) -> None:
    """Twin of `MovingAverage`'s beginning, at the data centre's now."""
    s.i[ints + HEAD], s.i[ints + LENGTH] = 0, 1
    s.f[floats], s.f[floats + 1] = s.f[NOW], integral


@compiled
def push_average(
    s: Centre, ints: int, floats: int, size: int, window_s: float, integral: float
) -> float:
    """Twin of `MovingAverage.push`, at the data centre's now."""
    now = s.f[NOW]
    head, n = s.i[ints + HEAD], s.i[ints + LENGTH]
    if n == size:
        s.i[ints_at(s) + OVERFLOWN] = 1
        return 0.0
    last = floats + 2 * ((head + n) % size)
    s.f[last], s.f[last + 1] = now, integral
    n += 1
    start = now - window_s
    while n > 2 and s.f[floats + 2 * ((head + 1) % size)] <= start:
        head = (head + 1) % size
        n -= 1
    s.i[ints + HEAD], s.i[ints + LENGTH] = head, n
    first, second = floats + 2 * head, floats + 2 * ((head + 1) % size)
    since, from_integral = s.f[first], s.f[first + 1]
    then, then_integral = s.f[second], s.f[second + 1]
    if since < start:
        if then > since:
            from_integral += (then_integral - from_integral) * (start - since) / (then - since)
        since = start
    return (integral - from_integral) / (now - since) if now > since else 0.0
