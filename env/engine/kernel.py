"""A data centre's life: begin, let time pass to the next decision, carry out an order."""

from __future__ import annotations

from math import inf, nan

from env.actions import KEEP_INDEX, SPAWN_INDEX
from env.engine import arrivals
from env.engine.arrivals import start_arrivals
from env.engine.compiling import compiled
from env.engine.events import schedule, schedule_at, take_next
from env.engine.jobs import job_float
from env.engine.layout import (
    ARRIVAL,
    ARRIVALS,
    ARRIVES_AT,
    ASSIGNED_F,
    BOOT_FIRST,
    BOOT_LAST,
    BY_COUNT_I,
    BY_FREE_I,
    CAPACITY_MC,
    CAPACITY_MIB,
    CUT_OFF,
    DONE,
    ENDED_F,
    ENDS_WITH_JOBS,
    EPISODE,
    EPOCH,
    EVENTS_I,
    FREE,
    FREE_MC,
    FREE_MIB,
    FREE_SLOT,
    IDLE_FIRST,
    IDLE_LAST,
    IMAGE_CACHED,
    INVALID,
    KEY_HIGH,
    KEY_LOW,
    LIMIT_S,
    MAX_JOBS,
    N_EVENTS,
    N_FLAVORS,
    N_JOBS,
    N_NODES,
    N_RETIRING,
    N_SLOTS,
    NEXT,
    NODE_EI,
    NODE_F,
    NODE_I,
    NODES_EI,
    NODES_F,
    NODES_I,
    NOW,
    OLDEST,
    PAID_CORES,
    PAID_JOBS,
    PLACEMENT,
    PREFERENCE,
    PROGRESS_F,
    RETIRING,
    SLOWDOWN,
    SPREAD,
    STATE,
    TICK,
    TICK_S,
    TRACE_SIZE,
    WAKE,
    WAKE_UP,
    Centre,
    Floats,
    Ints,
)
from env.engine.occurrences import ON_START, dispatch, end_idle, occur, spawn
from env.engine.placement import precedes
from env.engine.view import (
    can_kill,
    first_to_end,
    fits,
    jobs_in_system,
    jobs_integral,
    longest_idle,
    reserved_cores_integral,
)
from env.engine.workers import flavor_at, hold_image, update_fits, worker_at

GOES_ON = 0
TERMINATED = 1
TRUNCATED = 2


@compiled
def centre(f: Floats, i: Ints, ef: Floats, ei: Ints, d: int) -> Centre:
    """Data centre d of an engine's arrays, shape (data centres or episodes, length)."""
    episode = i[d, EPISODE]
    return Centre(f[d], i[d], ef[episode], ei[episode])


@compiled
def begin(s: Centre, preference: float, key: int) -> None:
    """The data centre is empty at time 0; its row tells of which episode.

    Args:
        s: the data centre.
        preference: w.
        key: of the noise, see `env.noise`.
    """
    episode = s.i[EPISODE]
    s.f[:] = 0.0
    s.i[:] = 0
    s.i[EPISODE] = episode
    s.i[KEY_LOW] = key & 0xFFFFFFFF
    s.i[KEY_HIGH] = key >> 32
    s.f[PREFERENCE] = preference
    s.f[WAKE] = inf
    s.i[EPOCH] = ON_START
    s.i[BOOT_FIRST] = s.i[BOOT_LAST] = -1
    s.i[OLDEST] = s.ei[N_JOBS]
    start_arrivals(s.f[ARRIVALS : ARRIVALS + arrivals.SIZE])
    for flavor in range(s.ei[N_FLAVORS]):
        s.i[flavor_at(flavor) + IDLE_FIRST] = s.i[flavor_at(flavor) + IDLE_LAST] = -1
    for worker in range(s.ei[N_SLOTS]):
        s.i[worker_at(s, worker) + STATE] = FREE_SLOT
        s.i[worker_at(s, worker) + NEXT] = worker + 1
    s.i[FREE] = 0
    for slot in range(s.ei[N_EVENTS]):
        s.i[s.ei[EVENTS_I] + 2 * s.ei[N_EVENTS] + slot] = -1
    _empty_nodes(s)
    update_fits(s)
    if s.ei[TRACE_SIZE]:
        for job in range(s.ei[N_JOBS]):
            s.f[s.ei[ASSIGNED_F] + job] = s.f[s.ei[ENDED_F] + job] = nan
    if s.ei[N_JOBS] > 0:
        schedule_at(s, ARRIVAL, job_float(s, 0, ARRIVES_AT))
    elif s.ei[ENDS_WITH_JOBS]:
        s.i[DONE] = 1
    schedule(s, TICK, s.ef[TICK_S])
    schedule(s, CUT_OFF, s.ef[LIMIT_S])


