"""Work that shares a node: the twin of `env.contention`.

A node has two clocks, of its transcodes and of its boots, and for each a heap of the workers that
run, by when their work ends on that clock, then by the order in which it was started.
"""

from __future__ import annotations

from math import exp

from env.engine.compiling import compiled
from env.engine.events import cancel, is_scheduled, next_number, schedule
from env.engine.layout import (
    BOOT_LOAD,
    BOOTS,
    CLOCK,
    CROWD_KNEE,
    CROWD_LIMIT,
    CROWD_SLOPE,
    FINISH,
    KNEE,
    LOAD,
    NODE_CORES,
    NODE_EF,
    NODE_EI,
    NODE_EVENTS,
    NODE_F,
    NODE_I,
    NODES_EF,
    NODES_EI,
    NODES_F,
    NODES_I,
    NOW,
    ORDER,
    PROGRESS_F,
    RUNS,
    RUNS_AT,
    RUNS_I,
    RUNS_SIZE,
    SLOPE,
    SLOWDOWN,
    TRANSCODES,
    UPDATED,
    WORKER_F,
    WORKER_I,
    WORKERS_F,
    WORKERS_I,
    Centre,
)
from env.node import MILLI


@compiled
def slowdown_of_transcodes(s: Centre, node: int, load: float) -> float:
    """Twin of `env.config.ContentionTiming.slowdown`."""
    cores = s.ef[s.ei[NODES_EF] + node * NODE_EF + NODE_CORES]
    factor = exp(s.ef[SLOPE] * max(0.0, load - s.ef[KNEE] * cores))
    return factor * max(1.0, load / cores)


@compiled
def slowdown_of_boots(s: Centre, node: int, load: float) -> float:
    """Twin of `env.contention.SharedNode.boot_slowdown`."""
    cores = s.ef[s.ei[NODES_EF] + node * NODE_EF + NODE_CORES]
    crowd = load - s.ef[CROWD_KNEE] * cores
    if crowd > 0:
        return min(s.ef[CROWD_LIMIT], exp(s.ef[CROWD_SLOPE] * crowd))
    return 1.0


@compiled
def start_transcode(s: Centre, node: int, worker: int, work_s: float, load: int) -> None:
    """A transcode starts that would take `work_s` alone; its load in thousandths of a vCPU."""
    change_load(s, node, load)
    _start(s, node, TRANSCODES, worker, work_s)


@compiled
def stop_transcode(s: Centre, node: int, worker: int, load: int) -> None:
    """A running transcode is given up (its worker is lost)."""
    _stop(s, node, TRANSCODES, worker)
    change_load(s, node, -load)


@compiled
def start_boot(s: Centre, node: int, worker: int, work_s: float) -> None:
    """A boot starts that would take `work_s` on an empty node."""
    change_load(s, node, s.ei[BOOT_LOAD])
    _start(s, node, BOOTS, worker, work_s)


@compiled
def stop_boot(s: Centre, node: int, worker: int) -> None:
    """A boot is given up (its worker is lost)."""
    _stop(s, node, BOOTS, worker)
    change_load(s, node, -s.ei[BOOT_LOAD])


@compiled
def first_to_finish(s: Centre, node: int, kind: int) -> int:
    """The worker whose transcode or boot ends now is taken out of those that run."""
    _pass(s, node, kind)
    base, at = _runs(s, node, kind), s.ei[NODES_I] + node * NODE_I + RUNS + kind
    worker = s.i[base]
    n = s.i[at] - 1
    s.i[at] = n
    if n > 0:
        _sink(s, base, n, 0, s.i[base + n])
    return worker


@compiled
def plan_if_none(s: Centre, node: int, kind: int) -> None:
    """Schedule the next end, unless a change of the load has done so already."""
    if not is_scheduled(s, NODE_EVENTS + 2 * node + kind):
        _plan(s, node, kind)


@compiled
def change_load(s: Centre, node: int, change: int) -> None:
    """The node's load changes by so many thousandths of a vCPU."""
    at = s.ei[NODES_I] + node * NODE_I + LOAD
    s.i[at] += change
    load = s.i[at] / MILLI
    _set_slowdown(s, node, TRANSCODES, slowdown_of_transcodes(s, node, load))
    _set_slowdown(s, node, BOOTS, slowdown_of_boots(s, node, load))


