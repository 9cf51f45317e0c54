"""The simulated data centre: SimPy time, the profile's laws, and a `Cluster` that it drives."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import count, pairwise
from math import exp, inf, nan
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import Event, Timeout

from env import noise
from env.actions import Action, ActionKind
from env.catalog import Catalog
from env.cluster import Cluster
from env.config import Profile
from env.contention import SharedNode
from env.job_draws import JobDraws, draw_jobs
from env.jobs import Job, Request
from env.node import MILLI
from env.timeline import Timeline
from env.timing import TimingModel
from env.worker import Worker, WorkerState

PATIENCE_S: Final = 24 * 3600.0
"""By default a run ends at the latest this long after the last arrival, seconds."""


_LEAST_ERLANGS: Final = 0.5
_LEAST_SPAN_S: Final = 60.0


class Epoch(IntEnum):
    """Why a decision is due."""

    START = 0
    ARRIVAL = 1
    WORKER_READY = 2
    TASK_ENDED = 3
    WORKER_LOST = 4
    SPAWN_FAILED = 5
    WORKER_STOPPED = 6
    TICK = 7
    WAKE = 8


class Decider(Protocol):
    """What the simulator needs of a policy (the policies themselves live in `agents`)."""

    def reset(self, cluster: Cluster) -> None:
        """A run begins."""

    def act(self, cluster: Cluster) -> Action:
        """The next order; asked again at the same epoch until it is keep."""

    def wake_at(self, cluster: Cluster) -> float | None:
        """When to be asked again though nothing happens, seconds."""


@dataclass(slots=True, eq=False)
class _Task:
    """A job on a worker; `alive` until it ends or its worker is lost."""

    worker: Worker
    job: int
    load: float = 0.0
    transcoding: bool = False
    fails: bool = False
    alive: bool = True


class Alone(NamedTuple):
    """What requests take on workers alone on their nodes; contention can only prolong it.

    Attributes:
        download_s, upload_s: shape (requests,), seconds; no upload after an error.
        transcode_s: to its end or its error, shape (requests, flavors), seconds.
        load: vCPUs that the transcode keeps busy, likewise.
    """

    download_s: NDArray[np.float64]
    transcode_s: NDArray[np.float64]
    upload_s: NDArray[np.float64]
    load: NDArray[np.float64]


def boot_scatter(seed: int, n: int) -> NDArray[np.float64]:
    """The standard normal draws that the boots of a run's first n spawns take."""
    return noise.normals(noise.noise_key(seed), noise.BOOTS, n)


def copy_scatter(seed: int, n: int) -> NDArray[np.float64]:
    """The standard normal draws that copies of the image take in a run's first n spawns."""
    return noise.normals(noise.noise_key(seed), noise.COPIES, n)


def reference_erlangs(
    requests: Sequence[Request], service_s: Sequence[float], limit_s: float | None
) -> float:
    """The offered load of `Simulator.reference_cost_rate`, erlangs.

    Args:
        requests: of the run.
        service_s: of each on the smallest flavor, seconds.
        limit_s: when the run ends, none if with the last job.
    """
    last = requests[-1].arrival_s if requests else 0.0
    span = max(last, _LEAST_SPAN_S) if limit_s is None else limit_s
    return float(sum(service_s)) / span + _LEAST_ERLANGS


class _Environment(simpy.Environment):
    """SimPy's clock and events, which can be written down with pickle at any moment.

    SimPy binds its event classes to each environment as methods that pickle does not find again.
    It does so for its own class only; here they are bound at each use. The counter of events,
    which no later Python will pickle, is kept as its next number.
    """

    def __getstate__(self) -> dict[str, Any]:
        following = next(self._eid)
        self._eid = count(following)
        return self.__dict__ | {"_eid": following}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _eid=count(state["_eid"]))


