"""What happens: the twins of the SimPy callbacks of `env.simulator`, each with its name.

They do the same in the same order, so that simultaneous events keep theirs.
"""

from __future__ import annotations

from math import exp, inf

import env.engine.noise  # noqa: F401  # compiled code may call `env.noise` from then on
from env import noise
from env.cluster import SERVICE_MEMORY
from env.engine import arrivals
from env.engine.arrivals import observe_arrival
from env.engine.compiling import compiled
from env.engine.contention import (
    change_load,
    first_to_finish,
    plan_if_none,
    start_boot,
    start_transcode,
    stop_boot,
    stop_transcode,
)
from env.engine.events import cancel, schedule, schedule_at
from env.engine.jobs import job_float, job_int, job_luck, job_service, job_work
from env.engine.layout import (
    ARRIVAL,
    ARRIVALS,
    ARRIVED,
    ARRIVES_AT,
    ASSIGNED_F,
    BIRTH,
    BOOT_LOAD,
    BOOT_MEDIAN,
    BOOT_SIGMA,
    CACHED,
    COMPLETED,
    COPY_S,
    COPY_SIGMA,
    CREATED,
    DONE,
    DOOMED,
    DOWNLOAD,
    DRAINING,
    ENDED_F,
    ENDS_WITH_JOBS,
    EPOCH,
    FAILED,
    FINISH,
    FLAVOR,
    FLAVOR_F,
    FLAVORS_F,
    IDLE_LAST,
    JOB,
    JOBS,
    KIND_LOAD,
    KIND_USED_MC,
    KIND_USED_MIB,
    LOSS_EVENTS,
    LOSS_PER_HOUR,
    MEAN_SERVICE,
    MIB,
    MILLICORES,
    N_DRAINING,
    N_FLAVORS,
    N_IDLE,
    N_JOBS,
    N_NODES,
    NEXT_CREATION,
    NODE,
    NODE_EVENTS,
    NODE_I,
    NODES_I,
    NOW,
    PHASE,
    REGISTERED,
    SPACING,
    SPAWN_FAILURE,
    SPAWN_FAILURES,
    SPAWN_FAILURES_OF,
    SPAWNED_AT,
    SPAWNS,
    STATE,
    STOP_MEDIAN,
    STOP_SIGMA,
    STOPS,
    TICK,
    TICK_S,
    TRACE_SIZE,
    TRANSCODE_ERROR,
    TRANSCODES,
    UPLOAD,
    WAITING,
    WAKE,
    WAKE_UP,
    WORKERS_LOST,
    Centre,
)
from env.engine.placement import choose
from env.engine.view import jobs_in_system, noise_key_of
from env.engine.waiting import enqueue, take_head
from env.engine.workers import (
    DOWNLOADING,
    IS_BOOTING,
    IS_BUSY,
    IS_DRAINING,
    TRANSCODING,
    UPLOADING,
    add_to_level,
    become_free,
    become_idle,
    begin_task,
    boot,
    drain,
    end_boot,
    end_task,
    flavor_at,
    flavor_constant,
    hold_image,
    leave_idle,
    leave_service,
    remove,
    use,
    use_idle,
    worker_at,
    worker_float,
)
from env.simulator import Epoch

ON_START = int(Epoch.START)
_ON_ARRIVAL = int(Epoch.ARRIVAL)
_ON_READY = int(Epoch.WORKER_READY)
_ON_END = int(Epoch.TASK_ENDED)
_ON_LOSS = int(Epoch.WORKER_LOST)
_ON_FAILURE = int(Epoch.SPAWN_FAILED)
_ON_STOP = int(Epoch.WORKER_STOPPED)
ON_TICK = int(Epoch.TICK)
_ON_WAKE = int(Epoch.WAKE)


@compiled
def worker_event(s: Centre, worker: int) -> int:
    """Slot of what happens next to a worker by itself."""
    return NODE_EVENTS + 2 * s.ei[N_NODES] + worker


@compiled
def occur(s: Centre, slot: int) -> None:
    """The event of a slot happens now."""
    of_workers = NODE_EVENTS + 2 * s.ei[N_NODES]
    if slot < NODE_EVENTS:
        if slot == ARRIVAL:
            _arrive(s)
        elif slot == TICK:
            schedule(s, TICK, s.ef[TICK_S])
            s.i[EPOCH] = ON_TICK
        elif slot == WAKE_UP:
            s.f[WAKE] = inf
            s.i[EPOCH] = _ON_WAKE
        else:
            s.i[DONE] = 1
            s.i[EPOCH] = ON_TICK
    elif slot < of_workers:
        _progress_ended(s, (slot - NODE_EVENTS) >> 1, (slot - NODE_EVENTS) & 1)
    elif s.ei[LOSS_EVENTS] >= 0 and slot >= s.ei[LOSS_EVENTS]:
        _lost(s, slot - s.ei[LOSS_EVENTS])
    else:
        _worker_acts(s, slot - of_workers)


