"""The cluster's state machine: the only owner of state, in training and in production.

Events go in through one method each, in time order; an event that the state does not
allow raises `IllegalEventError` and changes nothing. Everything that a policy, the
observation or a metric needs at every event is kept up to date by those methods: reading it does
not walk workers or jobs. `first_to_end` walks the workers, `oldest_unserved_since` the held jobs.

Time counts in seconds from the start of the driver's life (of the simulated run, or of the
controller): sums of absolute times stay exact to a microsecond over years. What a controller finds
after a restart enters by the `restore` methods, with times that may lie before 0.

The cluster orders within its limits, but a cloud has the last word: it may place a worker
elsewhere, and what is found after a restart may exceed a limit or a node. Then a node's free
figures are negative, nothing more fits there, what is reserved in all still counts against the
capacity in all, and all books stay true.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Final, NamedTuple

from env.actions import Action, ActionKind
from env.arrivals import ArrivalStatistics
from env.config import FlavorConfig, Profile
from env.dispatch import waiting_jobs
from env.errors import IllegalEventError
from env.jobs import Job
from env.level import Level
from env.node import MIB_PER_GIB, MILLI, Node, used_mib, used_millicores
from env.placement import Placement
from env.worker import TaskPhase, Worker, WorkerState

SERVICE_MEMORY: Final = 0.02
"""Weight of the newest job in the running mean of the service time (about the last 50)."""

LASTING_RUSH_S: Final = 300.0
"""A backlog that takes so long to drain is a rush that lasts, seconds. To retire workers in shorter
ones costs more than it saves (docs/experiments.md)."""


class Sizes(NamedTuple):
    """What a cluster counts with, and what never changes of it.

    Attributes:
        millicores, mib: of a worker of each flavor.
        limit_millicores, limit_mib, max_workers: most that may be reserved, most workers.
        cpu_weight, ram_weight: equivalent cores of a reserved millicore, of a reserved MiB.
    """

    millicores: tuple[int, ...]
    mib: tuple[int, ...]
    limit_millicores: int
    limit_mib: int
    max_workers: int
    cpu_weight: float
    ram_weight: float


class Cluster:
    """Nodes, workers, queue and running totals.

    Args:
        profile: the data centre (see `env.config.Profile`).
        preference: w, the operator's dial: 0.1 lean .. 0.9 fast.
        discipline: queue discipline, see `env.dispatch`.
        boot_s: expected boot time on a warm node, seconds (from the timing model).

    Attributes:
        now: time of the latest event, seconds.
        waiting: jobs in the queue, that may be handed out now.
        held: jobs that wait too, but may not be handed out for the time being. Policies do not
            see them: a worker would have nothing to do for them.
        gate_open: false while no job at all may be handed out.
        in_service: jobs on workers.
        booting, idle, busy, draining: workers in each state, one figure for each flavor.
        n_retiring: busy workers that will end after their job.
        queued_service_s: expected service seconds of the queue on each flavor.
        fits: whether one more worker of each flavor fits now.
        mean_service_s: running mean of the expected service time on each flavor.
        arrivals: what has been learned from them.
        completed, failed, boots, spawn_failures, workers_lost, requeued: counts so far.
        registered_of, spawn_failures_of: workers of each flavor that have booted, and those
            that never came, so far.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        preference: float = 0.5,
        discipline: str = "sjf",
        boot_s: float | None = None,
    ) -> None:
        config = profile.cluster
        self.profile = profile
        self.config = config
        self.preference = preference
        self.boot_s = profile.timing.boot.median_s if boot_s is None else boot_s
        self.flavors: tuple[FlavorConfig, ...] = config.flavors
        self.n_flavors = len(config.flavors)
        self.vcpus = [flavor.vcpus for flavor in config.flavors]
        self._millicores = [flavor.vcpus * MILLI for flavor in config.flavors]
        self._mib = [round(flavor.ram_gib * MIB_PER_GIB) for flavor in config.flavors]

        self.nodes = [
            Node(i, node, config.vcpu_overcommit, config.ram_overcommit)
            for i, node in enumerate(config.nodes)
        ]
        for node in self.nodes:
            node.image_cached = profile.image_cached
        self.nodes_cached = len(self.nodes) if profile.image_cached else 0
        self._placement = Placement(config.placement, self.nodes)
        self.cores = float(sum(node.cores for node in config.nodes))
        self._capacity_millicores = sum(node.capacity_millicores for node in self.nodes)
        self._capacity_mib = sum(node.capacity_mib for node in self.nodes)
        self.capacity_vcpus = self._capacity_millicores / MILLI
        self.capacity_ram_gib = self._capacity_mib / MIB_PER_GIB
        self._max_workers = config.max_workers if config.max_workers is not None else 1 << 60
        self._limit_millicores = (
            self._capacity_millicores
            if config.max_vcpus is None
            else min(self._capacity_millicores, round(config.max_vcpus * MILLI))
        )
        self._limit_mib = (
            self._capacity_mib
            if config.max_ram_gib is None
            else min(self._capacity_mib, round(config.max_ram_gib * MIB_PER_GIB))
        )
        self._cpu_weight = 0.5 * self.cores / self._capacity_millicores
        self._ram_weight = 0.5 * self.cores / self._capacity_mib
        self._flavor_cost = [
            self._cpu_weight * cpu + self._ram_weight * ram
            for cpu, ram in zip(self._millicores, self._mib, strict=True)
        ]
        self._capacity_of = [self._holds(flavor) for flavor in range(self.n_flavors)]

        self.now = 0.0
        self.workers: dict[Hashable, Worker] = {}
        self.booting = [0] * self.n_flavors
        self.idle = [0] * self.n_flavors
        self.busy = [0] * self.n_flavors
        self.draining = [0] * self.n_flavors
        self.n_booting = self.n_idle = self.n_busy = self.n_draining = self.n_retiring = 0
        self._idle_workers: list[OrderedDict[Hashable, Worker]] = [
            OrderedDict() for _ in range(self.n_flavors)
        ]
        self._booting_workers: OrderedDict[Hashable, Worker] = OrderedDict()
        self._busy_until = 0.0  # sum of expected_end over busy workers
        self._ends: list[tuple[float, int, Worker]] = []

        self.jobs: dict[Hashable, Job] = {}
        self._queue = waiting_jobs(discipline)
        self._waiting_jobs: set[Job] = set()
        self._by_arrival: list[tuple[float, int, Job]] = []
        self._order = count()
        self._held: dict[Hashable, Job] = {}  # each until it is released
        self._gated: dict[Hashable, Job] = {}  # until the gate opens
        self.gate_open = True
        self.waiting = self.held = 0
        self.in_service = 0
        self.queued_service_s = [0.0] * self.n_flavors
        self.mean_service_s = [0.0] * self.n_flavors
        self.arrivals = ArrivalStatistics()

        self.jobs_level = Level()
        self.reserved_cpu = Level()
        self.reserved_ram = Level()
        self.used_cpu = Level()
        self.used_ram = Level()
        self.busy_cpu = Level()
        self.fits = [True] * self.n_flavors
        self._update_fits()
        self.completed = self.failed = 0
        self.boots = self.spawn_failures = self.workers_lost = self.requeued = 0
        self.registered_of = [0] * self.n_flavors
        self.spawn_failures_of = [0] * self.n_flavors

    # -- what may be read -------------------------------------------------------------

    @property
    def sizes(self) -> Sizes:
        """What the cluster counts with."""
        return Sizes(
            tuple(self._millicores),
            tuple(self._mib),
            self._limit_millicores,
            self._limit_mib,
            self._max_workers,
            self._cpu_weight,
            self._ram_weight,
        )

    @property
    def jobs_in_system(self) -> int:
        """Jobs waiting, those that are held included, or in process: N(t)."""
        return self.waiting + self.held + self.in_service

    @property
    def n_workers(self) -> int:
        """Workers that hold resources, draining ones included."""
        return len(self.workers)

    @property
    def reserved_vcpus(self) -> float:
        """VCPUs reserved now."""
        return self.reserved_cpu.value / MILLI

    @property
    def reserved_ram_gib(self) -> float:
        """RAM reserved now, GiB."""
        return self.reserved_ram.value / MIB_PER_GIB

    @property
    def reserved_cores(self) -> float:
        """R(t): what is reserved now, in equivalent cores (see `env.cost`)."""
        return (
            self._cpu_weight * self.reserved_cpu.value + self._ram_weight * self.reserved_ram.value
        )

    def jobs_integral(self) -> float:
        """Integral of N over time up to now, job-seconds."""
        return self.jobs_level.integral(self.now)

    def reserved_cores_integral(self) -> float:
        """Integral of R over time up to now, equivalent core-seconds."""
        now = self.now
        return self._cpu_weight * self.reserved_cpu.integral(
            now
        ) + self._ram_weight * self.reserved_ram.integral(now)

    def reserved_vcpu_integral(self) -> float:
        """Integral of the reserved vCPUs up to now, vCPU-seconds."""
        return self.reserved_cpu.integral(self.now) / MILLI

    def busy_vcpu_integral(self) -> float:
        """Integral of the vCPUs of busy workers up to now, vCPU-seconds."""
        return self.busy_cpu.integral(self.now) / MILLI

    @property
    def speed(self) -> float:
        """Of all workers that boot, idle or serve, in workers of the smallest flavor."""
        return sum(
            (self.booting[flavor] + self.idle[flavor] + self.busy[flavor])
            * self._relative_speed(flavor)
            for flavor in range(self.n_flavors)
        )

    def _relative_speed(self, flavor: int) -> float:
        """Of a worker of the flavor, in workers of the smallest."""
        own_s = self.mean_service_s[flavor]
        return self.mean_service_s[0] / own_s if own_s > 0 else 1.0

    @property
    def drain_s(self) -> float:
        """How long the workers (one at least) would take for the queue, seconds."""
        return max(0.0, self.queued_service_s[0]) / max(1.0, self.speed)

    def flavor_cost(self, flavor: int) -> float:
        """What one worker of the flavor adds to R, in equivalent cores."""
        return self._flavor_cost[flavor]

    def break_even_s(self, flavor: int) -> float:
        """Idle seconds of a worker that cost as much as a new boot and a job's wait for it.

        With w the preference, c the worker's equivalent cores and b its boot, to idle costs
        ``(1 - w) c`` a second and to boot again ``w b + (1 - w) c b``: see `agents.break_even`.
        """
        w = self.preference
        return self.boot_s * (1.0 + w / ((1.0 - w) * self._flavor_cost[flavor]))

    def capacity_of(self, flavor: int) -> int:
        """How many workers of the flavor the empty cluster holds."""
        return self._capacity_of[flavor]

    def can_spawn(self, flavor: int) -> bool:
        """Whether one more worker of the flavor fits now."""
        return self.fits[flavor]

    def can_kill(self, flavor: int) -> bool:
        """Whether the flavor has a worker that idles, or may be retired."""
        return self.idle[flavor] > 0 or self.can_retire(flavor)

    def can_retire(self, flavor: int) -> bool:
        """Whether a busy worker of the flavor may be ordered to end after its job.

        A worker that is always busy never idles. In a rush that fills the cluster a large one would
        keep its cores to the end, although several of the smallest flavor would get more done with
        them. So it may be retired while the nodes have no room for one of the smallest flavor and
        the backlog is that of a rush that lasts: one worker at a time, for the room that it leaves
        has to be used first.
        """
        return (
            flavor > 0
            and self.waiting > 0
            and self.busy[flavor] > 0
            and not self.n_retiring
            and not self.fits[0]
            and len(self.workers) < self._max_workers
            and self.drain_s >= LASTING_RUSH_S
        )

    def can(self, action: Action) -> bool:
        """Whether the action can be carried out now (one of no such flavor cannot)."""
        if action.kind is ActionKind.KEEP:
            return True
        flavor = action.flavor
        if not 0 <= flavor < self.n_flavors:
            return False
        return self.fits[flavor] if action.kind is ActionKind.SPAWN else self.can_kill(flavor)

    def longest_idle(self, flavor: int) -> Worker | None:
        """The flavor's longest-idle worker."""
        workers = self._idle_workers[flavor]
        return next(iter(workers.values())) if workers else None

    def first_to_end(self, flavor: int) -> Worker | None:
        """The flavor's busy worker whose job is expected to end first."""
        busy = [
            worker
            for worker in self.workers.values()
            if worker.flavor == flavor and worker.state is WorkerState.BUSY
        ]
        return min(busy, key=lambda worker: worker.expected_end, default=None)

    def next_to_end(self, flavor: int) -> Worker:
        """Whom the order to end one of the flavor is for: the longest-idle, or the first to end.

        A busy one is `worker_retiring` then, an idle one `worker_draining`.

        Raises:
            ValueError: nobody of the flavor idles or works (`can_kill` tells before).
        """
        worker = self.longest_idle(flavor) or self.first_to_end(flavor)
        if worker is None:
            raise ValueError(f"no worker of flavor {flavor} can be ordered to end")
        return worker

    @property
    def oldest_boot(self) -> Worker | None:
        """The booting worker whose spawn was ordered first."""
        return next(iter(self._booting_workers.values())) if self._booting_workers else None

    @property
    def oldest_waiting_since(self) -> float | None:
        """Arrival time of the oldest job in the queue."""
        self._drop_served()
        return self._by_arrival[0][0] if self._by_arrival else None

    @property
    def oldest_unserved_since(self) -> float | None:
        """Arrival time of the oldest job that waits, be it held or not; O(jobs held)."""
        since = [job.arrival_s for jobs in (self._held, self._gated) for job in jobs.values()]
        in_queue = self.oldest_waiting_since
        return min(since if in_queue is None else [*since, in_queue], default=None)

    @property
    def head_job(self) -> Job | None:
        """The job that the discipline serves next."""
        return self._queue.head(self.now)

    def in_turn(self) -> Iterator[Job]:
        """The jobs in the queue as they would be served now, the head first; O(n log n)."""
        return self._queue.in_order(self.now)

    @property
    def next_expected_end(self) -> float | None:
        """When the first busy worker is expected to end its job (may have passed)."""
        self._drop_ended()
        return self._ends[0][0] if self._ends else None

    @property
    def mean_remaining_s(self) -> float:
        """Expected remaining service, averaged over the busy workers, seconds."""
        return self._busy_until / self.n_busy - self.now if self.n_busy else 0.0

    def choose_node(self, flavor: int) -> int | None:
        """Index of the node where the placement would put a worker of the flavor."""
        if not self.fits[flavor]:
            return None
        room = self._placement.choose(self._millicores[flavor], self._mib[flavor])
        return None if room is None else room.index

    def has_room(self, node: int, flavor: int) -> bool:
        """Whether a worker of the flavor fits on the node."""
        room = self.nodes[node]
        return (
            room.free_millicores >= self._millicores[flavor] and room.free_mib >= self._mib[flavor]
        )

    def is_waiting(self, job_id: Hashable) -> bool:
        """Whether a job is in the queue or held."""
        job = self.jobs.get(job_id)
        return job is not None and (
            job in self._waiting_jobs or job_id in self._held or job_id in self._gated
        )

    def next_assignment(
        self, may_do: Callable[[Job, Worker], bool] | None = None
    ) -> tuple[Job, Worker] | None:
        """The next job to dispatch and its worker: the largest idle, last to become idle.

        The last to become idle is taken so that the longest-idle can be killed.

        Args:
            may_do: whether an idle worker may be given a job. A job that none of them may be given
                now is passed over, and a worker that may be given none. Any may, by default.
        """
        job = self.head_job if self.n_idle else None
        if job is None:
            return None
        if may_do is not None:
            idle = [
                worker
                for each in reversed(self._idle_workers)
                for worker in reversed(each.values())
            ]
            for job in self._queue.in_order(self.now):
                for worker in idle:
                    if may_do(job, worker):
                        return job, worker
            return None
        for workers in reversed(self._idle_workers):
            if workers:
                return job, workers[next(reversed(workers))]
        raise AssertionError("an idle worker is counted but not listed")

    # -- events: jobs -----------------------------------------------------------------

    def job_arrived(self, now: float, job: Job) -> None:
        """A client's job enters the queue."""
        self._check_new(job, "job_arrived")
        self._pass(now, "job_arrived", job.job_id)
        job.arrival_s = now
        self.jobs[job.job_id] = job
        self._enqueue(job)
        self.jobs_level.add(now, 1)
        weight = max(SERVICE_MEMORY, 1.0 / (self.arrivals.count + 1))
        means = self.mean_service_s
        for flavor, service in enumerate(job.service_s):
            means[flavor] += weight * (service - means[flavor])
        self.arrivals.observe(now, job.service_s[0])

    def task_assigned(
        self, now: float, job_id: Hashable, worker_id: Hashable, *, out_of_turn: bool = False
    ) -> None:
        """The job at the head of the queue goes to an idle worker, which downloads it.

        Args:
            now: seconds.
            job_id: the job.
            worker_id: an idle worker.
            out_of_turn: the job need not be at the head: those before it may not be given to
                this worker.

        Raises:
            IllegalEventError: also when the job is not at the head otherwise: dispatch follows
                the discipline.
        """
        worker = self._worker_in(worker_id, WorkerState.IDLE, "task_assigned")
        job = self._queue.head(now)
        at_head = job is not None and job.job_id == job_id
        if not at_head and out_of_turn:
            job = self.jobs.get(job_id)
        if job is None or job.job_id != job_id or job not in self._waiting_jobs:
            state = "is not at the head of the queue" if job_id in self.jobs else "is unknown"
            raise IllegalEventError("task_assigned", job_id, f"the job {state}")
        self._pass(now, "task_assigned", job_id)
        if at_head:
            self._queue.take(now)
        else:
            self._queue.remove((job,))
        self._no_longer_queued(job)
        job.attempts += 1
        self._begin(now, worker, job, now)

    def job_held(self, now: float, job_id: Hashable) -> None:
        """A waiting job may not be handed out until it is released; it keeps its arrival."""
        job = self._waiting_job(job_id, "job_held")
        if job_id in self._held:
            raise IllegalEventError("job_held", job_id, "the job is held already")
        self._pass(now, "job_held", job_id)
        self._take_out(job)
        self._held[job_id] = job
        self.held += 1

    def job_released(self, now: float, job_id: Hashable) -> None:
        """A job that was held may be handed out, as soon as the gate is open."""
        job = self._held.get(job_id)
        if job is None:
            raise IllegalEventError("job_released", job_id, "the job is not held")
        self._pass(now, "job_released", job_id)
        self._take_out(job)
        self._enqueue(job)

    def gate_closed(self, now: float) -> None:
        """No job may be handed out until the gate opens; what is in process goes on."""
        if not self.gate_open:
            raise IllegalEventError("gate_closed", "gate", "it is closed already")
        self._pass(now, "gate_closed", "gate")
        self.gate_open = False
        jobs = list(self._queue.in_order(now))
        self._queue.remove(self._waiting_jobs)
        for job in jobs:
            self._no_longer_queued(job)
            self._enqueue(job)

    def gate_opened(self, now: float) -> None:
        """Jobs may be handed out again."""
        if self.gate_open:
            raise IllegalEventError("gate_opened", "gate", "it is open already")
        self._pass(now, "gate_opened", "gate")
        self.gate_open = True
        jobs = list(self._gated.values())
        self._gated.clear()
        self.held -= len(jobs)
        for job in jobs:
            self._enqueue(job)

    def job_withdrawn(self, now: float, job_id: Hashable) -> Job:
        """A job that waits, held or not, ends in error: it cannot be done."""
        job = self._waiting_job(job_id, "job_withdrawn")
        self._pass(now, "job_withdrawn", job_id)
        self._take_out(job)
        self.failed += 1
        self._leave(now, job)
        return job

    def file_downloaded(
        self, now: float, worker_id: Hashable, used_cores: float = 0.0, used_ram_gib: float = 0.0
    ) -> None:
        """A busy worker has its input and transcodes; it uses this much CPU and RAM."""
        worker = self._worker_in_phase(worker_id, TaskPhase.DOWNLOADING, "file_downloaded")
        self._pass(now, "file_downloaded", worker_id)
        worker.phase = TaskPhase.TRANSCODING
        self._use(now, worker, used_cores, used_ram_gib)

    def transcoding_completed(self, now: float, worker_id: Hashable) -> None:
        """A busy worker has transcoded and uploads."""
        worker = self._worker_in_phase(worker_id, TaskPhase.TRANSCODING, "transcoding_completed")
        self._pass(now, "transcoding_completed", worker_id)
        worker.phase = TaskPhase.UPLOADING
        self._use_idle(now, worker)

    def file_uploaded(self, now: float, worker_id: Hashable) -> Job:
        """A busy worker has delivered its result: the job is complete, the worker free."""
        worker = self._worker_in_phase(worker_id, TaskPhase.UPLOADING, "file_uploaded")
        self._pass(now, "file_uploaded", worker_id)
        self.completed += 1
        job = self._end_task(now, worker)
        self._leave(now, job)
        self._become_free(now, worker)
        return job

    def task_failed(self, now: float, worker_id: Hashable) -> Job:
        """A busy worker reports an error: the job ends in error, the worker is free."""
        worker = self._worker_in(worker_id, WorkerState.BUSY, "task_failed")
        self._pass(now, "task_failed", worker_id)
        self.failed += 1
        job = self._end_task(now, worker)
        self._leave(now, job)
        self._become_free(now, worker)
        self._use_idle(now, worker)
        return job

    def task_requeued(self, now: float, worker_id: Hashable) -> Job:
        """A busy worker could not finish, and others may: the job waits again, it is free."""
        worker = self._worker_in(worker_id, WorkerState.BUSY, "task_requeued")
        self._pass(now, "task_requeued", worker_id)
        job = self._requeue(now, worker)
        self._become_free(now, worker)
        self._use_idle(now, worker)
        return job

    # -- events: workers --------------------------------------------------------------

    def worker_spawned(
        self, now: float, worker_id: Hashable, flavor: int, node: int | None = None
    ) -> Worker:
        """A worker was ordered; it boots and holds its resources from now on.

        Args:
            now: seconds.
            worker_id: a new id.
            flavor: index of the flavor.
            node: where it lands; by default where the placement puts it.

        Raises:
            IllegalEventError: the id is taken, or a limit or the nodes leave no room.
        """
        if worker_id in self.workers:
            raise IllegalEventError("worker_spawned", worker_id, "the worker is already known")
        if not 0 <= flavor < self.n_flavors:
            raise IllegalEventError("worker_spawned", worker_id, f"there is no flavor {flavor}")
        where = self.choose_node(flavor) if node is None else node
        if where is None or not self.fits[flavor]:
            raise IllegalEventError(
                "worker_spawned", worker_id, f"no room for {self.flavors[flavor].name}"
            )
        if not 0 <= where < len(self.nodes):
            raise IllegalEventError("worker_spawned", worker_id, f"there is no node {where}")
        room = self.nodes[where]
        if not self.has_room(where, flavor):
            raise IllegalEventError(
                "worker_spawned", worker_id, f"node {room.config.name} has no room for it"
            )
        self._pass(now, "worker_spawned", worker_id)
        self.boots += 1
        return self._boot(now, Worker(worker_id, flavor, where, now))

    def worker_placed(self, now: float, worker_id: Hashable, node: int) -> None:
        """The cloud put a worker on this node: its reservation moves, be there room or not."""
        worker = self._known_worker(worker_id, "worker_placed")
        if not 0 <= node < len(self.nodes):
            raise IllegalEventError("worker_placed", worker_id, f"there is no node {node}")
        self._pass(now, "worker_placed", worker_id)
        if node == worker.node:
            return
        left, found = self.nodes[worker.node], self.nodes[node]
        millicores, mib = self._millicores[worker.flavor], self._mib[worker.flavor]
        if worker.state is WorkerState.BOOTING:
            left.n_booting -= 1
            found.n_booting += 1
        left.used_cpu.add(now, -worker.used_millicores)
        found.used_cpu.add(now, worker.used_millicores)
        left.used_ram.add(now, -worker.used_mib)
        found.used_ram.add(now, worker.used_mib)
        self._reserve_on(now, left, -millicores, -mib, -1)
        self._reserve_on(now, found, millicores, mib, 1)
        worker.node = node
        if worker.state in (WorkerState.IDLE, WorkerState.BUSY):  # it has booted there
            self._hold_image(found)
        self._update_fits()

    def worker_ready(self, now: float, worker_id: Hashable) -> None:
        """A booting worker has registered: it is idle."""
        worker = self._worker_in(worker_id, WorkerState.BOOTING, "worker_ready")
        self._pass(now, "worker_ready", worker_id)
        node = self.nodes[worker.node]
        self.registered_of[worker.flavor] += 1
        self._end_boot(worker, node)
        self._hold_image(node)
        self._become_idle(now, worker)
        self._use_idle(now, worker)

    def spawn_failed(self, now: float, worker_id: Hashable) -> None:
        """A booting worker will never come: its resources are free."""
        worker = self._worker_in(worker_id, WorkerState.BOOTING, "spawn_failed")
        self._pass(now, "spawn_failed", worker_id)
        self.spawn_failures += 1
        self.spawn_failures_of[worker.flavor] += 1
        self._end_boot(worker, self.nodes[worker.node])
        self._remove(now, worker)

    def worker_draining(self, now: float, worker_id: Hashable) -> None:
        """An idle worker was ordered to end; it holds its resources until it is gone."""
        worker = self._worker_in(worker_id, WorkerState.IDLE, "worker_draining")
        self._pass(now, "worker_draining", worker_id)
        self._leave_idle(worker)
        self._drain(worker)

    def worker_retiring(self, now: float, worker_id: Hashable) -> None:
        """A busy worker was ordered to end after its job; from then on it drains."""
        worker = self._worker_in(worker_id, WorkerState.BUSY, "worker_retiring")
        if worker.retiring:
            raise IllegalEventError("worker_retiring", worker_id, "the worker is retiring already")
        self._pass(now, "worker_retiring", worker_id)
        worker.retiring = True
        self.n_retiring += 1

    def worker_stopped(self, now: float, worker_id: Hashable) -> None:
        """A draining worker is gone."""
        worker = self._worker_in(worker_id, WorkerState.DRAINING, "worker_stopped")
        self._pass(now, "worker_stopped", worker_id)
        self.draining[worker.flavor] -= 1
        self.n_draining -= 1
        self._remove(now, worker)

    def worker_lost(self, now: float, worker_id: Hashable) -> Job | None:
        """A worker vanished in any state; its job, if any, goes back to the queue.

        Returns:
            The job that was put back.
        """
        worker = self._known_worker(worker_id, "worker_lost")
        self._pass(now, "worker_lost", worker_id)
        self.workers_lost += 1
        job: Job | None = None
        if worker.state is WorkerState.DRAINING:
            self.draining[worker.flavor] -= 1
            self.n_draining -= 1
        else:
            job = self._leave_service(now, worker)
        self._remove(now, worker)
        return job

    def worker_abandoned(self, now: float, worker_id: Hashable) -> Job | None:
        """A worker that never came or fell silent is ordered to end; its job waits again.

        Unlike one that is known to be lost it may still exist: it holds its resources, as a
        draining worker does, until it is gone.

        Returns:
            The job that was put back.
        """
        worker = self._known_worker(worker_id, "worker_abandoned")
        if worker.state is WorkerState.DRAINING:
            raise IllegalEventError("worker_abandoned", worker_id, "the worker is draining already")
        self._pass(now, "worker_abandoned", worker_id)
        if worker.state is WorkerState.BOOTING:
            self.spawn_failures += 1
            self.spawn_failures_of[worker.flavor] += 1
        else:
            self.workers_lost += 1
        job = self._leave_service(now, worker)
        self._use_idle(now, worker)
        self._drain(worker)
        return job

    # -- what a restarted driver finds ------------------------------------------------

    def restore_job(self, now: float, job: Job) -> None:
        """A job of an earlier life waits, since `job.arrival_s`; no arrival is counted."""
        self._check_new(job, "restore_job")
        self._check_past(now, job.arrival_s, "restore_job", job.job_id)
        self._pass(now, "restore_job", job.job_id)
        self.jobs[job.job_id] = job
        self._enqueue(job)
        self.jobs_level.add(now, 1)

    def restore_worker(
        self, now: float, worker_id: Hashable, flavor: int, node: int, spawned_at: float
    ) -> Worker:
        """A worker of an earlier life exists and boots (or is `worker_ready` next).

        It is no new boot, and no limit keeps it out: it is there.

        Args:
            now: seconds.
            worker_id: a new id.
            flavor: index of the flavor.
            node: where it runs.
            spawned_at: when it was ordered, seconds; may be below 0.
        """
        if worker_id in self.workers:
            raise IllegalEventError("restore_worker", worker_id, "the worker is already known")
        if not 0 <= flavor < self.n_flavors or not 0 <= node < len(self.nodes):
            raise IllegalEventError(
                "restore_worker", worker_id, f"there is no flavor {flavor} or no node {node}"
            )
        self._check_past(now, spawned_at, "restore_worker", worker_id)
        self._pass(now, "restore_worker", worker_id)
        return self._boot(now, Worker(worker_id, flavor, node, spawned_at))

    def restore_image(self, node: int) -> None:
        """A worker of an earlier life has booted on this node: its next boot is no first one."""
        if not 0 <= node < len(self.nodes):
            raise IllegalEventError("restore_image", node, f"there is no node {node}")
        self._hold_image(self.nodes[node])

    def restore_task(self, now: float, worker_id: Hashable, job: Job, assigned_at: float) -> None:
        """An idle worker has in fact had this job since `assigned_at`; it downloads.

        Of a task that is further than that, the events that had been seen follow.
        """
        worker = self._worker_in(worker_id, WorkerState.IDLE, "restore_task")
        self._check_new(job, "restore_task")
        for then in (job.arrival_s, assigned_at):
            self._check_past(now, then, "restore_task", worker_id)
        self._pass(now, "restore_task", worker_id)
        self.jobs[job.job_id] = job
        self.jobs_level.add(now, 1)
        self._begin(now, worker, job, assigned_at)

    def tick(self, now: float) -> None:
        """Time has passed and nothing else has happened."""
        self._pass(now, "tick", now)

    # -- how they are carried out -----------------------------------------------------

    def _hold_image(self, node: Node) -> None:
        if not node.image_cached:
            node.image_cached = True
            self.nodes_cached += 1

    def _check_past(self, now: float, then: float, event: str, subject: Hashable) -> None:
        if not -inf < then <= now:
            raise IllegalEventError(event, subject, f"time {then} is not one up to {now}")

    def _pass(self, now: float, event: str, subject: Hashable) -> None:
        if not self.now <= now < inf:
            raise IllegalEventError(event, subject, f"time {now} is not a time from {self.now} on")
        self.now = now

    def _known_worker(self, worker_id: Hashable, event: str) -> Worker:
        worker = self.workers.get(worker_id)
        if worker is None:
            raise IllegalEventError(event, worker_id, "the worker is unknown")
        return worker

    def _worker_in(self, worker_id: Hashable, state: WorkerState, event: str) -> Worker:
        worker = self.workers.get(worker_id)
        if worker is None or worker.state is not state:
            worker = self._known_worker(worker_id, event)
            raise IllegalEventError(
                event, worker_id, f"the worker is {worker.state.name.lower()}, not {state.name}"
            )
        return worker

    def _worker_in_phase(self, worker_id: Hashable, phase: TaskPhase, event: str) -> Worker:
        worker = self.workers.get(worker_id)
        if worker is None or worker.phase is not phase:
            worker = self._known_worker(worker_id, event)
            doing = worker.phase if worker.phase is not TaskPhase.NONE else worker.state
            raise IllegalEventError(
                event, worker_id, f"the worker is {doing.name.lower()}, not {phase.name}"
            )
        return worker

    def _waiting_job(self, job_id: Hashable, event: str) -> Job:
        if not self.is_waiting(job_id):
            state = "is in process" if job_id in self.jobs else "is unknown"
            raise IllegalEventError(event, job_id, f"the job {state}")
        return self.jobs[job_id]

    def _take_out(self, job: Job) -> None:
        """Of the queue, or from among those that are held."""
        if job in self._waiting_jobs:
            self._queue.remove((job,))
            self._no_longer_queued(job)
            return
        for jobs in (self._held, self._gated):
            if jobs.pop(job.job_id, None) is not None:
                self.held -= 1

    def _no_longer_queued(self, job: Job) -> None:
        self._waiting_jobs.discard(job)
        self.waiting -= 1
        queued = self.queued_service_s
        for i, service in enumerate(job.service_s):
            queued[i] -= service
        if not self.waiting:  # do not let rounding errors stay
            self.queued_service_s = [0.0] * self.n_flavors

    def _enqueue(self, job: Job) -> None:
        if not self.gate_open:
            self._gated[job.job_id] = job
            self.held += 1
            return
        self._queue.add(job)
        self._drop_served()
        heappush(self._by_arrival, (job.arrival_s, next(self._order), job))
        self._waiting_jobs.add(job)
        self.waiting += 1
        queued = self.queued_service_s
        for i, service in enumerate(job.service_s):
            queued[i] += service

    # These two run at each addition too: a driver that never reads must not fill the memory.

    def _drop_served(self) -> None:
        heap = self._by_arrival
        while heap and heap[0][2] not in self._waiting_jobs:
            heappop(heap)

    def _drop_ended(self) -> None:
        heap = self._ends
        while heap and (heap[0][2].job is None or heap[0][2].expected_end != heap[0][0]):
            heappop(heap)

    def _check_new(self, job: Job, event: str) -> None:
        if job.job_id in self.jobs:
            raise IllegalEventError(event, job.job_id, "the job is already known")
        if len(job.service_s) != self.n_flavors:
            raise IllegalEventError(
                event, job.job_id, f"service_s must have {self.n_flavors} figures"
            )

    def _begin(self, now: float, worker: Worker, job: Job, assigned_at: float) -> None:
        flavor = worker.flavor
        self._leave_idle(worker)
        self.busy[flavor] += 1
        self.n_busy += 1
        self.in_service += 1
        worker.state = WorkerState.BUSY
        worker.phase = TaskPhase.DOWNLOADING
        worker.job = job
        end = assigned_at + job.service_s[flavor]
        worker.expected_end = end
        self._busy_until += end
        self._drop_ended()
        heappush(self._ends, (end, next(self._order), worker))
        self.busy_cpu.add(now, self._millicores[flavor])

    def _requeue(self, now: float, worker: Worker) -> Job:
        job = self._end_task(now, worker)
        self._enqueue(job)
        self.requeued += 1
        return job

    def _leave(self, now: float, job: Job) -> None:
        del self.jobs[job.job_id]
        self.jobs_level.add(now, -1)

    def _become_free(self, now: float, worker: Worker) -> None:
        """The worker has no job any more: it idles, or drains if it was to retire."""
        if worker.retiring:
            self._end_retirement(worker)
            self._drain(worker)
        else:
            self._become_idle(now, worker)

    def _end_retirement(self, worker: Worker) -> None:
        if worker.retiring:
            worker.retiring = False
            self.n_retiring -= 1

    def _end_task(self, now: float, worker: Worker) -> Job:
        job = worker.job
        assert job is not None
        flavor = worker.flavor
        worker.job = None
        worker.phase = TaskPhase.NONE
        self.busy[flavor] -= 1
        self.n_busy -= 1
        self.in_service -= 1
        self._busy_until = self._busy_until - worker.expected_end if self.n_busy else 0.0
        self.busy_cpu.add(now, -self._millicores[flavor])
        return job

    def _become_idle(self, now: float, worker: Worker) -> None:
        flavor = worker.flavor
        worker.state = WorkerState.IDLE
        worker.idle_since = now
        self._idle_workers[flavor][worker.worker_id] = worker
        self.idle[flavor] += 1
        self.n_idle += 1

    def _leave_idle(self, worker: Worker) -> None:
        del self._idle_workers[worker.flavor][worker.worker_id]
        self.idle[worker.flavor] -= 1
        self.n_idle -= 1

    def _leave_service(self, now: float, worker: Worker) -> Job | None:
        """Take a worker that is not draining out of the books of its state."""
        if worker.state is WorkerState.BUSY:
            self._end_retirement(worker)
            return self._requeue(now, worker)
        if worker.state is WorkerState.BOOTING:
            self._end_boot(worker, self.nodes[worker.node])
        else:
            self._leave_idle(worker)
        return None

    def _drain(self, worker: Worker) -> None:
        worker.state = WorkerState.DRAINING
        self.draining[worker.flavor] += 1
        self.n_draining += 1

    def _boot(self, now: float, worker: Worker) -> Worker:
        flavor, node = worker.flavor, self.nodes[worker.node]
        self.workers[worker.worker_id] = worker
        self._booting_workers[worker.worker_id] = worker
        self.booting[flavor] += 1
        self.n_booting += 1
        node.n_booting += 1
        self._reserve(now, node, self._millicores[flavor], self._mib[flavor], 1)
        usage = self.profile.timing.usage
        self._use(now, worker, min(usage.boot_cores, self.vcpus[flavor]), usage.base_ram_gib)
        return worker

    def _end_boot(self, worker: Worker, node: Node) -> None:
        del self._booting_workers[worker.worker_id]
        self.booting[worker.flavor] -= 1
        self.n_booting -= 1
        node.n_booting -= 1

    def _remove(self, now: float, worker: Worker) -> None:
        del self.workers[worker.worker_id]
        self._use(now, worker, 0.0, 0.0)
        flavor = worker.flavor
        node = self.nodes[worker.node]
        self._reserve(now, node, -self._millicores[flavor], -self._mib[flavor], -1)

    def _reserve_on(self, now: float, node: Node, millicores: int, mib: int, workers: int) -> None:
        self._placement.remove(node)
        node.free_millicores -= millicores
        node.free_mib -= mib
        node.n_workers += workers
        self._placement.add(node)
        node.reserved_cpu.add(now, millicores)
        node.reserved_ram.add(now, mib)

    def _reserve(self, now: float, node: Node, millicores: int, mib: int, workers: int) -> None:
        self._reserve_on(now, node, millicores, mib, workers)
        self.reserved_cpu.add(now, millicores)
        self.reserved_ram.add(now, mib)
        self._update_fits()

    def _update_fits(self) -> None:
        if len(self.workers) >= self._max_workers:
            self.fits = [False] * self.n_flavors
            return
        left_cpu = self._limit_millicores - self.reserved_cpu.value
        left_ram = self._limit_mib - self.reserved_ram.value
        for flavor in range(self.n_flavors):
            cpu, ram = self._millicores[flavor], self._mib[flavor]
            self.fits[flavor] = (
                cpu <= left_cpu and ram <= left_ram and self._placement.fits_any(cpu, ram)
            )

    def _use_idle(self, now: float, worker: Worker) -> None:
        usage = self.profile.timing.usage
        self._use(now, worker, usage.idle_cores, usage.base_ram_gib)

    def _use(self, now: float, worker: Worker, cores: float, ram_gib: float) -> None:
        millicores, mib = used_millicores(cores), used_mib(ram_gib)
        more_cpu = millicores - worker.used_millicores
        more_ram = mib - worker.used_mib
        node = self.nodes[worker.node]
        if more_cpu:
            worker.used_millicores = millicores
            node.used_cpu.add(now, more_cpu)
            self.used_cpu.add(now, more_cpu)
        if more_ram:
            worker.used_mib = mib
            node.used_ram.add(now, more_ram)
            self.used_ram.add(now, more_ram)

    def _holds(self, flavor: int) -> int:
        cpu, ram = self._millicores[flavor], self._mib[flavor]
        fit = sum(
            min(node.capacity_millicores // cpu, node.capacity_mib // ram) for node in self.nodes
        )
        return min(fit, self._max_workers, self._limit_millicores // cpu, self._limit_mib // ram)
