"""The cluster's state machine against books that are recounted from scratch at each step.

Times and service times are multiples of 1/4 s, so that sums of them are exact and figures
can be compared without a tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from env.actions import KEEP, kill, spawn
from env.cluster import LASTING_RUSH_S, Cluster
from env.config import PlacementName, Profile
from env.dispatch import AGEING
from env.errors import IllegalEventError
from env.jobs import Job, Request
from env.worker import TaskPhase, WorkerState
from tests.env.worlds import make_profile

REQUEST = Request(0.0, "m", 1000, "fast")
QUARTERS = st.integers(1, 2000).map(lambda n: n / 4)
WAITS = st.sampled_from([0.0, 0.0, 0.25, 1.0, 7.5, 30.0, 600.0])
PICKS = st.integers(0, 999)

FLAVORS = st.sampled_from(
    [
        ((1, 2.0), (2, 4.0), (4, 8.0)),
        ((1, 2.0),),
        ((1, 1.0), (1, 6.0), (3, 3.0)),
        ((2, 0.5), (4, 15.0)),
    ]
)
NODES = st.lists(
    st.tuples(st.integers(1, 8), st.sampled_from([1.0, 4.0, 8.5, 16.0])), max_size=3
).map(lambda more: [(6, 16.0), *more])
LIMITS = st.fixed_dictionaries(
    {"placement": st.sampled_from(["least-loaded", "spread", "concentrate"])},
    optional={
        "vcpu_overcommit": st.sampled_from([1.5, 2.0]),
        "ram_overcommit": st.sampled_from([1.25, 2.0]),
        "max_workers": st.integers(1, 6),
        "max_vcpus": st.integers(4, 12),
        "max_ram_gib": st.sampled_from([8.0, 20.5]),
    },
)

# The state (or phase) in which each event of a worker is legal; a worker is lost in any.
WORKER_EVENTS: dict[str, WorkerState | TaskPhase | None] = {
    "worker_ready": WorkerState.BOOTING,
    "spawn_failed": WorkerState.BOOTING,
    "worker_draining": WorkerState.IDLE,
    "worker_retiring": WorkerState.BUSY,  # once
    "worker_stopped": WorkerState.DRAINING,
    "file_downloaded": TaskPhase.DOWNLOADING,
    "transcoding_completed": TaskPhase.TRANSCODING,
    "file_uploaded": TaskPhase.UPLOADING,
    "task_failed": WorkerState.BUSY,
    "task_requeued": WorkerState.BUSY,
    "worker_lost": None,
    "worker_abandoned": None,  # but not when it drains
}
ALL_EVENTS = [*WORKER_EVENTS, "tick", "job_arrived", "worker_spawned"]


@dataclass
class Entry:
    """A worker in the books; `order` is when it last became idle, as a serial number."""

    worker_id: Hashable
    flavor: int
    node: int
    since: float
    state: WorkerState = WorkerState.BOOTING
    phase: TaskPhase = TaskPhase.NONE
    job: Job | None = None
    end: float = 0.0
    order: int = 0
    used: tuple[int, int] = (0, 0)
    retiring: bool = False

    def allows(self, event: str) -> bool:
        needed = WORKER_EVENTS[event]
        if event == "worker_abandoned":
            return self.state is not WorkerState.DRAINING
        if event == "worker_retiring" and self.retiring:
            return False
        return needed is None or (
            self.phase is needed if isinstance(needed, TaskPhase) else self.state is needed
        )


def freeze(thing: Any) -> Any:
    """All that an object holds, as plain values: equal before and after if nothing changed."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, dict):
        return [(freeze(key), freeze(value)) for key, value in thing.items()]
    if isinstance(thing, set):
        return {id(value) for value in thing}
    kind = type(thing)
    if kind.__module__ == "itertools":
        return repr(thing)
    if callable(thing) or kind.__module__ == "env.config" or kind is Request:
        return id(thing)
    if hasattr(kind, "__iter__"):
        return [freeze(value) for value in thing]
    names = getattr(kind, "__slots__", None) or vars(thing)
    return [(name, freeze(getattr(thing, name))) for name in names]


def refused(cluster: Cluster, event: Callable[[], object]) -> IllegalEventError:
    """The error of an illegal event, which must have changed nothing."""
    before = freeze(cluster)
    with pytest.raises(IllegalEventError) as caught:
        event()
    assert freeze(cluster) == before
    return caught.value


