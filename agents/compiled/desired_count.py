"""Rules that steer towards a number of workers on the engine: what the twins share.

Of the settings they use those of `agents.compiled.one_flavor` up to `MOST`, then their own. In
their memory lie, after these columns, their own.
"""

from __future__ import annotations

from math import floor
from typing import Final

from agents.compiled.idle import flavor_of_longest_idle
from agents.compiled.memory import OWN_I, floats_at, ints_at
from agents.compiled.one_flavor import MOST
from agents.compiled.windows import push_maximum
from agents.idle import TIME_TOLERANCE_S
from env.actions import KEEP_INDEX, SPAWN_INDEX
from env.engine.compiling import compiled
from env.engine.layout import N_DRAINING, N_FLAVORS, N_WORKERS, NOW, Centre, Floats

OWN: Final = MOST + 1
"""The first setting of a rule's own."""

START: Final = 0
NEXT_REVIEW: Final = 1
PERIOD: Final = 2
COUNT_F: Final = 3
"""Floats that all of these rules remember."""
DESIRED: Final = OWN_I
COUNT_I: Final = DESIRED + 1
"""Whole numbers likewise."""


@compiled
def begin_count(s: Centre, period_s: float) -> None:
    """Twin of `DesiredCountPolicy.reset`."""
    f = floats_at(s)
    s.f[f + START] = s.f[f + NEXT_REVIEW] = s.f[NOW]
    s.f[f + PERIOD] = period_s
    s.i[ints_at(s) + DESIRED] = 0


@compiled
def review_is_due(s: Centre) -> bool:
    """Whether the number is to be worked out anew."""
    due: bool = s.f[NOW] + TIME_TOLERANCE_S >= s.f[floats_at(s) + NEXT_REVIEW]
    return due


@compiled
def settle_review(s: Centre, given: Floats, desired: int) -> None:
    """Twin of `DesiredCountPolicy._review`, with the number that was worked out."""
    f = floats_at(s)
    s.i[ints_at(s) + DESIRED] = min(desired, int(given[MOST]))
    passed = s.f[NOW] - s.f[f + START] + TIME_TOLERANCE_S
    period = s.f[f + PERIOD]
    s.f[f + NEXT_REVIEW] = s.f[f + START] + (floor(passed / period) + 1) * period


@compiled
def live_workers(s: Centre) -> int:
    """Workers that boot, idle or serve."""
    live: int = s.i[N_WORKERS] - s.i[N_DRAINING]
    return live


@compiled
def kill_longest_idle(s: Centre) -> int:
    """The end of the worker that has been idle for longest, keep if none idles."""
    flavor = flavor_of_longest_idle(s)
    if flavor < 0:
        return KEEP_INDEX
    action: int = SPAWN_INDEX + s.ei[N_FLAVORS] + flavor
    return action


@compiled
def stabilise(
    s: Centre, given: Floats, ints: int, floats: int, window_s: float, recommended: int
) -> int:
    """Twin of `Stabiliser.settle`; the ring has a place for each count up to the limit."""
    size = int(given[MOST]) + 2
    largest = push_maximum(s, ints, floats, size, window_s, recommended)
    return max(recommended, min(s.i[ints_at(s) + DESIRED], largest))