class Simulator:
    """One run over a list of requests.

    The arrivals, sizes and scatter of the jobs depend on `seed` alone, not on what the
    policy does: policies are compared on the same jobs (common random numbers).

    Args:
        profile: data centre and timing.
        requests: in order of arrival.
        catalog: the movies they ask for.
        seed: fixes every random draw.
        preference: w, kept in the cluster for the policy to read.
        discipline: queue discipline, see `env.dispatch`.
        limit_s: the run ends at this time, whether jobs are left or not, seconds; by
            default it ends with the last job, and at the latest a day after its arrival.
        timeline: records what happens, for pictures.
        worker_nodes: index of the node of each worker in the order of the spawns, for
            replays of what was measured; where it says nothing, or the node is full, the
            placement decides.
        believed: the profile that cluster and policy go by, of the same data centre, where
            it is not the true one.

    Attributes:
        cluster: the state.
        epoch: why the latest decision was due.
        done: whether the run has ended.
        invalid_actions: orders that could not be carried out, and were ignored.
        assigned_s, downloaded_s, transcoded_s, ended_s: for each request the time at
            which it (last) reached that step, nan if it did not.
        failed: indices of the requests that ended in error.

    Raises:
        UnknownNameError: the catalog lacks a movie.
        ValueError: the requests are not in order of arrival.
    """

    def __init__(
        self,
        profile: Profile,
        requests: Sequence[Request],
        catalog: Catalog,
        *,
        seed: int = 0,
        preference: float = 0.5,
        discipline: str = "sjf",
        limit_s: float | None = None,
        timeline: Timeline | None = None,
        worker_nodes: Sequence[int] = (),
        believed: Profile | None = None,
    ) -> None:
        self.profile = profile
        self.requests = requests
        self.timing = TimingModel(profile)
        other = None if believed is None else TimingModel(believed)
        expected = other or self.timing
        self.cluster = Cluster(
            expected.profile, preference=preference, discipline=discipline, boot_s=expected.boot_s
        )
        self.timeline = timeline
        self._worker_nodes = worker_nodes
        if any(not a.arrival_s <= b.arrival_s for a, b in pairwise(requests)):
            raise ValueError("the requests are not in order of arrival: sort them by arrival_s")
        self._draw(draw_jobs(self.timing, requests, catalog, seed, other))
        self._noise = noise.noise_key(seed)
        last = requests[-1].arrival_s if requests else 0.0
        self._ends_with_jobs = limit_s is None
        self.limit_s = last + PATIENCE_S if limit_s is None else limit_s
        self.env = _Environment()
        self._nodes = [
            SharedNode(
                self.env,
                node.config.cores,
                profile.timing.contention,
                profile.timing.boot,
                self._transcoded,
                self._booted,
            )
            for node in self.cluster.nodes
        ]
        self._tasks: dict[object, _Task] = {}
        self._arrived = 0
        self._next_worker = self._stops = 0
        self._doomed: set[Hashable] = set()  # booting workers that will never come
        self._uncreated: set[Hashable] = set()  # ordered, but the cloud has not begun
        self._next_creation_s = 0.0
        self._wake = inf
        self._waking: Timeout | None = None
        self.epoch: Epoch | None = Epoch.START
        self.done = self._ends_with_jobs and not requests
        self.invalid_actions = 0
        n = len(requests)
        self.assigned_s = [nan] * n
        self.downloaded_s = [nan] * n
        self.transcoded_s = [nan] * n
        self.ended_s = [nan] * n
        self.failed: list[int] = []
        if requests:
            self._after(requests[0].arrival_s, self._arrive)
        self._after(profile.tick_s, self._tick)
        self._after(self.limit_s, self._cut_off)

    def _draw(self, draws: JobDraws) -> None:
        # Flat lists of (request, flavor): thousands of small ones would keep the garbage
        # collector busy at the start of each episode.
        self._work = draws.work_s.ravel().tolist()
        self._download = draws.download_s.tolist()
        self._upload = draws.upload_s.tolist()
        self._luck = draws.luck.tolist()
        self._service = draws.service_s.ravel().tolist()
        self._speedup = draws.speedup.ravel().tolist()
        self._megapixels = draws.megapixels.tolist()
        self._source_mb = draws.source_mb.tolist()

    # -- driving ----------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Simulated time, seconds."""
        return float(self.env.now)

    def advance(self) -> bool:
        """Let time pass until the next decision is due; waiting jobs are then dispatched.

        Returns:
            False when the run has ended instead.
        """
        if self.done:
            return False
        if self.timeline is not None:  # what holds until the next epoch
            cluster = self.cluster
            self.timeline.sample(
                self.now, cluster.waiting, cluster.in_service, cluster.reserved_cores
            )
        self.epoch = None
        step = self.env.step
        while self.epoch is None:
            step()
        self._dispatch()
        return not self.done

    def apply(self, action: Action) -> bool:
        """Carry out an order.

        Returns:
            Whether it could be; if not, it is counted in `invalid_actions`, nothing else.
        """
        if not self.cluster.can(action):
            self.invalid_actions += 1
            return False
        if action.kind is ActionKind.SPAWN:
            self._spawn(action.flavor)
        elif action.kind is ActionKind.KILL:
            self._kill(action.flavor)
        return True

    def run(self, policy: Decider) -> None:
        """Run to the end under a policy. An order that cannot be carried out ends its epoch."""
        cluster = self.cluster
        policy.reset(cluster)
        keep = ActionKind.KEEP
        while self.advance():
            while True:
                action = policy.act(cluster)
                if action.kind is keep or not self.apply(action):
                    break
            wake = policy.wake_at(cluster)
            if wake is not None:
                self.wake_at(wake)

    def wake_at(self, time_s: float) -> None:
        """Make sure that a decision is due at this time (a later call moves it)."""
        if time_s != self._wake and time_s > self.env.now:
            self._wake = time_s
            self._waking = self._after(time_s - self.env.now, self._woken)

    def reference_cost_rate(self) -> float:
        """What a second of this run would cost if each job found a booted smallest worker.

        Nothing waits, nothing boots, nothing idles: the offered load in erlangs times
        ``w + (1 - w) * flavor cost``, and half an erlang more so that the quietest runs do not
        outweigh all others. It only brings the costs of quiet and of busy runs to one scale.
        """
        limit = None if self._ends_with_jobs else self.limit_s
        smallest = self._service[:: self.cluster.n_flavors]
        erlangs = reference_erlangs(self.requests, smallest, limit)
        w = self.cluster.preference
        return erlangs * (w + (1.0 - w) * self.cluster.flavor_cost(0))

    def alone(self) -> Alone:
        """What each request takes, with its scatter, on a worker alone on its node."""
        shape = (len(self.requests), self.cluster.n_flavors)
        transcode = np.array(self._work).reshape(shape)
        upload = np.array(self._upload)
        error, luck = self.profile.faults.transcode_error, np.array(self._luck)
        if error > 0.0:
            fails = luck < error
            transcode = np.where(fails[:, None], transcode * (luck[:, None] / error), transcode)
            upload = np.where(fails, 0.0, upload)
        load = np.round(np.array(self._speedup).reshape(shape) * MILLI) / MILLI
        return Alone(np.array(self._download), transcode, upload, load)

    def constants(self) -> tuple[object, ...]:
        """What never changes in a run: a copy of the simulator may share it."""
        return (
            self.profile,
            self.profile.cluster,
            self.requests,
            self.timing,
            self._work,
            self._download,
            self._upload,
            self._luck,
            self._service,
            self._speedup,
            self._megapixels,
            self._source_mb,
        )

    # -- SimPy events -----------------------------------------------------------------

    def _after(self, delay: float, callback: Callable[[Event], None], value: Any = None) -> Timeout:
        # A bare Timeout with a callback: SimPy processes (generators) cost three times as much.
        timeout = Timeout(self.env, delay, value)
        assert timeout.callbacks is not None
        timeout.callbacks.append(callback)
        return timeout

    def _arrive(self, _: Event) -> None:
        index = self._arrived
        now = self.env.now
        first, flavors = index * self.cluster.n_flavors, self.cluster.n_flavors
        service = tuple(self._service[first : first + flavors])
        job = Job(index, self.requests[index], service, size_mb=self._source_mb[index])
        self.cluster.job_arrived(now, job)
        self._arrived = index + 1
        if self._arrived < len(self.requests):
            self._after(max(0.0, self.requests[index + 1].arrival_s - now), self._arrive)
        self.epoch = Epoch.ARRIVAL

    def _tick(self, _: Event) -> None:
        self.cluster.tick(self.env.now)
        self._after(self.profile.tick_s, self._tick)
        self.epoch = Epoch.TICK

    def _cut_off(self, _: Event) -> None:
        self.cluster.tick(self.env.now)
        self.done = True
        self.epoch = Epoch.TICK

    def _woken(self, event: Event) -> None:
        if event is self._waking and not self.done:  # else a later call has moved it
            self._wake = inf
            self.cluster.tick(self.env.now)
            self.epoch = Epoch.WAKE

    def _spawn(self, flavor: int) -> None:
        now = self.env.now
        worker_id = self._next_worker
        self._next_worker += 1
        node = self._worker_nodes[worker_id] if worker_id < len(self._worker_nodes) else None
        if node is not None and not self.cluster.has_room(node, flavor):
            node = None
        worker = self.cluster.worker_spawned(now, worker_id, flavor, node)
        law = self.profile.timing.boot
        copy = self._copy_s(worker, worker_id)
        scatter = exp(law.sigma * noise.normal(self._noise, noise.BOOTS, worker_id))
        boot = (law.median_s + copy) * scatter
        wait = self._next_creation_s - now
        self._next_creation_s = max(now, self._next_creation_s) + law.spacing_s
        if wait > 0.0:
            self._uncreated.add(worker_id)
            self._after(wait, self._created, (worker, boot))
        else:
            self._nodes[worker.node].start_boot(boot, worker)
        faults = self.profile.faults
        if (
            faults.spawn_failure
            and noise.uniform(self._noise, noise.SPAWN_FAILURES, worker_id) < faults.spawn_failure
        ):
            self._doomed.add(worker_id)
        if faults.worker_loss_per_hour:
            mean = 3600.0 / faults.worker_loss_per_hour
            life = noise.exponential(self._noise, noise.LIVES, worker_id, mean)
            self._after(life, self._lost, worker)
        if self.timeline is not None:
            self.timeline.spawned(now, worker)

    def _copy_s(self, worker: Worker, number: int) -> float:
        """What the copy of the image adds to a boot that takes the usual time."""
        law = self.profile.timing.boot
        if self.cluster.nodes[worker.node].image_cached or not law.first_on_node_s:
            return 0.0
        if not law.first_on_node_sigma:
            return law.first_on_node_s
        scatter = noise.normal(self._noise, noise.COPIES, number)
        return law.first_on_node_s * exp(law.first_on_node_sigma * scatter)

    def _created(self, event: Event) -> None:
        value: Any = event.value
        worker, boot = value
        if worker.worker_id in self._uncreated:  # else it was lost before
            self._uncreated.discard(worker.worker_id)
            self._nodes[worker.node].start_boot(boot, worker)

    def _kill(self, flavor: int) -> None:
        now = self.env.now
        worker = self.cluster.next_to_end(flavor)
        if worker.state is WorkerState.BUSY:
            self.cluster.worker_retiring(now, worker.worker_id)
        else:
            self.cluster.worker_draining(now, worker.worker_id)
            self._stop(worker)

    def _stop(self, worker: Worker) -> None:
        """The worker drains: its resources are free a moment later."""
        now = self.env.now
        law = self.profile.timing.stop
        stop = law.median_s * exp(law.sigma * noise.normal(self._noise, noise.STOPS, self._stops))
        self._stops += 1
        self._after(stop, self._stopped, worker)
        if self.timeline is not None:
            self.timeline.draining(now, worker)

    def _booted(self, worker: Worker) -> None:
        now = self.env.now
        if worker.worker_id in self._doomed:
            self._doomed.discard(worker.worker_id)
            self.cluster.spawn_failed(now, worker.worker_id)
            self.epoch = Epoch.SPAWN_FAILED
            if self.timeline is not None:
                self.timeline.gone(now, worker)
            return
        self.cluster.worker_ready(now, worker.worker_id)
        self.epoch = Epoch.WORKER_READY
        if self.timeline is not None:
            self.timeline.ready(now, worker)

    def _stopped(self, event: Event) -> None:
        worker = event.value
        assert isinstance(worker, Worker)
        if worker.worker_id not in self.cluster.workers:
            return  # lost while draining
        self.cluster.worker_stopped(self.env.now, worker.worker_id)
        self.epoch = Epoch.WORKER_STOPPED
        if self.timeline is not None:
            self.timeline.gone(self.env.now, worker)

    def _lost(self, event: Event) -> None:
        worker = event.value
        assert isinstance(worker, Worker)
        if worker.worker_id not in self.cluster.workers:
            return
        if worker.state is WorkerState.BOOTING:
            if worker.worker_id in self._uncreated:
                self._uncreated.discard(worker.worker_id)
            else:
                self._nodes[worker.node].stop_boot(worker)
            self._doomed.discard(worker.worker_id)
        task = self._tasks.pop(worker.worker_id, None)
        if task is not None:
            task.alive = False
            if task.transcoding:
                self._nodes[worker.node].stop(task.load, task)
        self.cluster.worker_lost(self.env.now, worker.worker_id)
        self.epoch = Epoch.WORKER_LOST
        if self.timeline is not None:
            self.timeline.gone(self.env.now, worker)

    def _next_assignment(self) -> tuple[Job, Worker] | None:
        """The next job to hand out and its worker: any that idles will do."""
        return self.cluster.next_assignment()

    def _dispatch(self) -> None:
        cluster = self.cluster
        while cluster.waiting and cluster.n_idle:
            pair = self._next_assignment()
            if pair is None:
                return
            job, worker = pair
            now = self.env.now
            cluster.task_assigned(now, job.job_id, worker.worker_id)
            index: int = job.job_id  # type: ignore[assignment]  # our own ids are indices
            task = _Task(worker, index)
            self._tasks[worker.worker_id] = task
            self.assigned_s[index] = now
            self._after(self._download[index], self._downloaded, task)
            if self.timeline is not None:
                self.timeline.busy(now, worker)

    def _downloaded(self, event: Event) -> None:
        task = event.value
        assert isinstance(task, _Task)
        if not task.alive:
            return
        worker, index, now = task.worker, task.job, self.env.now
        flavor = worker.flavor
        usage = self.profile.timing.usage
        task.load = self._speedup[index * self.cluster.n_flavors + flavor]
        task.transcoding = True
        ram = usage.base_ram_gib + usage.ram_per_megapixel_gib * self._megapixels[index]
        self.cluster.file_downloaded(
            now,
            worker.worker_id,
            usage.transcode_cores * task.load,
            min(ram, self.cluster.flavors[flavor].ram_gib),
        )
        self.downloaded_s[index] = now
        work = self._work[index * self.cluster.n_flavors + flavor]
        error = self.profile.faults.transcode_error
        if self._luck[index] < error:
            task.fails = True
            work *= self._luck[index] / error
        self._nodes[worker.node].start(work, task.load, task)

    def _transcoded(self, task: _Task) -> None:
        worker, index, now = task.worker, task.job, self.env.now
        task.transcoding = False
        self._nodes[worker.node].change_load(-task.load)
        if task.fails:
            del self._tasks[worker.worker_id]
            self.cluster.task_failed(now, worker.worker_id)
            self.failed.append(index)
            self._task_ended(worker, index)
            return
        self.cluster.transcoding_completed(now, worker.worker_id)
        self.transcoded_s[index] = now
        self._after(self._upload[index], self._uploaded, task)

    def _uploaded(self, event: Event) -> None:
        task = event.value
        assert isinstance(task, _Task)
        if not task.alive:
            return
        del self._tasks[task.worker.worker_id]
        self.cluster.file_uploaded(self.env.now, task.worker.worker_id)
        self._task_ended(task.worker, task.job)

    def _task_ended(self, worker: Worker, index: int) -> None:
        now = self.env.now
        self.ended_s[index] = now
        self.epoch = Epoch.TASK_ENDED
        if worker.state is WorkerState.DRAINING:
            self._stop(worker)
        elif self.timeline is not None:
            self.timeline.idle(now, worker)
        if (
            self._ends_with_jobs
            and self._arrived == len(self.requests)
            and not self.cluster.jobs_in_system
        ):
            self.done = True
