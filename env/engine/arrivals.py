"""`env.arrivals.ArrivalStatistics` for compiled code, kept in a row of floats.

The functions here are the twins of its methods, in the same order of operations;
`tests/env/engine/test_same_arrivals.py` holds them together. Horizons, bins and weights are
read from there. All start at time 0.
"""

from __future__ import annotations

from math import exp, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.arrivals import (
    EDGES_S,
    GAP_WEIGHT,
    HISTOGRAM_DECAY,
    HORIZONS_S,
    LEAST_SEEN,
    MEDIUM,
    N_BINS,
    RESCALE_AT,
)
from env.engine.compiling import compiled

Row = NDArray[np.float64]

_HORIZONS: Final = np.array(HORIZONS_S)
_N_HORIZONS: Final = len(HORIZONS_S)
_EDGES: Final = np.array([*EDGES_S, 2.0 * EDGES_S[-1]])
_LEAST_UNBIAS: Final = 1.0 / LEAST_SEEN

# Places in the row.
(
    COUNT,
    LAST,  # time of the latest arrival; meaningful from the first one on
    MEAN_GAP,
    _GAP_SQUARE,
    _UPDATED,
    _TOTAL,
    _WEIGHT,
    _RATES,
) = range(8)
_WORKS: Final = _RATES + _N_HORIZONS
_HISTOGRAM: Final = _WORKS + _N_HORIZONS
SIZE: Final = _HISTOGRAM + N_BINS
"""Floats of a row."""


@compiled
def start_arrivals(row: Row) -> None:
    """Nothing has arrived yet."""
    row[:] = 0.0
    row[_WEIGHT] = 1.0


@compiled
def observe_arrival(row: Row, now: float, work_s: float) -> None:
    """Twin of `ArrivalStatistics.observe`."""
    passed = now - row[_UPDATED]
    for i in range(_N_HORIZONS):
        horizon = _HORIZONS[i]
        fade = exp(-passed / horizon)
        row[_RATES + i] = row[_RATES + i] * fade + 1.0 / horizon
        row[_WORKS + i] = row[_WORKS + i] * fade + work_s / horizon
    row[_UPDATED] = now
    if row[COUNT] > 0.0:
        _observe_gap(row, now - row[LAST])
    row[LAST] = now
    row[COUNT] += 1.0


@compiled
def _observe_gap(row: Row, gap: float) -> None:
    weight = max(GAP_WEIGHT, 1.0 / row[COUNT])
    row[MEAN_GAP] += weight * (gap - row[MEAN_GAP])
    row[_GAP_SQUARE] += weight * (gap * gap - row[_GAP_SQUARE])
    row[_WEIGHT] /= HISTOGRAM_DECAY
    row[_HISTOGRAM + _bin(gap)] += row[_WEIGHT]
    row[_TOTAL] += row[_WEIGHT]
    if row[_WEIGHT] > RESCALE_AT:
        scale = 1.0 / row[_WEIGHT]
        for i in range(N_BINS):
            row[_HISTOGRAM + i] *= scale
        row[_TOTAL] *= scale
        row[_WEIGHT] = 1.0


@compiled
def _bin(gap: float) -> int:
    """Twin of ``bisect_right(EDGES_S, gap) - 1``."""
    i = N_BINS - 1
    while gap < _EDGES[i]:
        i -= 1
    return i


@compiled
def arrival_rate(row: Row, now: float, horizon: int) -> float:
    """Twin of `ArrivalStatistics.rate`."""
    length = _HORIZONS[horizon]
    fade = exp(-(now - row[_UPDATED]) / length)
    rate: float = row[_RATES + horizon] * fade * _unbias(now, length)
    return rate


@compiled
def arriving_load(row: Row, now: float, horizon: int) -> float:
    """Twin of `ArrivalStatistics.offered_load`."""
    length = _HORIZONS[horizon]
    fade = exp(-(now - row[_UPDATED]) / length)
    load: float = row[_WORKS + horizon] * fade * _unbias(now, length)
    return load


@compiled
def gap_cv(row: Row) -> float:
    """Twin of `ArrivalStatistics.gap_cv`."""
    mean = row[MEAN_GAP]
    if row[COUNT] < 3.0 or mean <= 0.0:
        return 1.0
    spread = sqrt(max(0.0, row[_GAP_SQUARE] - mean * mean))
    found: float = spread / mean
    return found


@compiled
def _survival(row: Row, gap: float) -> float:
    index = _bin(gap)
    weight = 0.0
    for i in range(index + 1, N_BINS):
        weight += row[_HISTOGRAM + i]
    low, high = _EDGES[index], _EDGES[index + 1]
    inside = (gap - low) / (high - low)
    if inside < 1.0:
        weight += row[_HISTOGRAM + index] * (1.0 - inside)
    return weight


@compiled
def arrivals_within(row: Row, now: float, first_s: float, second_s: float) -> tuple[float, float]:
    """Twin of `ArrivalStatistics.probabilities_within`, for two horizons."""
    rate = arrival_rate(row, now, MEDIUM)
    first = 1.0 - exp(-rate * first_s)
    second = 1.0 - exp(-rate * second_s)
    if row[COUNT] == 0.0 or row[_TOTAL] <= 0.0:
        return first, second
    elapsed = now - row[LAST]
    scale = 1.0 / row[_WEIGHT]
    alive = _survival(row, elapsed) * scale
    died = alive - _survival(row, elapsed + first_s) * scale
    first = (died + first) / (alive + 1.0)
    died = alive - _survival(row, elapsed + second_s) * scale
    return first, (died + second) / (alive + 1.0)


@compiled
def _unbias(age: float, horizon: float) -> float:
    """Twin of `env.arrivals.unbias`."""
    seen = 1.0 - exp(-age / horizon)
    return 1.0 / seen if seen > LEAST_SEEN else _LEAST_UNBIAS
