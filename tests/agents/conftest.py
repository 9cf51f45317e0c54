"""A real cluster, led by hand through its own events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import pytest

from agents.policy import Policy
from agents.registry import make_policy
from env.actions import KEEP, Action, ActionKind
from env.catalog import Catalog, load_catalog
from env.cluster import Cluster
from env.config import Profile, load_profile
from env.jobs import Job, Request
from env.simulator import Simulator
from env.worker import TaskPhase, Worker, WorkerState

TINY, SMALL, MEDIUM = 0, 1, 2
SERVICE_S = (60.0, 40.0, 30.0)
"""Expected service time of every job, by flavor."""
MOST_ACTIONS = 100
"""More orders than this at one epoch mean that a policy cannot stop."""


class Driver:
    """Does to the cluster what a simulator or a controller would, one event at a time."""

    def __init__(
        self,
        *,
        preference: float = 0.5,
        discipline: str = "sjf",
        boot_s: float = 16.0,
        **limits: float | int,
    ) -> None:
        profile = load_profile("openstack")
        profile = replace(profile, cluster=replace(profile.cluster, **limits))
        self.cluster = Cluster(profile, preference=preference, discipline=discipline, boot_s=boot_s)
        self._ids = count()

    # -- events -----------------------------------------------------------------------

    def at(self, now: float) -> Driver:
        """Let time pass until `now`."""
        self.cluster.tick(now)
        return self

    def later(self, seconds: float) -> Driver:
        """Let time pass."""
        return self.at(self.cluster.now + seconds)

    def arrive(self, jobs: int = 1) -> Driver:
        """Jobs arrive now; nobody dispatches them yet."""
        for _ in range(jobs):
            request = Request(self.cluster.now, "bbb_0.mp4", 1000, "fast")
            job = Job(f"job {next(self._ids)}", request, SERVICE_S[: self.cluster.n_flavors])
            self.cluster.job_arrived(self.cluster.now, job)
        return self

    def boot(self, workers: int = 1, flavor: int = SMALL) -> Driver:
        """Workers are ordered now."""
        for _ in range(workers):
            self.cluster.worker_spawned(self.cluster.now, f"worker {next(self._ids)}", flavor)
        return self

    def in_state(self, state: WorkerState) -> list[Worker]:
        """The workers in a state, oldest first."""
        return [worker for worker in self.cluster.workers.values() if worker.state is state]

    def ready(self, workers: int | None = None) -> Driver:
        """The oldest boots (default: all) end well."""
        for worker in self.in_state(WorkerState.BOOTING)[:workers]:
            self.cluster.worker_ready(self.cluster.now, worker.worker_id)
        return self

    def dispatch(self) -> Driver:
        """Waiting jobs go to idle workers, which transcode them."""
        while (pair := self.cluster.next_assignment()) is not None:
            job, worker = pair
            self.cluster.task_assigned(self.cluster.now, job.job_id, worker.worker_id)
            self.cluster.file_downloaded(self.cluster.now, worker.worker_id)
        return self

    def finish(self, jobs: int | None = None) -> Driver:
        """The oldest busy workers (default: all) deliver."""
        for worker in self.in_state(WorkerState.BUSY)[:jobs]:
            assert worker.phase is TaskPhase.TRANSCODING
            self.cluster.transcoding_completed(self.cluster.now, worker.worker_id)
            self.cluster.file_uploaded(self.cluster.now, worker.worker_id)
        return self

    def stopped(self) -> Driver:
        """All draining workers are gone."""
        for worker in self.in_state(WorkerState.DRAINING):
            self.cluster.worker_stopped(self.cluster.now, worker.worker_id)
        return self

    def idle(self, workers: int = 1, flavor: int = SMALL) -> Driver:
        """Further workers, idle from now on."""
        return self.boot(workers, flavor).ready()

    def busy(self, workers: int = 1, flavor: int = SMALL) -> Driver:
        """Further workers, each with a job from now on."""
        return self.arrive(workers).boot(workers, flavor).ready().dispatch()

    # -- decisions --------------------------------------------------------------------

    def policy(self, spec: str) -> Policy:
        """A policy that has been told to serve this cluster."""
        policy = make_policy(spec)
        policy.reset(self.cluster)
        return policy

    def carry_out(self, action: Action) -> None:
        """Do what a policy ordered, which must be possible."""
        cluster = self.cluster
        assert cluster.can(action), f"{action} cannot be carried out"
        if action.kind is ActionKind.SPAWN:
            self.boot(1, action.flavor)
        elif action.kind is ActionKind.KILL:
            worker = cluster.next_to_end(action.flavor)
            if worker.state is WorkerState.BUSY:
                cluster.worker_retiring(cluster.now, worker.worker_id)
                return
            assert not cluster.waiting, "a worker is killed while jobs wait"
            cluster.worker_draining(cluster.now, worker.worker_id)

    def epoch(self, policy: Policy) -> list[Action]:
        """One decision epoch: dispatch, then all orders until KEEP, carried out."""
        self.dispatch()
        actions: list[Action] = []
        while (action := policy.act(self.cluster)) is not KEEP:
            self.carry_out(action)
            actions.append(action)
            assert len(actions) <= MOST_ACTIONS, "the policy does not stop"
        return actions

    def quiet_until(self, policy: Policy, end: float) -> list[tuple[float, Action]]:
        """Nothing happens until `end` but the policy's own wake-ups; what it orders when."""
        orders: list[tuple[float, Action]] = []
        while (wake := policy.wake_at(self.cluster)) is not None and wake <= end:
            self.at(wake)
            orders += [(wake, action) for action in self.epoch(policy)]
        self.at(end)
        return orders


@pytest.fixture(scope="session")
def drive() -> type[Driver]:
    """The driver's class: call it for an empty cluster of 3 nodes of 6 cores and 16 GiB."""
    return Driver


@pytest.fixture(scope="session")
def openstack() -> Profile:
    """The profile of the existing system."""
    return load_profile("openstack")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The movies of the existing system."""
    return load_catalog("bbb")


@pytest.fixture(scope="session")
def simulate(openstack: Profile, catalog: Catalog) -> Callable[..., Simulator]:
    """Run a policy over requests on the simulator, to the end."""

    def run(policy: Policy, requests: Sequence[Request], preference: float = 0.5) -> Simulator:
        simulator = Simulator(
            openstack,
            requests,
            catalog,
            seed=3,
            preference=preference,
            discipline=policy.discipline,
        )
        simulator.run(policy)
        return simulator

    return run


@pytest.fixture(scope="session")
def requests_at() -> Callable[[Sequence[float]], list[Request]]:
    """Requests at the given times, movies and speeds in turn."""

    def make(times: Sequence[float]) -> list[Request]:
        return [
            Request(time, f"bbb_{i % 10}.mp4", 2000, "fast" if i % 2 else "ultrafast")
            for i, time in enumerate(times)
        ]

    return make