@compiled
def _worker_acts(s: Centre, worker: int) -> None:
    at = worker_at(s, worker)
    state = s.i[at + STATE]
    if state == IS_BUSY:
        if s.i[at + PHASE] == DOWNLOADING:
            _downloaded(s, worker)
        else:
            _uploaded(s, worker)
    elif state == IS_DRAINING:
        _stopped(s, worker)
    else:
        _created(s, worker)


@compiled
def _progress_ended(s: Centre, node: int, kind: int) -> None:
    """Twin of `SharedProgress._end`."""
    worker = first_to_finish(s, node, kind)
    if kind == TRANSCODES:
        _transcoded(s, worker)
    else:
        change_load(s, node, -s.ei[BOOT_LOAD])
        _booted(s, worker)
    plan_if_none(s, node, kind)


@compiled
def _arrive(s: Centre) -> None:
    job = s.i[ARRIVED]
    work = job_service(s, job, 0)
    enqueue(s, job)
    add_to_level(s, JOBS, 1.0)
    weight = max(SERVICE_MEMORY, 1.0 / (s.f[ARRIVALS + arrivals.COUNT] + 1))
    for flavor in range(s.ei[N_FLAVORS]):
        at = FLAVORS_F + flavor * FLAVOR_F + MEAN_SERVICE
        s.f[at] += weight * (job_service(s, job, flavor) - s.f[at])
    observe_arrival(s.f[ARRIVALS : ARRIVALS + arrivals.SIZE], s.f[NOW], work)
    s.i[ARRIVED] = job + 1
    if job + 1 < s.ei[N_JOBS]:
        schedule_at(s, ARRIVAL, job_float(s, job + 1, ARRIVES_AT))
    s.i[EPOCH] = _ON_ARRIVAL


@compiled
def spawn(s: Centre, flavor: int) -> None:
    """Order a worker of a flavor that fits."""
    now = s.f[NOW]
    number = s.i[SPAWNS]
    s.i[SPAWNS] = number + 1
    node = choose(s, flavor_constant(s, flavor, MILLICORES), flavor_constant(s, flavor, MIB))
    worker = boot(s, flavor, node)
    at = worker_at(s, worker)
    s.i[at + BIRTH] = number
    s.f[worker_float(s, worker, SPAWNED_AT)] = now
    key = noise_key_of(s)
    copy = _copy_s(s, node, key, number)
    scatter = exp(s.ef[BOOT_SIGMA] * noise.normal(key, noise.BOOTS, number))
    work = (s.ef[BOOT_MEDIAN] + copy) * scatter
    wait = s.f[NEXT_CREATION] - now
    s.f[NEXT_CREATION] = max(now, s.f[NEXT_CREATION]) + s.ef[SPACING]
    if wait > 0.0:
        s.i[at + CREATED] = 0
        s.f[worker_float(s, worker, FINISH)] = work
        schedule(s, worker_event(s, worker), wait)
    else:
        s.i[at + CREATED] = 1
        start_boot(s, node, worker, work)
    s.i[at + DOOMED] = 0
    if (
        s.ef[SPAWN_FAILURE] > 0.0
        and noise.uniform(key, noise.SPAWN_FAILURES, number) < s.ef[SPAWN_FAILURE]
    ):
        s.i[at + DOOMED] = 1
    if s.ef[LOSS_PER_HOUR] > 0.0:
        mean = 3600.0 / s.ef[LOSS_PER_HOUR]
        life = noise.exponential(key, noise.LIVES, number, mean)
        schedule(s, s.ei[LOSS_EVENTS] + worker, life)


@compiled
def _copy_s(s: Centre, node: int, key: int, number: int) -> float:
    if s.i[s.ei[NODES_I] + node * NODE_I + CACHED] or s.ef[COPY_S] == 0.0:
        return 0.0
    copy: float = s.ef[COPY_S]
    if s.ef[COPY_SIGMA] == 0.0:
        return copy
    return copy * exp(s.ef[COPY_SIGMA] * noise.normal(key, noise.COPIES, number))


@compiled
def _created(s: Centre, worker: int) -> None:
    at = worker_at(s, worker)
    s.i[at + CREATED] = 1
    start_boot(s, s.i[at + NODE], worker, s.f[worker_float(s, worker, FINISH)])


@compiled
def end_idle(s: Centre, worker: int) -> None:
    """Order an idle worker to end."""
    leave_idle(s, worker)
    drain(s, worker)
    _stop(s, worker)


@compiled
def _stop(s: Centre, worker: int) -> None:
    number = s.i[STOPS]
    s.i[STOPS] = number + 1
    scatter = exp(s.ef[STOP_SIGMA] * noise.normal(noise_key_of(s), noise.STOPS, number))
    schedule(s, worker_event(s, worker), s.ef[STOP_MEDIAN] * scatter)


