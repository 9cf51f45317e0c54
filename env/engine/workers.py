"""The workers' slots, lists and states: the twin of the second half of `env.cluster`.

Each function has the name of its twin there, and does the same in the same order.
"""

from __future__ import annotations

from env.engine.compiling import compiled
from env.engine.jobs import job_service
from env.engine.layout import (
    BASE_MIB,
    BOOT_FIRST,
    BOOT_LAST,
    BOOT_MC,
    BOOTING,
    BOOTING_HERE,
    BUSY,
    BUSY_CPU,
    BUSY_UNTIL,
    CACHED,
    CPU,
    DRAINING,
    END_AT,
    ENDS,
    ENDS_I,
    EXPECTED_END,
    FITS,
    FLAVOR,
    FLAVOR_EI,
    FLAVOR_I,
    FLAVORS_EI,
    FLAVORS_I,
    FREE,
    FREE_SLOT,
    IDLE,
    IDLE_FIRST,
    IDLE_LAST,
    IDLE_MC,
    IDLE_SINCE,
    IN_SERVICE,
    JOB,
    LIMIT_MC,
    LIMIT_MIB,
    MAX_WORKERS,
    MIB,
    MILLICORES,
    N_BOOTING,
    N_BUSY,
    N_DRAINING,
    N_FLAVORS,
    N_IDLE,
    N_RETIRING,
    N_WORKERS,
    NEXT,
    NODE,
    NODE_I,
    NODES_CACHED,
    NODES_I,
    NOW,
    PHASE,
    PREVIOUS,
    RAM,
    REQUEUED,
    RETIRING,
    STATE,
    TRACE_SIZE,
    USED_MC,
    USED_MIB,
    WORKER_F,
    WORKER_I,
    WORKERS_F,
    WORKERS_I,
    Centre,
)
from env.engine.placement import fits_any, reserve_on
from env.engine.trace import trace_change
from env.engine.waiting import enqueue
from env.worker import TaskPhase, WorkerState

IS_BOOTING = int(WorkerState.BOOTING)
IS_IDLE = int(WorkerState.IDLE)
IS_BUSY = int(WorkerState.BUSY)
IS_DRAINING = int(WorkerState.DRAINING)

NO_PHASE = int(TaskPhase.NONE)
DOWNLOADING = int(TaskPhase.DOWNLOADING)
TRANSCODING = int(TaskPhase.TRANSCODING)
UPLOADING = int(TaskPhase.UPLOADING)


@compiled
def worker_at(s: Centre, worker: int) -> int:
    """Where the worker's whole numbers begin."""
    return s.ei[WORKERS_I] + worker * WORKER_I


@compiled
def worker_float(s: Centre, worker: int, column: int) -> int:
    """Where a figure of the worker lies among the floats."""
    return s.ei[WORKERS_F] + worker * WORKER_F + column


@compiled
def flavor_at(flavor: int) -> int:
    """Where the flavor's counts begin."""
    return FLAVORS_I + flavor * FLAVOR_I


@compiled
def flavor_constant(s: Centre, flavor: int, column: int) -> int:
    """A whole number that the profile tells of a flavor."""
    constant: int = s.ei[FLAVORS_EI + flavor * FLAVOR_EI + column]
    return constant


@compiled
def add_to_level(s: Centre, level: int, change: float) -> None:
    """Twin of `env.level.Level.add`: its value, area and since lie one behind the other."""
    held = s.f[NOW] - s.f[level + 2]
    if held > 0.0:
        s.f[level + 1] += s.f[level] * held
        s.f[level + 2] = s.f[NOW]
    s.f[level] += change


@compiled
def boot(s: Centre, flavor: int, node: int) -> int:
    """A worker takes a slot and boots: its slot."""
    worker = s.i[FREE]
    at = worker_at(s, worker)
    s.i[FREE] = s.i[at + NEXT]
    s.i[at + STATE] = IS_BOOTING
    s.i[at + PHASE] = NO_PHASE
    s.i[at + FLAVOR] = flavor
    s.i[at + NODE] = node
    s.i[at + JOB] = -1
    s.i[at + RETIRING] = 0
    s.i[at + END_AT] = -1
    s.i[at + USED_MC] = 0
    s.i[at + USED_MIB] = 0
    s.i[N_WORKERS] += 1
    _append(s, worker, BOOT_FIRST, BOOT_LAST)
    s.i[flavor_at(flavor) + BOOTING] += 1
    s.i[N_BOOTING] += 1
    s.i[s.ei[NODES_I] + node * NODE_I + BOOTING_HERE] += 1
    reserve(s, flavor, node, 1)
    use(s, worker, flavor_constant(s, flavor, BOOT_MC), s.ei[BASE_MIB])
    return worker


