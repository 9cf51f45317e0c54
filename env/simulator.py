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

from env.actions import Action, ActionKind
from env.catalog import Catalog
from env.cluster import Cluster
from env.config import Profile
from env.contention import SharedNode
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


def _streams(seed: int) -> tuple[np.random.SeedSequence, ...]:
    """Independent sources of chance: the jobs, the boots and stops, the faults, the copies."""
    return tuple(np.random.SeedSequence(seed).spawn(4))


def setup_scatter(seed: int, n: int) -> NDArray[np.float64]:
    """The first n standard normal draws that a run's boots and stops take, in their order."""
    return np.random.default_rng(_streams(seed)[1]).standard_normal(n)


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


def copy_scatter(seed: int, n: int) -> NDArray[np.float64]:
    """The first n standard normal draws that copies of the image take, where they scatter."""
    return np.random.default_rng(_streams(seed)[3]).standard_normal(n)


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
        expected = self.timing if believed is None else TimingModel(believed)
        self.cluster = Cluster(
            expected.profile, preference=preference, discipline=discipline, boot_s=expected.boot_s
        )
        self.timeline = timeline
        self._worker_nodes = worker_nodes
        if any(not a.arrival_s <= b.arrival_s for a, b in pairwise(requests)):
            raise ValueError("the requests are not in order of arrival: sort them by arrival_s")
        self._draw(requests, catalog, seed)
        if believed is not None:
            self._service = expected.describe(requests, catalog).service_s.ravel().tolist()
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
        self._next_worker = 0
        self._doomed: set[Hashable] = set()  # booting workers that will never come
        self._uncreated: set[Hashable] = set()  # ordered, but the cloud has not begun
        self._next_creation_s = 0.0
        self._wake = inf
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

    def _draw(self, requests: Sequence[Request], catalog: Catalog, seed: int) -> None:
        """Draw all that belongs to the jobs at once, so that no decision can change it."""
        jobs, boots, faults, copies = _streams(seed)
        rng = np.random.default_rng(jobs)
        n = len(requests)
        timing, law = self.timing.describe(requests, catalog), self.profile.timing
        scatter = np.exp(law.transcode.sigma * rng.standard_normal(n))
        # Flat lists of (request, flavor): thousands of small ones would keep the garbage
        # collector busy at the start of each episode.
        self._work = (timing.transcode_s * scatter[:, None]).ravel().tolist()
        self._download = (
            timing.download_s * np.exp(law.download.sigma * rng.standard_normal(n))
        ).tolist()
        self._upload = (
            timing.upload_s * np.exp(law.upload.sigma * rng.standard_normal(n))
        ).tolist()
        # Below the error probability the draw also tells how far the transcode comes.
        self._luck = rng.random(n).tolist()
        self._service = timing.service_s.ravel().tolist()
        self._speedup = timing.speedup.ravel().tolist()
        self._megapixels = timing.megapixels.tolist()
        self._source_mb = timing.source_mb.tolist()
        self._boot_rng = np.random.default_rng(boots)
        self._fault_rng = np.random.default_rng(faults)
        self._copy_rng = np.random.default_rng(copies)

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
            self._after(time_s - self.env.now, self._woken, time_s)

    def reference_cost_rate(self) -> float:
        """What a second of this run would cost if each job found a booted smallest worker.

        Nothing waits, nothing boots, nothing idles: the offered load in erlangs times
        ``w + (1 - w) * flavor cost``, and half an erlang more so that the quietest runs do not
        outweigh all others. It only brings the costs of quiet and of busy runs to one scale.
        """
        last = self.requests[-1].arrival_s if self.requests else 0.0
        span = max(last, _LEAST_SPAN_S) if self._ends_with_jobs else self.limit_s
        erlangs = float(sum(self._service[:: self.cluster.n_flavors])) / span
        w = self.cluster.preference
        return (erlangs + _LEAST_ERLANGS) * (w + (1.0 - w) * self.cluster.flavor_cost(0))

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

    def _after(self, delay: float, callback: Callable[[Event], None], value: Any = None) -> None:
        # A bare Timeout with a callback: SimPy processes (generators) cost three times as much.
        timeout = Timeout(self.env, delay, value)
        assert timeout.callbacks is not None
        timeout.callbacks.append(callback)

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
        if event.value == self._wake and not self.done:
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
        copy = self._copy_s(worker)
        boot = (law.median_s + copy) * exp(law.sigma * self._boot_rng.standard_normal())
        wait = self._next_creation_s - now
        self._next_creation_s = max(now, self._next_creation_s) + law.spacing_s
        if wait > 0.0:
            self._uncreated.add(worker_id)
            self._after(wait, self._created, (worker, boot))
        else:
            self._nodes[worker.node].start_boot(boot, worker)
        faults = self.profile.faults
        if faults.spawn_failure and self._fault_rng.random() < faults.spawn_failure:
            self._doomed.add(worker_id)
        if faults.worker_loss_per_hour:
            life = self._fault_rng.exponential(3600.0 / faults.worker_loss_per_hour)
            self._after(life, self._lost, worker)
        if self.timeline is not None:
            self.timeline.spawned(now, worker)

    def _copy_s(self, worker: Worker) -> float:
        """What the copy of the image adds to a boot that takes the usual time."""
        law = self.profile.timing.boot
        if self.cluster.nodes[worker.node].image_cached or not law.first_on_node_s:
            return 0.0
        if not law.first_on_node_sigma:
            return law.first_on_node_s
        scatter = exp(law.first_on_node_sigma * self._copy_rng.standard_normal())
        return law.first_on_node_s * scatter

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
        stop = law.median_s * exp(law.sigma * self._boot_rng.standard_normal())
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
