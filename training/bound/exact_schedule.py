"""The cheapest schedule that anyone could make, for a handful of jobs.

In a data centre where boots take a fixed time, stops none, nothing scatters, nodes hold the
image and there is room for a worker of any flavor for each job without crowding, jobs on
different workers do not touch one another. A schedule is then a partition of the jobs into
the sequences that single workers serve, and its cost is the sum of theirs.

A worker of flavor f that serves jobs 1 .. m in this order, the first from x on, starts job
i at S_i = max(a_i, S_{i-1} + s_{i-1}) (later would only cost more) and ends with the last; it
costs ``kappa_f (boot + S_m + s_m - x) + w sum_i (S_i + s_i - a_i)``. This is convex and
piecewise linear in x with its corners where some job i ends its wait: x = a_i minus what
is served before. So it is enough to try these, every order, every flavor, and every
partition (by dynamic programming over subsets).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_JOBS: Final = 6


def cheapest_schedule(
    arrival_s: Floats,
    service_s: Floats,
    *,
    boot_s: float,
    first_order_s: float,
    delay_price: float,
    worker_price: Sequence[float],
) -> float:
    """The least cost of serving all jobs.

    Args:
        arrival_s: of each job.
        service_s: shape (jobs, flavors).
        boot_s: from order to ready.
        first_order_s: no worker can be ordered before.
        delay_price: w.
        worker_price: kappa, what a worker of each flavor costs a second.

    Raises:
        ValueError: too many jobs to try all orders.
    """
    n = len(arrival_s)
    if n > MOST_JOBS:
        raise ValueError(f"{n} jobs are too many to try all orders: at most {MOST_JOBS}")
    least = [float("inf")] * (1 << n)
    least[0] = 0.0
    alone = [0.0] * (1 << n)
    for subset in range(1, 1 << n):
        jobs = [j for j in range(n) if subset >> j & 1]
        alone[subset] = min(
            _sequence_cost(
                arrival_s[list(order)],
                service_s[list(order), f],
                first_order_s + boot_s,
                boot_s,
                delay_price,
                price,
            )
            for order in permutations(jobs)
            for f, price in enumerate(worker_price)
        )
    for subset in range(1, 1 << n):
        first = subset & -subset  # its worker also serves some of the others
        part = subset
        while part:
            if part & first:
                least[subset] = min(least[subset], alone[part] + least[subset ^ part])
            part = (part - 1) & subset
    return least[-1]


def _sequence_cost(
    arrival: Floats,
    service: Floats,
    ready_s: float,
    boot_s: float,
    delay_price: float,
    worker_price: float,
) -> float:
    """The least cost of one worker that serves these jobs in this order."""
    before = np.concatenate([[0.0], np.cumsum(service)[:-1]])
    earliest = max(float(arrival[0]), ready_s)
    best = float("inf")
    for x in {earliest, *(float(t) for t in arrival - before if t > earliest)}:
        clock, delay = x, 0.0
        for a, s in zip(arrival.tolist(), service.tolist(), strict=True):
            clock = max(clock, a) + s
            delay += clock - a
        best = min(best, worker_price * (boot_s + clock - x) + delay_price * delay)
    return best