@compiled
def end_boot(s: Centre, worker: int) -> None:
    """The worker boots no longer."""
    at = worker_at(s, worker)
    _unlink(s, worker, BOOT_FIRST, BOOT_LAST)
    s.i[flavor_at(s.i[at + FLAVOR]) + BOOTING] -= 1
    s.i[N_BOOTING] -= 1
    s.i[s.ei[NODES_I] + s.i[at + NODE] * NODE_I + BOOTING_HERE] -= 1


@compiled
def hold_image(s: Centre, node: int) -> None:
    """The node has the image from now on."""
    at = s.ei[NODES_I] + node * NODE_I + CACHED
    if s.i[at] == 0:
        s.i[at] = 1
        s.i[NODES_CACHED] += 1


@compiled
def become_idle(s: Centre, worker: int) -> None:
    """The worker waits for a job."""
    at = worker_at(s, worker)
    s.i[at + STATE] = IS_IDLE
    s.f[worker_float(s, worker, IDLE_SINCE)] = s.f[NOW]
    flavor = flavor_at(s.i[at + FLAVOR])
    _append(s, worker, flavor + IDLE_FIRST, flavor + IDLE_LAST)
    s.i[flavor + IDLE] += 1
    s.i[N_IDLE] += 1


@compiled
def leave_idle(s: Centre, worker: int) -> None:
    """The worker waits no longer."""
    flavor = flavor_at(s.i[worker_at(s, worker) + FLAVOR])
    _unlink(s, worker, flavor + IDLE_FIRST, flavor + IDLE_LAST)
    s.i[flavor + IDLE] -= 1
    s.i[N_IDLE] -= 1


@compiled
def begin_task(s: Centre, worker: int, job: int) -> None:
    """An idle worker gets a job."""
    at = worker_at(s, worker)
    flavor = s.i[at + FLAVOR]
    leave_idle(s, worker)
    s.i[flavor_at(flavor) + BUSY] += 1
    s.i[N_BUSY] += 1
    s.i[IN_SERVICE] += 1
    s.i[at + STATE] = IS_BUSY
    s.i[at + PHASE] = DOWNLOADING
    s.i[at + JOB] = job
    end = s.f[NOW] + job_service(s, job, flavor)
    s.f[worker_float(s, worker, EXPECTED_END)] = end
    s.f[BUSY_UNTIL] += end
    n = s.i[ENDS]
    s.i[ENDS] = n + 1
    _end_rises(s, n, worker)
    add_to_level(s, BUSY_CPU, float(flavor_constant(s, flavor, MILLICORES)))


@compiled
def end_task(s: Centre, worker: int) -> int:
    """A busy worker has no job any more: the job."""
    at = worker_at(s, worker)
    job: int = s.i[at + JOB]
    flavor = s.i[at + FLAVOR]
    s.i[at + JOB] = -1
    s.i[at + PHASE] = NO_PHASE
    s.i[flavor_at(flavor) + BUSY] -= 1
    s.i[N_BUSY] -= 1
    s.i[IN_SERVICE] -= 1
    if s.i[N_BUSY] > 0:
        s.f[BUSY_UNTIL] -= s.f[worker_float(s, worker, EXPECTED_END)]
    else:
        s.f[BUSY_UNTIL] = 0.0
    _forget_end(s, worker)
    add_to_level(s, BUSY_CPU, -float(flavor_constant(s, flavor, MILLICORES)))
    return job


@compiled
def end_retirement(s: Centre, worker: int) -> None:
    """The worker is not to retire any longer."""
    at = worker_at(s, worker)
    if s.i[at + RETIRING]:
        s.i[at + RETIRING] = 0
        s.i[N_RETIRING] -= 1


@compiled
def drain(s: Centre, worker: int) -> None:
    """The worker ends."""
    at = worker_at(s, worker)
    s.i[at + STATE] = IS_DRAINING
    s.i[flavor_at(s.i[at + FLAVOR]) + DRAINING] += 1
    s.i[N_DRAINING] += 1


@compiled
def become_free(s: Centre, worker: int) -> None:
    """The worker has no job any more: it idles, or drains if it was to retire."""
    if s.i[worker_at(s, worker) + RETIRING]:
        end_retirement(s, worker)
        drain(s, worker)
    else:
        become_idle(s, worker)


@compiled
def leave_service(s: Centre, worker: int) -> None:
    """Take a worker that does not drain out of the books of its state."""
    state = s.i[worker_at(s, worker) + STATE]
    if state == IS_BUSY:
        end_retirement(s, worker)
        enqueue(s, end_task(s, worker))
        s.i[REQUEUED] += 1
    elif state == IS_BOOTING:
        end_boot(s, worker)
    else:
        leave_idle(s, worker)


@compiled
def remove(s: Centre, worker: int) -> None:
    """The worker is gone: its resources and its slot are free."""
    at = worker_at(s, worker)
    s.i[N_WORKERS] -= 1
    use(s, worker, 0, 0)
    reserve(s, s.i[at + FLAVOR], s.i[at + NODE], -1)
    s.i[at + STATE] = FREE_SLOT
    s.i[at + NEXT] = s.i[FREE]
    s.i[FREE] = worker