@compiled
def _booted(s: Centre, worker: int) -> None:
    at = worker_at(s, worker)
    flavor = flavor_at(s.i[at + FLAVOR])
    if s.i[at + DOOMED]:
        s.i[SPAWN_FAILURES] += 1
        s.i[flavor + SPAWN_FAILURES_OF] += 1
        end_boot(s, worker)
        _remove(s, worker)
        s.i[EPOCH] = _ON_FAILURE
        return
    s.i[flavor + REGISTERED] += 1
    end_boot(s, worker)
    hold_image(s, s.i[at + NODE])
    become_idle(s, worker)
    use_idle(s, worker)
    s.i[EPOCH] = _ON_READY


@compiled
def _stopped(s: Centre, worker: int) -> None:
    s.i[flavor_at(s.i[worker_at(s, worker) + FLAVOR]) + DRAINING] -= 1
    s.i[N_DRAINING] -= 1
    _remove(s, worker)
    s.i[EPOCH] = _ON_STOP


@compiled
def _remove(s: Centre, worker: int) -> None:
    if s.ei[LOSS_EVENTS] >= 0:
        cancel(s, s.ei[LOSS_EVENTS] + worker)
    remove(s, worker)


@compiled
def _lost(s: Centre, worker: int) -> None:
    at = worker_at(s, worker)
    state, node = s.i[at + STATE], s.i[at + NODE]
    cancel(s, worker_event(s, worker))
    if state == IS_BOOTING and s.i[at + CREATED]:
        stop_boot(s, node, worker)
    elif state == IS_BUSY and s.i[at + PHASE] == TRANSCODING:
        stop_transcode(s, node, worker, _load(s, worker))
    s.i[WORKERS_LOST] += 1
    if state == IS_DRAINING:
        s.i[flavor_at(s.i[at + FLAVOR]) + DRAINING] -= 1
        s.i[N_DRAINING] -= 1
    else:
        leave_service(s, worker)
    remove(s, worker)
    s.i[EPOCH] = _ON_LOSS


@compiled
def dispatch(s: Centre) -> None:
    """Hand waiting jobs to idle workers: the largest, of these the last to become idle."""
    while s.i[WAITING] > 0 and s.i[N_IDLE] > 0:
        flavor = s.ei[N_FLAVORS] - 1
        while s.i[flavor_at(flavor) + IDLE_LAST] < 0:
            flavor -= 1
        worker = s.i[flavor_at(flavor) + IDLE_LAST]
        job = take_head(s)
        begin_task(s, worker, job)
        if s.ei[TRACE_SIZE]:
            s.f[s.ei[ASSIGNED_F] + job] = s.f[NOW]
        schedule(s, worker_event(s, worker), job_float(s, job, DOWNLOAD))


@compiled
def _job_int(s: Centre, worker: int, column: int) -> int:
    """A whole number of a worker's job on its flavor."""
    at = worker_at(s, worker)
    return job_int(s, s.i[at + JOB], column, s.i[at + FLAVOR])


@compiled
def _load(s: Centre, worker: int) -> int:
    return _job_int(s, worker, KIND_LOAD)


@compiled
def _downloaded(s: Centre, worker: int) -> None:
    at = worker_at(s, worker)
    job = s.i[at + JOB]
    s.i[at + PHASE] = TRANSCODING
    if s.ei[TRACE_SIZE]:
        use(s, worker, _job_int(s, worker, KIND_USED_MC), _job_int(s, worker, KIND_USED_MIB))
    work = job_work(s, job, s.i[at + FLAVOR])
    luck, error = job_luck(s, job), s.ef[TRANSCODE_ERROR]
    if luck < error:
        work *= luck / error
    start_transcode(s, s.i[at + NODE], worker, work, _load(s, worker))


@compiled
def _transcoded(s: Centre, worker: int) -> None:
    at = worker_at(s, worker)
    job = s.i[at + JOB]
    change_load(s, s.i[at + NODE], -_load(s, worker))
    if job_luck(s, job) < s.ef[TRANSCODE_ERROR]:
        s.i[FAILED] += 1
        end_task(s, worker)
        add_to_level(s, JOBS, -1.0)
        become_free(s, worker)
        use_idle(s, worker)
        _task_ended(s, worker, job)
        return
    s.i[at + PHASE] = UPLOADING
    use_idle(s, worker)
    schedule(s, worker_event(s, worker), job_float(s, job, UPLOAD))


@compiled
def _uploaded(s: Centre, worker: int) -> None:
    s.i[COMPLETED] += 1
    job = end_task(s, worker)
    add_to_level(s, JOBS, -1.0)
    become_free(s, worker)
    _task_ended(s, worker, job)


@compiled
def _task_ended(s: Centre, worker: int, job: int) -> None:
    if s.ei[TRACE_SIZE]:
        s.f[s.ei[ENDED_F] + job] = s.f[NOW]
    s.i[EPOCH] = _ON_END
    if s.i[worker_at(s, worker) + STATE] == IS_DRAINING:
        _stop(s, worker)
    if s.ei[ENDS_WITH_JOBS] and s.i[ARRIVED] == s.ei[N_JOBS] and jobs_in_system(s) == 0:
        s.i[DONE] = 1
