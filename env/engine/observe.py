"""The observation, written by compiled code: the twin of `env.observation.Observer.write`.

The features, their order, bounds and scales are those of `env.observation`;
`tests/env/engine/test_same_as_scalar.py` compares what both write at every decision.
"""

from __future__ import annotations

from math import isnan, log, log1p
from typing import Final

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from env import observation as twin
from env.arrivals import LONG, MEDIUM, SHORT
from env.engine import arrivals
from env.engine.arrivals import arrivals_within, arriving_load, gap_cv
from env.engine.compiling import compiled
from env.engine.layout import (
    ARRIVALS,
    BOOT_FIRST,
    BOOT_S,
    BOOTING,
    BUSY,
    CAPACITY_0,
    CAPACITY_RAM_GIB,
    CAPACITY_VCPUS,
    CORES,
    FITS,
    FLAVOR_I,
    FLAVORS_F,
    FLAVORS_I,
    IDLE,
    IDLE_SINCE,
    IN_SERVICE,
    MEAN_SERVICE,
    N_BOOTING,
    N_DRAINING,
    N_FLAVORS,
    N_IDLE,
    N_NODES,
    N_RETIRING,
    NODES_CACHED,
    NOW,
    OBS_CACHE,
    OBS_CACHE_SIZE,
    OBS_COUNT,
    PREFERENCE,
    QUEUED,
    SPAWNED_AT,
    WAITING,
    WORKER_F,
    WORKERS_F,
    Centre,
)
from env.engine.view import (
    arrival,
    head_job,
    longest_idle,
    mean_remaining_s,
    next_expected_end,
    oldest_waiting,
    reserved_ram_gib,
    reserved_vcpus,
    service,
)
from env.observation import (
    COUNT_SCALE,
    MINUTE_S,
    SECONDS_SCALE,
    TREND_FLOOR,
    WAITING_SCALE,
)

_TABLE: Final = np.log1p(np.arange(1024.0))
"""ln(1 + n) by n."""
_CACHED: Final = OBS_CACHE_SIZE - 1
"""Features in a row that only arrivals and the clock change, from ``load_short`` on."""

for _function in (twin.preference_feature, twin.size_feature, twin.boot_feature):
    register_jitable(_function)


@compiled
def _log_of_count(n: int) -> float:
    return _TABLE[n] if n < len(_TABLE) else log1p(float(n))


@compiled
def _arriving(s: Centre, now: float, workers: float) -> None:
    """Keep what only arrivals and the clock change: orders take no time."""
    row = s.f[ARRIVALS : ARRIVALS + arrivals.SIZE]
    short = arriving_load(row, now, SHORT)
    medium = arriving_load(row, now, MEDIUM)
    long = arriving_load(row, now, LONG)
    in_boot, in_minute = arrivals_within(row, now, s.ef[BOOT_S], MINUTE_S)
    c = OBS_CACHE + 1
    s.f[c] = short / workers
    s.f[c + 1] = medium / workers
    s.f[c + 2] = long / workers
    s.f[c + 3] = log1p(short) / COUNT_SCALE
    s.f[c + 4] = log1p(medium) / COUNT_SCALE
    s.f[c + 5] = log((short / workers + TREND_FLOOR) / (medium / workers + TREND_FLOOR)) / 2
    s.f[c + 6] = 1.0
    if row[arrivals.COUNT] > 0.0:
        s.f[c + 6] = log1p(now - row[arrivals.LAST]) / SECONDS_SCALE
    s.f[c + 7] = log1p(row[arrivals.MEAN_GAP]) / SECONDS_SCALE
    s.f[c + 8] = gap_cv(row) / 2
    s.f[c + 9] = in_boot
    s.f[c + 10] = in_minute
    s.f[OBS_CACHE] = now
    s.i[OBS_COUNT] = int(row[arrivals.COUNT]) + 1  # 0 says that nothing is kept