class ClusterMachine(RuleBasedStateMachine):
    """Feeds legal and illegal events, and keeps plain books of what should be the case."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster: Cluster
        self.now = 0.0
        self.workers: dict[Hashable, Entry] = {}
        self.queue: list[tuple[float, int, Job]] = []
        self.serial = 0
        self.names = 0
        self.gone_jobs: list[Hashable] = []
        self.gone_workers: list[Hashable] = []
        self.arrived: list[Job] = []
        self.restored = 0
        self.orderly = True  # no worker is where the cluster would not have put it
        self.cached: set[int] = set()
        self.counts = dict.fromkeys(
            ("completed", "failed", "boots", "spawn_failures", "workers_lost", "requeued"), 0
        )
        self.areas = dict.fromkeys(("jobs", "cpu", "ram", "used", "busy"), 0.0)
        self.steps = 0

    @initialize(
        nodes=NODES,
        flavors=FLAVORS,
        limits=LIMITS,
        discipline=st.sampled_from(["fcfs", "sjf"]),
        read_each_step=st.booleans(),
        image_cached=st.booleans(),
        n_workers=st.integers(0, 5),
        n_jobs=st.integers(0, 5),
    )
    def start(
        self,
        nodes: list[tuple[int, float]],
        flavors: tuple[tuple[int, float], ...],
        limits: dict[str, Any],
        discipline: str,
        read_each_step: bool,
        image_cached: bool,
        n_workers: int,
        n_jobs: int,
    ) -> None:
        profile = make_profile(
            nodes=nodes, flavors=flavors, cluster=limits, image_cached=image_cached
        )
        self.profile, self.config = profile, profile.cluster
        self.discipline, self.read_each_step = discipline, read_each_step
        self.cluster = Cluster(profile, discipline=discipline)
        self.n_flavors = len(flavors)
        self.cached = set(range(len(nodes))) if image_cached else set()
        for i in range(n_workers):
            flavor = i % self.n_flavors
            if self.rooms(flavor):
                self.order_worker(0.25, flavor, self.placed(flavor), None, f"first{i}")
                self.happen(self.workers[f"first{i}"], "worker_ready", 1.0, 0)
        for i in range(n_jobs):
            self.arrive(0.25, [20.0 - 4 * i, 15.0 - i, 10.0], 1)

    # -- the books ------------------------------------------------------------------------

    def milli(self, flavor: int) -> int:
        return self.config.flavors[flavor].vcpus * 1000

    def mib(self, flavor: int) -> int:
        return round(self.config.flavors[flavor].ram_gib * 1024)

    def reserved(self, node: int | None = None) -> tuple[int, int]:
        here = [w for w in self.workers.values() if node is None or w.node == node]
        return sum(self.milli(w.flavor) for w in here), sum(self.mib(w.flavor) for w in here)

    def free(self, node: int) -> tuple[int, int]:
        config = self.config.nodes[node]
        cpu, ram = self.reserved(node)
        return (
            round(config.cores * self.config.vcpu_overcommit * 1000) - cpu,
            round(config.ram_gib * self.config.ram_overcommit * 1024) - ram,
        )

    def rooms(self, flavor: int) -> list[int]:
        """Nodes where a worker of the flavor fits, limits included."""
        config = self.config
        cpu, ram = self.reserved()
        if (  # a node beyond its capacity counts against the capacity of all
            cpu + self.milli(flavor) > 1000 * self.cluster.capacity_vcpus
            or ram + self.mib(flavor) > 1024 * self.cluster.capacity_ram_gib
            or (config.max_workers is not None and len(self.workers) >= config.max_workers)
            or (config.max_vcpus is not None and cpu + self.milli(flavor) > config.max_vcpus * 1000)
            or (
                config.max_ram_gib is not None
                and ram + self.mib(flavor) > config.max_ram_gib * 1024
            )
        ):
            return []
        return [
            node
            for node in range(len(config.nodes))
            if self.free(node)[0] >= self.milli(flavor) and self.free(node)[1] >= self.mib(flavor)
        ]

    def placed(self, flavor: int) -> int | None:
        def rank(node: int) -> tuple[int, int, int]:
            cpu, ram = self.free(node)
            placement: PlacementName = self.config.placement
            if placement == "least-loaded":
                return -cpu, -ram, node
            if placement == "spread":
                return sum(w.node == node for w in self.workers.values()), -cpu, node
            return cpu, ram, -node

        return min(self.rooms(flavor), key=rank, default=None)

    def in_state(self, state: WorkerState) -> list[Entry]:
        return [w for w in self.workers.values() if w.state is state]

    def use(self, entry: Entry, cores: float | None = None, ram_gib: float | None = None) -> None:
        usage = self.profile.timing.usage
        cores = usage.idle_cores if cores is None else cores
        ram_gib = usage.base_ram_gib if ram_gib is None else ram_gib
        entry.used = int(cores * 1000 + 0.5), int(ram_gib * 1024 + 0.5)

    def wait(self, seconds: float) -> float:
        """Let time pass in the books."""
        cpu, ram = self.reserved()
        busy = self.in_state(WorkerState.BUSY)
        self.areas["jobs"] += seconds * (len(self.queue) + len(busy))
        self.areas["cpu"] += seconds * cpu
        self.areas["ram"] += seconds * ram
        self.areas["used"] += seconds * sum(w.used[0] for w in self.workers.values())
        self.areas["busy"] += seconds * sum(self.milli(w.flavor) for w in busy)
        self.now += seconds
        return self.now

    def enqueue(self, job: Job) -> None:
        self.serial += 1
        key = job.arrival_s
        if self.discipline == "sjf":
            key = job.service_s[0] + AGEING * job.arrival_s
        self.queue.append((key, self.serial, job))

    def becomes_idle(self, entry: Entry) -> None:
        self.serial += 1
        entry.state, entry.phase, entry.job = WorkerState.IDLE, TaskPhase.NONE, None
        entry.since, entry.order = self.now, self.serial
        self.use(entry)

    def becomes_free(self, entry: Entry) -> None:
        if not entry.retiring:
            self.becomes_idle(entry)
            return
        entry.state, entry.phase, entry.job = WorkerState.DRAINING, TaskPhase.NONE, None
        entry.retiring = False
        self.use(entry)

    def remove(self, entry: Entry) -> None:
        del self.workers[entry.worker_id]
        self.gone_workers.append(entry.worker_id)

    def name(self, pick: int, old: list[Hashable]) -> Hashable:
        """A new id, or one that was used before and is free again."""
        if old and pick % 3 == 0:
            return old.pop(pick % len(old))
        self.names += 1
        return f"id{self.names}"

    # -- legal events ---------------------------------------------------------------------

    @rule(wait=WAITS, services=st.lists(QUARTERS, min_size=3, max_size=3), pick=PICKS)
    def arrive(self, wait: float, services: list[float], pick: int) -> None:
        now = self.wait(wait)
        job = Job(self.name(pick, self.gone_jobs), REQUEST, tuple(services[: self.n_flavors]))
        self.cluster.job_arrived(now, job)
        assert job.arrival_s == now
        self.arrived.append(job)
        self.enqueue(job)

    @precondition(lambda self: any(map(self.rooms, range(self.n_flavors))))
    @rule(wait=WAITS, flavor=PICKS, pick=PICKS, choose_node=st.booleans())
    def spawn(self, wait: float, flavor: int, pick: int, choose_node: bool) -> None:
        able = [flavor for flavor in range(self.n_flavors) if self.rooms(flavor)]
        flavor = able[flavor % len(able)]
        rooms = self.rooms(flavor)
        node = rooms[pick % len(rooms)] if choose_node else None
        where = self.placed(flavor) if node is None else node
        self.order_worker(wait, flavor, where, node, self.name(pick, self.gone_workers))

    def order_worker(
        self, wait: float, flavor: int, where: int | None, node: int | None, worker_id: Hashable
    ) -> None:
        """A worker that must land on node `where`, be it told to (`node`) or not."""
        assert where is not None
        now = self.wait(wait)
        worker = self.cluster.worker_spawned(now, worker_id, flavor, node)
        assert (worker.node, worker.spawned_at) == (where, now)
        entry = self.workers[worker_id] = Entry(worker_id, flavor, where, now)
        self.use(entry, min(self.profile.timing.usage.boot_cores, self.milli(flavor) / 1000))
        self.counts["boots"] += 1

    @precondition(lambda self: self.queue and self.in_state(WorkerState.IDLE))
    @rule(wait=WAITS, pick=PICKS, follow_advice=st.booleans())
    def assign(self, wait: float, pick: int, follow_advice: bool) -> None:
        idle = self.in_state(WorkerState.IDLE)
        entry = idle[pick % len(idle)]
        if follow_advice:
            entry = max(idle, key=lambda worker: (worker.flavor, worker.order))
            advice = self.cluster.next_assignment()
            assert advice is not None
            assert advice == (min(self.queue)[2], self.cluster.workers[entry.worker_id])
        head = min(self.queue)
        now = self.wait(wait)
        attempts = head[2].attempts
        self.cluster.task_assigned(now, head[2].job_id, entry.worker_id)
        assert head[2].attempts == attempts + 1
        self.queue.remove(head)
        entry.state, entry.phase, entry.job = WorkerState.BUSY, TaskPhase.DOWNLOADING, head[2]
        entry.end = now + head[2].service_s[entry.flavor]

    @precondition(lambda self: len(self.workers) > len(self.in_state(WorkerState.IDLE)))
    @rule(wait=WAITS, pick=PICKS)
    def go_on(self, wait: float, pick: int) -> None:
        able = [w for w in self.workers.values() if w.state is not WorkerState.IDLE]
        entry = able[pick % len(able)]
        self.happen(entry, self.events_of(entry)[0], wait, pick)

    @precondition(lambda self: self.in_state(WorkerState.BUSY))
    @rule(wait=WAITS, pick=PICKS)
    def end_job(self, wait: float, pick: int) -> None:
        able = self.in_state(WorkerState.BUSY)
        entry = able[pick % len(able)]
        while entry.state is WorkerState.BUSY:
            self.happen(entry, self.events_of(entry)[0], wait, pick)

    @precondition(lambda self: self.in_state(WorkerState.BUSY))
    @rule(wait=WAITS, pick=PICKS)
    def lose_worker_with_its_job(self, wait: float, pick: int) -> None:
        able = self.in_state(WorkerState.BUSY)
        self.happen(able[pick % len(able)], "worker_lost", wait, pick)

    @precondition(lambda self: self.workers)
    @rule(wait=WAITS, pick=PICKS, twist=PICKS)
    def any_legal_event(self, wait: float, pick: int, twist: int) -> None:
        entry = list(self.workers.values())[pick % len(self.workers)]
        events = self.events_of(entry)
        self.happen(entry, events[twist % len(events)], wait, pick)

    def events_of(self, entry: Entry) -> list[str]:
        """Legal now; the first is what usually comes next."""
        return [event for event in WORKER_EVENTS if entry.allows(event)]

    def happen(self, entry: Entry, event: str, wait: float, pick: int) -> None:
        now, worker_id, job = self.wait(wait), entry.worker_id, entry.job
        if event == "file_downloaded":
            self.cluster.file_downloaded(now, worker_id, pick / 100, pick / 300)
            entry.phase = TaskPhase.TRANSCODING
            self.use(entry, pick / 100, pick / 300)
            return
        returned = getattr(self.cluster, event)(now, worker_id)
        if event == "worker_ready":
            self.cached.add(entry.node)
            self.becomes_idle(entry)
        elif event == "spawn_failed":
            self.counts["spawn_failures"] += 1
            self.remove(entry)
        elif event == "worker_draining":
            entry.state = WorkerState.DRAINING
        elif event == "worker_retiring":
            entry.retiring = True
        elif event == "worker_stopped":
            self.remove(entry)
        elif event == "transcoding_completed":
            entry.phase = TaskPhase.UPLOADING
            self.use(entry)
        elif event in ("worker_lost", "worker_abandoned", "task_requeued"):
            if event == "worker_lost":
                self.counts["workers_lost"] += 1
                self.remove(entry)
            elif event == "worker_abandoned":
                booting = entry.state is WorkerState.BOOTING
                self.counts["spawn_failures" if booting else "workers_lost"] += 1
                entry.state, entry.phase, entry.job = WorkerState.DRAINING, TaskPhase.NONE, None
                entry.retiring = False
                self.use(entry)
            assert returned is job
            if job is not None:
                self.counts["requeued"] += 1
                self.enqueue(job)
            if event == "task_requeued":
                self.becomes_free(entry)
        else:
            self.counts["completed" if event == "file_uploaded" else "failed"] += 1
            assert returned is job
            assert job is not None
            self.gone_jobs.append(job.job_id)
            self.becomes_free(entry)

    @rule(wait=WAITS)
    def tick(self, wait: float) -> None:
        self.cluster.tick(self.wait(wait))

    # -- what the cloud decides, and what a restart finds ---------------------------------

    @precondition(lambda self: self.workers)
    @rule(wait=WAITS, pick=PICKS, twist=PICKS)
    def place(self, wait: float, pick: int, twist: int) -> None:
        entry = list(self.workers.values())[pick % len(self.workers)]
        node = twist % len(self.config.nodes)
        self.cluster.worker_placed(self.wait(wait), entry.worker_id, node)
        if node != entry.node:
            entry.node, self.orderly = node, False
            if entry.state in (WorkerState.IDLE, WorkerState.BUSY):
                self.cached.add(node)

    @rule(twist=PICKS)
    def restore_image(self, twist: int) -> None:
        node = twist % len(self.config.nodes)
        self.cluster.restore_image(node)
        self.cached.add(node)

    @rule(wait=WAITS, ago=WAITS, services=st.lists(QUARTERS, min_size=3, max_size=3), pick=PICKS)
    def restore_job(self, wait: float, ago: float, services: list[float], pick: int) -> None:
        now = self.wait(wait)
        job = Job(
            self.name(pick, self.gone_jobs),
            REQUEST,
            tuple(services[: self.n_flavors]),
            arrival_s=now - ago,
            attempts=pick % 3,
        )
        idle = self.in_state(WorkerState.IDLE)
        self.restored += 1
        if not idle or pick % 2:
            self.cluster.restore_job(now, job)
            self.enqueue(job)
        else:
            entry = idle[pick % len(idle)]
            self.cluster.restore_task(now, entry.worker_id, job, now - ago)
            entry.state, entry.phase, entry.job = WorkerState.BUSY, TaskPhase.DOWNLOADING, job
            entry.end = now - ago + job.service_s[entry.flavor]
        assert (job.arrival_s, job.attempts) == (now - ago, pick % 3)

    @precondition(lambda self: len(self.workers) < 12)
    @rule(wait=WAITS, ago=WAITS, pick=PICKS, twist=PICKS)
    def restore_worker(self, wait: float, ago: float, pick: int, twist: int) -> None:
        now = self.wait(wait)
        flavor, node = pick % self.n_flavors, twist % len(self.config.nodes)
        worker_id = self.name(pick, self.gone_workers)
        worker = self.cluster.restore_worker(now, worker_id, flavor, node, now - ago)
        assert worker.spawned_at == now - ago
        entry = self.workers[worker_id] = Entry(worker_id, flavor, node, now)
        self.use(entry, min(self.profile.timing.usage.boot_cores, self.milli(flavor) / 1000))
        self.orderly = False

    @rule(pick=PICKS, why=st.sampled_from(["job", "task", "worker", "node", "time", "flavor"]))
    def restore_what_may_not_be(self, pick: int, why: str) -> None:
        cluster, now = self.cluster, self.now
        job = Job("odd", REQUEST, (1.0,) * self.n_flavors)
        later = (now + 0.25, math.nan, math.inf, -math.inf)[pick % 4]
        known = list(self.cluster.jobs.values())
        worker_id: Hashable = "odd"
        flavor, node, then = 0, 0, now
        if why == "job":
            job.arrival_s = later
            if known and pick % 2:
                job = known[pick % len(known)]
            refused(cluster, lambda: cluster.restore_job(now, job))
            return
        if why == "task":
            able = [w.worker_id for w in self.in_state(WorkerState.IDLE)]
            unable = [w for w in self.workers if w not in able]
            if able and pick % 2:
                refused(cluster, lambda: cluster.restore_task(now, able[0], job, later))
            else:
                other = [*unable, "nobody"][pick % (len(unable) + 1)]
                refused(cluster, lambda: cluster.restore_task(now, other, job, now))
            return
        if why == "worker" and self.workers:
            worker_id = list(self.workers)[pick % len(self.workers)]
        elif why == "node":
            node = (-1, len(self.config.nodes))[pick % 2]
        elif why == "flavor":
            flavor = (-1, self.n_flavors)[pick % 2]
        else:
            then = later
        refused(cluster, lambda: cluster.restore_worker(now, worker_id, flavor, node, then))
        if self.workers:
            known_id = next(iter(self.workers))
            nowhere = (-1, len(self.config.nodes))[pick % 2]
            refused(cluster, lambda: cluster.worker_placed(now, known_id, nowhere))
            refused(cluster, lambda: cluster.restore_image(nowhere))

    # -- illegal events -------------------------------------------------------------------

    @rule(pick=PICKS, event=st.sampled_from(list(WORKER_EVENTS)))
    def worker_event_in_the_wrong_state(self, pick: int, event: str) -> None:
        unable: list[Hashable] = [w.worker_id for w in self.workers.values() if not w.allows(event)]
        worker_id = [*unable, "nobody"][pick % (len(unable) + 1)]
        error = refused(self.cluster, lambda: getattr(self.cluster, event)(self.now, worker_id))
        assert (error.event, error.subject) == (event, worker_id)
        if worker_id == "nobody":
            state = "unknown"
        else:
            entry = self.workers[worker_id]
            state = (entry.phase if entry.phase is not TaskPhase.NONE else entry.state).name.lower()
            if isinstance(WORKER_EVENTS[event], WorkerState):
                state = entry.state.name.lower()
            if entry.retiring and event == "worker_retiring":
                state = "retiring"
        assert state in error.state
        assert event in str(error)
        assert repr(worker_id) in str(error)

    @rule(pick=PICKS, to_idle=st.booleans())
    def assign_what_may_not_be(self, pick: int, to_idle: bool) -> None:
        head = min(self.queue)[2].job_id if self.queue else None
        idle: list[Hashable] = [w.worker_id for w in self.in_state(WorkerState.IDLE)]
        others = [w for w in self.workers if w not in idle]
        jobs: list[Hashable] = [job_id for job_id in self.cluster.jobs if job_id != head]
        if to_idle or head is None:  # the job is at fault
            if not idle:
                return
            worker_id, job_id = idle[pick % len(idle)], [*jobs, "none"][pick % (len(jobs) + 1)]
            subject = job_id
        else:
            worker_id, job_id = [*others, "nobody"][pick % (len(others) + 1)], head
            subject = worker_id
        error = refused(
            self.cluster, lambda: self.cluster.task_assigned(self.now, job_id, worker_id)
        )
        assert (error.event, error.subject) == ("task_assigned", subject)

    @rule(pick=PICKS, why=st.sampled_from(["taken", "flavor", "node", "full node", "full"]))
    def spawn_what_may_not_be(self, pick: int, why: str) -> None:
        flavor: int = pick % self.n_flavors
        rooms = self.rooms(flavor)
        nodes = range(len(self.config.nodes))
        worker_id: Hashable = "new"
        node: int | None = None
        if why == "taken":
            if not self.workers:
                return
            worker_id = list(self.workers)[pick % len(self.workers)]
        elif why == "flavor":
            flavor = (-1, self.n_flavors, 99)[pick % 3]
        elif why == "node":
            node = (-1, len(nodes), 99)[pick % 3]
        else:
            full = [node for node in nodes if node not in rooms]
            if not full or (why == "full" and rooms):
                return
            node = full[pick % len(full)] if why == "full node" else None
        error = refused(
            self.cluster, lambda: self.cluster.worker_spawned(self.now, worker_id, flavor, node)
        )
        assert (error.event, error.subject) == ("worker_spawned", worker_id)
        assert {"taken": "already known", "flavor": "no flavor"}.get(why, "no") in error.state

    @rule(pick=PICKS)
    def arrive_twice_or_with_wrong_figures(self, pick: int) -> None:
        job = Job("odd", REQUEST, (1.0,) * (self.n_flavors + (1, -1)[pick % 2]))
        state = "service_s must have"
        if self.cluster.jobs and pick % 3 == 0:
            known = list(self.cluster.jobs)
            job = Job(known[pick % len(known)], REQUEST, (1.0,) * self.n_flavors)
            state = "already known"
        error = refused(self.cluster, lambda: self.cluster.job_arrived(self.now, job))
        assert error.event == "job_arrived"
        assert state in error.state

    @rule(pick=PICKS, event=st.sampled_from(ALL_EVENTS))
    def event_in_the_past(self, pick: int, event: str) -> None:
        cluster = self.cluster
        then = (self.now - 0.25, math.nan, math.inf, -math.inf)[pick % 4]
        call: Callable[[], object]
        if event == "tick":
            call = partial(cluster.tick, then)
        elif event == "job_arrived":
            job = Job("late", REQUEST, (1.0,) * self.n_flavors)
            call = partial(cluster.job_arrived, then, job)
        elif event == "worker_spawned":
            if not self.rooms(0):
                return
            call = partial(cluster.worker_spawned, then, "late", 0)
        else:
            able = [w.worker_id for w in self.workers.values() if w.allows(event)]
            if not able:
                return
            call = partial(getattr(cluster, event), then, able[0])
        error = refused(cluster, call)
        assert error.event == event
        assert f"time {then}" in error.state

    # -- the comparison -------------------------------------------------------------------

    @invariant()
    def counters_match_a_recount(self) -> None:
        cluster = self.cluster
        assert cluster.now == self.now
        for name, state in (
            ("booting", WorkerState.BOOTING),
            ("idle", WorkerState.IDLE),
            ("busy", WorkerState.BUSY),
            ("draining", WorkerState.DRAINING),
        ):
            here = self.in_state(state)
            counts = [sum(w.flavor == flavor for w in here) for flavor in range(self.n_flavors)]
            assert getattr(cluster, name) == counts, name
            assert getattr(cluster, f"n_{name}") == len(here), name
        busy = self.in_state(WorkerState.BUSY)
        assert cluster.n_retiring == sum(w.retiring for w in busy)
        assert cluster.n_retiring == sum(w.retiring for w in cluster.workers.values())
        assert cluster.n_workers == len(self.workers)
        assert cluster.waiting == len(self.queue)
        assert cluster.in_service == len(busy)
        assert cluster.jobs_in_system == len(self.queue) + len(busy)
        assert cluster.queued_service_s == [
            sum(job.service_s[flavor] for _, _, job in self.queue)
            for flavor in range(self.n_flavors)
        ]
        assert {name: getattr(cluster, name) for name in self.counts} == self.counts
        self.nothing_is_lost()

    def nothing_is_lost(self) -> None:
        inside = {job.job_id for _, _, job in self.queue}
        inside |= {w.job.job_id for w in self.workers.values() if w.job is not None}
        assert set(self.cluster.jobs) == inside
        waiting = {job.job_id for _, _, job in self.queue}
        assert {job_id for job_id in inside if self.cluster.is_waiting(job_id)} == waiting
        assert not self.cluster.is_waiting("none")
        ended = self.counts["completed"] + self.counts["failed"]
        assert len(self.arrived) + self.restored == len(inside) + ended
        assert self.cluster.arrivals.count == len(self.arrived)

    @invariant()
    def reservations_match_a_recount(self) -> None:
        cluster, config = self.cluster, self.config
        cpu, ram = self.reserved()
        assert cluster.reserved_vcpus == cpu / 1000
        assert cluster.reserved_ram_gib == ram / 1024
        cost = sum(cluster.flavor_cost(w.flavor) for w in self.workers.values())
        assert cluster.reserved_cores == pytest.approx(cost)
        if self.orderly:
            assert cpu <= 1000 * min(cluster.capacity_vcpus, config.max_vcpus or math.inf)
            assert ram <= 1024 * min(cluster.capacity_ram_gib, config.max_ram_gib or math.inf)
            assert len(self.workers) <= (config.max_workers or math.inf)
        for flavor in range(self.n_flavors):
            where = self.placed(flavor)
            fits = where is not None
            assert cluster.choose_node(flavor) == where
            assert cluster.fits[flavor] == cluster.can_spawn(flavor) == fits
            assert cluster.can(spawn(flavor)) == fits
        for index, node in enumerate(cluster.nodes):
            free = self.free(index)
            assert (node.free_millicores, node.free_mib) == free
            assert min(free) >= 0 or not self.orderly
            here = [w for w in self.workers.values() if w.node == index]
            assert node.n_workers == len(here)
            assert node.n_booting == sum(w.state is WorkerState.BOOTING for w in here)
            assert node.image_cached == (index in self.cached)
            assert (node.reserved_cpu.value, node.reserved_ram.value) == self.reserved(index)
            assert node.used_cpu.value == sum(w.used[0] for w in here)
            assert node.used_ram.value == sum(w.used[1] for w in here)
        assert cluster.nodes_cached == len(self.cached)
        assert cluster.used_cpu.value == sum(w.used[0] for w in self.workers.values())
        assert cluster.used_ram.value == sum(w.used[1] for w in self.workers.values())

    @invariant()
    def integrals_match_the_books(self) -> None:
        cluster, areas = self.cluster, self.areas
        assert cluster.jobs_integral() == areas["jobs"]
        assert cluster.reserved_cpu.integral(self.now) == areas["cpu"]
        assert cluster.reserved_ram.integral(self.now) == areas["ram"]
        assert cluster.used_cpu.integral(self.now) == areas["used"]
        assert cluster.reserved_vcpu_integral() == areas["cpu"] / 1000
        assert cluster.busy_vcpu_integral() == areas["busy"] / 1000
        weights = cluster.cores / 2 / cluster.capacity_vcpus, cluster.cores / 2
        expected = weights[0] * areas["cpu"] / 1000
        expected += weights[1] / cluster.capacity_ram_gib * areas["ram"] / 1024
        assert cluster.reserved_cores_integral() == pytest.approx(expected)

    @invariant()
    def what_comes_next_matches_a_search(self) -> None:
        # Some of this is tidied when it is read: half of the runs read it seldom.
        self.steps += 1
        if self.read_each_step or self.steps % 7 == 0:
            self.compare_what_comes_next()

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.compare_what_comes_next()

    def may_retire(self) -> bool:
        """Whether a busy worker, not of the smallest flavor, may be ordered to end."""
        limit = self.config.max_workers
        return bool(
            self.queue
            and not self.rooms(0)
            and (limit is None or len(self.workers) < limit)
            and not any(w.retiring for w in self.workers.values())
            and self.drain_s() >= LASTING_RUSH_S
        )

    def drain_s(self) -> float:
        """How long the workers would take for the queue, seconds."""
        means = self.cluster.mean_service_s
        queued = sum(job.service_s[0] for _, _, job in self.queue)
        live = [w for w in self.workers.values() if w.state is not WorkerState.DRAINING]
        speed = sum(means[0] / means[w.flavor] if means[w.flavor] else 1.0 for w in live)
        return queued / max(1.0, speed)

    def compare_what_comes_next(self) -> None:
        cluster = self.cluster
        assert cluster.head_job is (min(self.queue)[2] if self.queue else None)
        oldest = min((job.arrival_s for _, _, job in self.queue), default=None)
        assert cluster.oldest_waiting_since == oldest
        busy, idle = self.in_state(WorkerState.BUSY), self.in_state(WorkerState.IDLE)
        assert cluster.next_expected_end == min((w.end for w in busy), default=None)
        remaining = sum(w.end for w in busy) / len(busy) - self.now if busy else 0.0
        assert cluster.mean_remaining_s == pytest.approx(remaining, abs=1e-9)
        for flavor in range(self.n_flavors):
            mine = [w for w in idle if w.flavor == flavor]
            worker = cluster.longest_idle(flavor)
            serving = [w for w in busy if w.flavor == flavor]
            ends = bool(mine) or (flavor > 0 and bool(serving) and self.may_retire())
            assert cluster.can_kill(flavor) == cluster.can(kill(flavor)) == ends
            first = cluster.first_to_end(flavor)
            assert (first is None) == (not serving)
            if first is not None:
                assert first.expected_end == min(w.end for w in serving)
                assert self.workers[first.worker_id] in serving
            if worker is None:
                assert not mine
                continue
            longest = min(mine, key=lambda w: w.order)
            assert (worker.worker_id, worker.idle_since) == (longest.worker_id, longest.since)
        booting = self.in_state(WorkerState.BOOTING)  # in the order of the spawns
        boot = cluster.oldest_boot
        assert (boot and boot.worker_id) == (booting[0].worker_id if booting else None)
        assert (cluster.next_assignment() is None) == (not self.queue or not idle)
        if 0 < len(self.arrived) <= 50:  # then recent jobs count more
            for flavor in range(self.n_flavors):
                services = [job.service_s[flavor] for job in self.arrived]
                mean = sum(services) / len(services)
                assert cluster.mean_service_s[flavor] == pytest.approx(mean)


TestClusterMachine = ClusterMachine.TestCase
TestClusterMachine.settings = settings(max_examples=150, stateful_step_count=100, deadline=None)


# -- single stories -------------------------------------------------------------------


def small(**changes: Any) -> Profile:
    return make_profile(nodes=[(4, 8.0)], flavors=[(1, 2.0), (2, 4.0)], **changes)


def busy_cluster() -> Cluster:
    """At 10 s worker w (flavor 1) has begun job a; job b waits."""
    cluster = Cluster(small())
    cluster.job_arrived(0.0, Job("a", REQUEST, (40.0, 20.0)))
    cluster.worker_spawned(0.0, "w", 1)
    cluster.worker_ready(10.0, "w")
    cluster.task_assigned(10.0, "a", "w")
    cluster.job_arrived(12.0, Job("b", REQUEST, (50.0, 30.0)))
    return cluster


@pytest.mark.parametrize("phase", TaskPhase)
def test_a_lost_workers_job_goes_back_and_keeps_its_place(phase: TaskPhase) -> None:
    cluster = busy_cluster()
    if phase > TaskPhase.DOWNLOADING:
        cluster.file_downloaded(13.0, "w", 1.0, 1.0)
    if phase > TaskPhase.TRANSCODING:
        cluster.transcoding_completed(14.0, "w")
    job = cluster.worker_lost(15.0, "w")
    assert job is not None
    assert (job.job_id, job.arrival_s, job.attempts) == ("a", 0.0, 1)
    assert cluster.head_job is job  # it came first and is shorter
    assert cluster.oldest_waiting_since == 0.0
    assert (cluster.waiting, cluster.in_service, cluster.requeued) == (2, 0, 1)
    assert cluster.queued_service_s == [90.0, 50.0]
    assert (cluster.reserved_vcpus, cluster.used_cpu.value, cluster.used_ram.value) == (0, 0, 0)
    assert cluster.jobs_integral() == 15.0 + 3.0
    cluster.worker_spawned(16.0, "x", 0)
    cluster.worker_ready(17.0, "x")
    cluster.task_assigned(17.0, "a", "x")
    cluster.file_downloaded(18.0, "x")
    cluster.transcoding_completed(19.0, "x")
    assert cluster.file_uploaded(20.0, "x") is job
    assert (job.attempts, cluster.completed) == (2, 1)


def test_the_id_of_a_job_that_has_gone_may_come_again() -> None:
    cluster = busy_cluster()
    cluster.task_failed(20.0, "w")
    cluster.job_arrived(30.0, Job("a", REQUEST, (5.0, 4.0)))
    assert cluster.oldest_waiting_since == 12.0
    cluster.task_assigned(31.0, "a", "w")  # the shorter one
    cluster.task_failed(32.0, "w")
    cluster.task_assigned(33.0, "b", "w")
    cluster.job_arrived(40.0, Job("a", REQUEST, (5.0, 4.0)))
    assert cluster.oldest_waiting_since == 40.0


def test_a_long_life_does_not_fill_the_memory_though_nothing_is_read() -> None:
    cluster = Cluster(small())
    cluster.worker_spawned(0.0, "w", 0)
    cluster.worker_ready(1.0, "w")
    for i in range(300):
        now = 10.0 * (i + 1)
        cluster.job_arrived(now, Job(i, REQUEST, (5.0, 4.0)))
        cluster.task_assigned(now, i, "w")
        cluster.file_downloaded(now + 1.0, "w")
        cluster.transcoding_completed(now + 2.0, "w")
        cluster.file_uploaded(now + 3.0, "w")
    kept = [value for value in vars(cluster).values() if isinstance(value, list | dict | set)]
    assert max(map(len, kept)) < 10


def test_a_draining_worker_holds_its_room_until_it_is_gone() -> None:
    cluster = Cluster(small(cluster={"max_workers": 1}))
    cluster.worker_spawned(0.0, "w", 0)
    cluster.worker_ready(1.0, "w")
    cluster.worker_draining(2.0, "w")
    assert not cluster.can_spawn(0)
    assert not cluster.can_kill(0)
    assert cluster.reserved_vcpus == 1.0
    cluster.worker_stopped(5.0, "w")
    assert cluster.can_spawn(0)
    assert cluster.reserved_vcpu_integral() == 5.0
    assert cluster.n_workers == 0


def crowded(drain_s: float = LASTING_RUSH_S) -> Cluster:
    """Full: two workers of 2 vCPUs are busy on 4, and a third job waits.

    Each is as fast as a worker of 1 vCPU, so the job takes twice as long as both would for it.
    """
    cluster = Cluster(small())
    for worker_id in ("v", "w"):
        cluster.worker_spawned(0.0, worker_id, 1)
    for worker_id in ("v", "w"):
        cluster.worker_ready(1.0, worker_id)
    for job_id, service in (("a", 2 * drain_s), ("b", 5.0), ("c", 7.0)):
        cluster.job_arrived(2.0, Job(job_id, REQUEST, (service, service)))
    cluster.task_assigned(2.0, "b", "v")
    cluster.task_assigned(2.0, "c", "w")
    return cluster


def test_no_busy_worker_is_retired_in_a_rush_that_will_soon_be_over() -> None:
    assert crowded().drain_s == LASTING_RUSH_S
    assert not crowded(0.99 * LASTING_RUSH_S).can_kill(1)


def test_a_busy_larger_worker_may_be_retired_while_a_rush_lasts_and_nothing_fits() -> None:
    cluster = crowded()
    assert not any(cluster.fits)
    assert (cluster.can_kill(0), cluster.can_kill(1)) == (False, True)
    first = cluster.first_to_end(1)
    assert first is not None
    assert first.worker_id == "v"
    cluster.worker_retiring(3.0, "v")
    assert not cluster.can_kill(1)  # one at a time
    assert "retiring already" in str(refused(cluster, lambda: cluster.worker_retiring(3.0, "v")))
    assert cluster.busy == [0, 2]
    cluster.file_downloaded(4.0, "v")
    cluster.transcoding_completed(5.0, "v")
    cluster.file_uploaded(6.0, "v")
    # It never idles, so that the waiting job does not keep it.
    assert cluster.next_assignment() is None
    assert (cluster.n_retiring, cluster.n_draining, cluster.n_idle) == (0, 1, 0)
    assert cluster.can_kill(1)  # the other one
    cluster.worker_stopped(7.0, "v")
    assert cluster.fits[0]
    assert not cluster.can_kill(1)  # there is room


@pytest.mark.parametrize("event", ["worker_lost", "worker_abandoned", "task_failed"])
def test_a_retiring_worker_may_end_otherwise(event: str) -> None:
    cluster = crowded()
    cluster.worker_retiring(3.0, "v")
    getattr(cluster, event)(4.0, "v")
    assert cluster.n_retiring == 0
    assert cluster.n_draining == (event != "worker_lost")
    assert cluster.waiting == (1 if event == "task_failed" else 2)


def test_nothing_is_retired_for_the_sake_of_a_limit_on_the_workers() -> None:
    cluster = Cluster(small(cluster={"max_workers": 1}))
    cluster.worker_spawned(0.0, "w", 1)
    cluster.worker_ready(1.0, "w")
    for job_id in ("a", "b"):
        cluster.job_arrived(2.0, Job(job_id, REQUEST, (5.0, 5.0)))
    cluster.task_assigned(2.0, "a", "w")
    assert not cluster.fits[0]
    assert not cluster.can_kill(1)


@pytest.mark.parametrize("preference", [0.1, 0.5, 0.9])
def test_to_idle_for_the_break_even_time_costs_as_much_as_to_boot_again(preference: float) -> None:
    cluster = Cluster(small(), preference=preference)
    cores = cluster.flavor_cost(1)
    idling = (1 - preference) * cores * cluster.break_even_s(1)
    booting = ((1 - preference) * cores + preference) * cluster.boot_s
    assert idling == pytest.approx(booting)


def test_what_a_worker_uses_follows_what_it_does() -> None:
    usage = {"boot_cores": 3.0, "idle_cores": 0.02, "base_ram_gib": 0.5}
    cluster = Cluster(small(timing={"usage": usage}))
    cluster.worker_spawned(0.0, "w", 1)

    def figures() -> tuple[int, int]:
        return cluster.used_cpu.value, cluster.used_ram.value

    assert figures() == (2000, 512)  # no more than the flavor's vCPUs
    cluster.worker_ready(1.0, "w")
    assert figures() == (20, 512)
    cluster.job_arrived(1.0, Job("a", REQUEST, (4.0, 3.0)))
    cluster.task_assigned(1.0, "a", "w")
    assert figures() == (20, 512)
    cluster.file_downloaded(2.0, "w", 1.4, 0.75)
    assert figures() == (1400, 768)
    cluster.task_failed(3.0, "w")
    assert figures() == (20, 512)
    cluster.worker_draining(4.0, "w")
    assert figures() == (20, 512)
    cluster.worker_stopped(5.0, "w")
    assert figures() == (0, 0)
    assert cluster.used_cpu.integral(5.0) == 2000 + 20 + 1400 + 20 + 20


def test_an_action_of_no_flavor_cannot_be_carried_out() -> None:
    cluster = Cluster(small())
    for worker_id, flavor in (("v", 0), ("w", 1)):
        cluster.worker_spawned(1.0, worker_id, flavor)
        cluster.worker_ready(1.0, worker_id)
    assert cluster.can(KEEP)
    assert cluster.can(spawn(0))
    assert cluster.can(kill(1))
    for flavor in (-1, 2, 99):
        assert not cluster.can(spawn(flavor))
        assert not cluster.can(kill(flavor))


def test_the_expected_boot_time_is_the_profiles_unless_told() -> None:
    assert Cluster(small()).boot_s == 1.0
    assert Cluster(small(), boot_s=3.5).boot_s == 3.5


def test_an_unknown_discipline() -> None:
    with pytest.raises(Exception, match="unknown queue discipline 'lifo'"):
        Cluster(small(), discipline="lifo")
