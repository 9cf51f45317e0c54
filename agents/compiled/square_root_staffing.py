"""The twin of `agents.square_root_staffing` on the engine."""

from __future__ import annotations

from math import ceil, erf, exp, isnan, pi, sqrt
from typing import Final

from agents.compiled.desired_count import COUNT_F, COUNT_I, DESIRED, OWN, begin_count
from agents.compiled.memory import floats_at, ints_at
from agents.compiled.one_flavor import FLAVOR, MOST, spawn_or_keep
from agents.compiled.windows import forget, push_maximum
from env.actions import KEEP_INDEX
from env.engine import arrivals
from env.engine.arrivals import arrival_rate
from env.engine.compiling import compiled
from env.engine.layout import ARRIVALS, N_BOOTING, NOW, PREFERENCE, WAITING, Centre, Floats
from env.engine.view import flavor_cost, mean_service_s

PERIOD_S: Final = OWN
BETA: Final = OWN + 1  # not a number: from the preference
HORIZON: Final = OWN + 2
SHARE: Final = OWN + 3
WINDOW: Final = OWN + 4

RATIO: Final = COUNT_F  # what MARGIN was found for
MARGIN: Final = COUNT_F + 1
RING_F: Final = COUNT_F + 2
RING_I: Final = COUNT_I


@compiled
def begin_staffing(s: Centre, given: Floats) -> None:
    """Twin of `SquareRootStaffing.reset`."""
    begin_count(s, given[PERIOD_S])
    forget(s, ints_at(s) + RING_I)
    s.f[floats_at(s) + RATIO] = -1.0


@compiled
def desired_by_load(s: Centre, given: Floats) -> int:
    """Twin of `SquareRootStaffing.desired`."""
    f = floats_at(s)
    row = s.f[ARRIVALS : ARRIVALS + arrivals.SIZE]
    rate = arrival_rate(row, s.f[NOW], int(given[HORIZON]))
    load = rate * mean_service_s(s, int(given[FLAVOR]))
    staff = max(0, round(load + _margin(s, given) * sqrt(load)))
    most = int(given[MOST])
    return push_maximum(
        s, ints_at(s) + RING_I, f + RING_F, most + 2, given[WINDOW], min(staff, most)
    )


@compiled
def staff_backlog(s: Centre, given: Floats) -> int:
    """Twin of `SquareRootStaffing._for_backlog`."""
    share = given[SHARE]
    wanted = max(1, ceil(share * s.i[WAITING] - 1e-9))
    if s.i[N_BOOTING] >= wanted or (share == 0.0 and s.i[ints_at(s) + DESIRED] > 0):
        return KEEP_INDEX
    return spawn_or_keep(s, given)


@compiled
def _margin(s: Centre, given: Floats) -> float:
    """Twin of `SquareRootStaffing.margin`."""
    if not isnan(given[BETA]):
        beta: float = given[BETA]
        return beta
    f, w = floats_at(s), s.f[PREFERENCE]
    ratio = w / ((1.0 - w) * flavor_cost(s, int(given[FLAVOR])))
    if s.f[f + RATIO] != ratio:
        s.f[f + RATIO] = ratio
        s.f[f + MARGIN] = _optimal_margin(ratio)
    margin: float = s.f[f + MARGIN]
    return margin


@compiled
def _optimal_margin(ratio: float) -> float:
    """Twin of `optimal_margin`."""
    low, high = 1e-3, 6.0
    while high - low > 1e-4:
        third = (high - low) / 3.0
        left, right = low + third, high - third
        cost_left = left + ratio * _waiting_probability(left) / left
        cost_right = right + ratio * _waiting_probability(right) / right
        if cost_left < cost_right:
            high = right
        else:
            low = left
    return (low + high) / 2.0


@compiled
def _waiting_probability(margin: float) -> float:
    """Twin of `waiting_probability`."""
    density = exp(-margin * margin / 2.0) / sqrt(2.0 * pi)
    below = 0.5 * (1.0 + erf(margin / sqrt(2.0)))
    return 1.0 / (1.0 + margin * below / density)