@compiled
def observe(
    s: Centre,
    row: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
) -> None:
    """Fill `row` with the observation of this moment.

    Args:
        s: the data centre.
        row: shape (features,).
        low: bounds of the features, from `env.observation.bounds`.
        high: likewise.
    """
    now = s.f[NOW]
    flavors = s.ei[N_FLAVORS]
    workers = float(max(1, s.ei[CAPACITY_0]))
    waiting = s.i[WAITING]
    queued_s = s.f[FLAVORS_F + QUEUED]
    row[0] = twin.preference_feature(s.f[PREFERENCE])
    row[1] = twin.size_feature(s.ef[CORES])
    row[2] = _log_of_count(waiting) / WAITING_SCALE
    row[3] = waiting / workers
    row[4] = s.i[IN_SERVICE] / workers
    k = 5
    for flavor in range(flavors):
        at = FLAVORS_I + flavor * FLAVOR_I
        row[k + flavor] = _log_of_count(s.i[at + BOOTING]) / COUNT_SCALE
        row[k + flavors + flavor] = _log_of_count(s.i[at + IDLE]) / COUNT_SCALE
        row[k + 2 * flavors + flavor] = _log_of_count(s.i[at + BUSY]) / COUNT_SCALE
    k += 3 * flavors
    row[k] = _log_of_count(s.i[N_DRAINING] + s.i[N_RETIRING]) / COUNT_SCALE
    row[k + 1] = reserved_vcpus(s) / s.ef[CAPACITY_VCPUS]
    row[k + 2] = reserved_ram_gib(s) / s.ef[CAPACITY_RAM_GIB]
    k += 3
    for flavor in range(flavors):
        row[k + flavor] = s.i[FLAVORS_I + flavor * FLAVOR_I + FITS]
    k += flavors
    balance = s.i[N_BOOTING] + s.i[N_IDLE] - waiting
    logarithm = _log_of_count(abs(balance))
    row[k] = (logarithm if balance >= 0 else -logarithm) / COUNT_SCALE
    row[k + 1] = log1p(max(0.0, queued_s)) / SECONDS_SCALE
    row[k + 2] = queued_s / (MINUTE_S * workers)
    if waiting:
        row[k + 3] = log1p(service(s, head_job(s), 0)) / SECONDS_SCALE
        row[k + 4] = log1p(now - arrival(s, oldest_waiting(s))) / SECONDS_SCALE
    else:
        row[k + 3] = row[k + 4] = 0.0
    row[k + 5] = log1p(s.f[FLAVORS_F + MEAN_SERVICE]) / SECONDS_SCALE
    k += 6
    seen = int(s.f[ARRIVALS + arrivals.COUNT]) + 1
    if s.f[OBS_CACHE] != now or s.i[OBS_COUNT] != seen:
        _arriving(s, now, workers)
    for c in range(_CACHED):
        row[k + c] = s.f[OBS_CACHE + 1 + c]
    k += _CACHED
    row[k] = twin.boot_feature(s.ef[BOOT_S])
    row[k + 1] = 1.0 - s.i[NODES_CACHED] / s.ei[N_NODES]
    first = s.i[BOOT_FIRST]
    row[k + 2] = 0.0
    if first >= 0:
        spawned = s.f[s.ei[WORKERS_F] + first * WORKER_F + SPAWNED_AT]
        row[k + 2] = (now - spawned) / s.ef[BOOT_S]
    k += 3
    for flavor in range(flavors):
        worker = longest_idle(s, flavor)
        row[k + flavor] = 0.0
        if worker >= 0:
            since = s.f[s.ei[WORKERS_F] + worker * WORKER_F + IDLE_SINCE]
            row[k + flavor] = log1p(now - since) / SECONDS_SCALE
    k += flavors
    end = next_expected_end(s)
    row[k] = 1.0 if isnan(end) else log1p(max(0.0, end - now)) / SECONDS_SCALE
    row[k + 1] = log1p(max(0.0, mean_remaining_s(s))) / SECONDS_SCALE
    for c in range(k + 2):
        row[c] = min(max(row[c], low[c]), high[c])