@compiled
def _empty_nodes(s: Centre) -> None:
    n = s.ei[N_NODES]
    for node in range(n):
        at, constants = s.ei[NODES_I] + node * NODE_I, s.ei[NODES_EI] + node * NODE_EI
        s.i[at + FREE_MC] = s.ei[constants + CAPACITY_MC]
        s.i[at + FREE_MIB] = s.ei[constants + CAPACITY_MIB]
        if s.ei[IMAGE_CACHED]:
            hold_image(s, node)
        clocks = s.ei[NODES_F] + node * NODE_F
        s.f[clocks + SLOWDOWN] = s.f[clocks + PROGRESS_F + SLOWDOWN] = 1.0
        _insert(s, s.ei[BY_FREE_I], node, False)
        if s.ei[PLACEMENT] == SPREAD:
            _insert(s, s.ei[BY_COUNT_I], node, True)


@compiled
def _insert(s: Centre, order: int, node: int, by_count: bool) -> None:
    """Put the next node into a sorted list of those before it."""
    place = node
    while place > 0 and precedes(s, node, s.i[order + place - 1], by_count):
        s.i[order + place] = s.i[order + place - 1]
        place -= 1
    s.i[order + place] = node


@compiled
def advance(s: Centre) -> bool:
    """Twin of `Simulator.advance`: to the next decision; false when the run has ended instead."""
    if s.i[DONE]:
        return False
    s.i[EPOCH] = -1
    while s.i[EPOCH] < 0:
        occur(s, take_next(s))
    dispatch(s)
    return s.i[DONE] == 0


@compiled
def apply(s: Centre, action: int) -> bool:
    """Twin of `Simulator.apply`, for an action's index."""
    flavors = s.ei[N_FLAVORS]
    if action == KEEP_INDEX:
        return True
    if SPAWN_INDEX <= action < SPAWN_INDEX + flavors:
        if fits(s, action - SPAWN_INDEX):
            spawn(s, action - SPAWN_INDEX)
            return True
    elif SPAWN_INDEX + flavors <= action < SPAWN_INDEX + 2 * flavors:
        flavor = action - SPAWN_INDEX - flavors
        if can_kill(s, flavor):
            _kill(s, flavor)
            return True
    s.i[INVALID] += 1
    return False


@compiled
def _kill(s: Centre, flavor: int) -> None:
    worker = longest_idle(s, flavor)
    if worker >= 0:
        end_idle(s, worker)
        return
    worker = first_to_end(s, flavor)
    s.i[worker_at(s, worker) + RETIRING] = 1
    s.i[N_RETIRING] += 1


@compiled
def wake_at(s: Centre, time_s: float) -> None:
    """Twin of `Simulator.wake_at`."""
    if time_s != s.f[WAKE] and time_s > s.f[NOW]:
        s.f[WAKE] = time_s
        schedule(s, WAKE_UP, time_s - s.f[NOW])


@compiled
def decide(s: Centre, action: int) -> tuple[float, float, int]:
    """Twin of `DaCircoEnv.decide`: carry out an action; keep, or an invalid one, lets time pass.

    Returns:
        job-seconds and core-seconds that it brought, and one of `GOES_ON`, `TERMINATED`,
        `TRUNCATED`.
    """
    if action != KEEP_INDEX and apply(s, action):
        return 0.0, 0.0, GOES_ON
    alive = advance(s)
    jobs, cores = jobs_integral(s), reserved_cores_integral(s)
    more_jobs, more_cores = jobs - s.f[PAID_JOBS], cores - s.f[PAID_CORES]
    s.f[PAID_JOBS] = jobs
    s.f[PAID_CORES] = cores
    if s.f[NOW] >= s.ef[LIMIT_S] or jobs_in_system(s) > s.ef[MAX_JOBS]:
        return more_jobs, more_cores, TRUNCATED
    return more_jobs, more_cores, GOES_ON if alive else TERMINATED