@compiled
def reserve(s: Centre, flavor: int, node: int, workers: int) -> None:
    """So many workers of the flavor more (1) or less (-1) on the node."""
    millicores = workers * flavor_constant(s, flavor, MILLICORES)
    mib = workers * flavor_constant(s, flavor, MIB)
    reserve_on(s, node, millicores, mib, workers)
    add_to_level(s, CPU, float(millicores))
    add_to_level(s, RAM, float(mib))
    if s.ei[TRACE_SIZE]:
        trace_change(s, node, 0, 0, millicores, mib)
    update_fits(s)


@compiled
def update_fits(s: Centre) -> None:
    """Whether one more of each flavor fits."""
    full = s.i[N_WORKERS] >= s.ei[MAX_WORKERS]
    left_cpu, left_ram = s.ef[LIMIT_MC] - s.f[CPU], s.ef[LIMIT_MIB] - s.f[RAM]
    for flavor in range(s.ei[N_FLAVORS]):
        cpu, ram = flavor_constant(s, flavor, MILLICORES), flavor_constant(s, flavor, MIB)
        fits = not full and cpu <= left_cpu and ram <= left_ram and fits_any(s, cpu, ram)
        s.i[flavor_at(flavor) + FITS] = 1 if fits else 0


@compiled
def use(s: Centre, worker: int, millicores: int, mib: int) -> None:
    """What the worker really uses from now on; it counts in the metrics only."""
    if s.ei[TRACE_SIZE] == 0:
        return
    at = worker_at(s, worker)
    more_cpu, more_ram = millicores - s.i[at + USED_MC], mib - s.i[at + USED_MIB]
    if more_cpu != 0 or more_ram != 0:
        s.i[at + USED_MC] = millicores
        s.i[at + USED_MIB] = mib
        trace_change(s, s.i[at + NODE], more_cpu, more_ram, 0, 0)


@compiled
def use_idle(s: Centre, worker: int) -> None:
    """It uses what an idle one does."""
    use(s, worker, s.ei[IDLE_MC], s.ei[BASE_MIB])


# -- lists ---------------------------------------------------------------------------------


@compiled
def _append(s: Centre, worker: int, first: int, last: int) -> None:
    at = worker_at(s, worker)
    before = s.i[last]
    s.i[at + PREVIOUS] = before
    s.i[at + NEXT] = -1
    if before >= 0:
        s.i[worker_at(s, before) + NEXT] = worker
    else:
        s.i[first] = worker
    s.i[last] = worker


@compiled
def _unlink(s: Centre, worker: int, first: int, last: int) -> None:
    at = worker_at(s, worker)
    before, after = s.i[at + PREVIOUS], s.i[at + NEXT]
    if before >= 0:
        s.i[worker_at(s, before) + NEXT] = after
    else:
        s.i[first] = after
    if after >= 0:
        s.i[worker_at(s, after) + PREVIOUS] = before
    else:
        s.i[last] = before


# -- the heap of expected ends ---------------------------------------------------------------


@compiled
def _end_of(s: Centre, place: int) -> float:
    end: float = s.f[worker_float(s, s.i[s.ei[ENDS_I] + place], EXPECTED_END)]
    return end


@compiled
def _put_end(s: Centre, place: int, worker: int) -> None:
    s.i[s.ei[ENDS_I] + place] = worker
    s.i[worker_at(s, worker) + END_AT] = place


@compiled
def _end_rises(s: Centre, place: int, worker: int) -> None:
    end = s.f[worker_float(s, worker, EXPECTED_END)]
    while place > 0:
        parent = (place - 1) >> 1
        if _end_of(s, parent) <= end:
            break
        _put_end(s, place, s.i[s.ei[ENDS_I] + parent])
        place = parent
    _put_end(s, place, worker)


@compiled
def _end_sinks(s: Centre, place: int, worker: int) -> None:
    end = s.f[worker_float(s, worker, EXPECTED_END)]
    size = s.i[ENDS]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _end_of(s, child + 1) < _end_of(s, child):
            child += 1
        if end <= _end_of(s, child):
            break
        _put_end(s, place, s.i[s.ei[ENDS_I] + child])
        place = child
    _put_end(s, place, worker)


@compiled
def _forget_end(s: Centre, worker: int) -> None:
    place = s.i[worker_at(s, worker) + END_AT]
    s.i[worker_at(s, worker) + END_AT] = -1
    n = s.i[ENDS] - 1
    s.i[ENDS] = n
    if place == n:
        return
    moved = s.i[s.ei[ENDS_I] + n]
    end = s.f[worker_float(s, moved, EXPECTED_END)]
    if place > 0 and end < _end_of(s, (place - 1) >> 1):
        _end_rises(s, place, moved)
    else:
        _end_sinks(s, place, moved)