@compiled
def _clock(s: Centre, node: int, kind: int) -> int:
    return s.ei[NODES_F] + node * NODE_F + kind * PROGRESS_F


@compiled
def _runs(s: Centre, node: int, kind: int) -> int:
    """Where the heap of what runs begins."""
    at = s.ei[NODES_EI] + node * NODE_EI
    return s.ei[RUNS_I] + s.ei[at + RUNS_AT] + kind * s.ei[at + RUNS_SIZE]


@compiled
def _pass(s: Centre, node: int, kind: int) -> None:
    p = _clock(s, node, kind)
    s.f[p + CLOCK] += (s.f[NOW] - s.f[p + UPDATED]) / s.f[p + SLOWDOWN]
    s.f[p + UPDATED] = s.f[NOW]


@compiled
def _set_slowdown(s: Centre, node: int, kind: int, slowdown: float) -> None:
    p = _clock(s, node, kind)
    if slowdown != s.f[p + SLOWDOWN]:
        _pass(s, node, kind)
        s.f[p + SLOWDOWN] = slowdown
        if s.i[s.ei[NODES_I] + node * NODE_I + RUNS + kind] > 0:
            _plan(s, node, kind)


@compiled
def _plan(s: Centre, node: int, kind: int) -> None:
    slot = NODE_EVENTS + 2 * node + kind
    if s.i[s.ei[NODES_I] + node * NODE_I + RUNS + kind] == 0:
        cancel(s, slot)
        return
    p = _clock(s, node, kind)
    finish = s.f[s.ei[WORKERS_F] + s.i[_runs(s, node, kind)] * WORKER_F + FINISH]
    schedule(s, slot, max(0.0, (finish - s.f[p + CLOCK]) * s.f[p + SLOWDOWN]))


@compiled
def _start(s: Centre, node: int, kind: int, worker: int, work_s: float) -> None:
    _pass(s, node, kind)
    s.f[s.ei[WORKERS_F] + worker * WORKER_F + FINISH] = s.f[_clock(s, node, kind) + CLOCK] + work_s
    s.i[s.ei[WORKERS_I] + worker * WORKER_I + ORDER] = next_number(s)
    at = s.ei[NODES_I] + node * NODE_I + RUNS + kind
    n = s.i[at]
    s.i[at] = n + 1
    base = _runs(s, node, kind)
    _rise(s, base, n, worker)
    if s.i[base] == worker:
        _plan(s, node, kind)


@compiled
def _stop(s: Centre, node: int, kind: int, worker: int) -> None:
    _pass(s, node, kind)
    base, count = _runs(s, node, kind), s.ei[NODES_I] + node * NODE_I + RUNS + kind
    n = s.i[count] - 1
    s.i[count] = n
    at = 0
    while s.i[base + at] != worker:
        at += 1
    if at < n:
        moved = s.i[base + n]
        if at > 0 and _ends_before(s, moved, s.i[base + ((at - 1) >> 1)]):
            _rise(s, base, at, moved)
        else:
            _sink(s, base, n, at, moved)
    _plan(s, node, kind)


@compiled
def _ends_before(s: Centre, worker: int, other: int) -> bool:
    floats, ints = s.ei[WORKERS_F] + FINISH, s.ei[WORKERS_I] + ORDER
    one, two = s.f[floats + worker * WORKER_F], s.f[floats + other * WORKER_F]
    return one < two or (
        one == two and s.i[ints + worker * WORKER_I] < s.i[ints + other * WORKER_I]
    )


@compiled
def _rise(s: Centre, base: int, at: int, worker: int) -> None:
    while at > 0:
        parent = (at - 1) >> 1
        other = s.i[base + parent]
        if not _ends_before(s, worker, other):
            break
        s.i[base + at] = other
        at = parent
    s.i[base + at] = worker


@compiled
def _sink(s: Centre, base: int, size: int, at: int, worker: int) -> None:
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _ends_before(s, s.i[base + child + 1], s.i[base + child]):
            child += 1
        other = s.i[base + child]
        if _ends_before(s, worker, other):
            break
        s.i[base + at] = other
        at = child
    s.i[base + at] = worker
