"""The scheduler under random events, legal and not, and a policy that orders at random."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agents.decision import Decision, Source
from agents.registry import make_policy
from deploy.scheduler import MOST_ORDERS, Scheduler
from deploy.steps import (
    AllFail,
    AllFailOver,
    Assign,
    Cancelled,
    Decided,
    Downloaded,
    Failed,
    Gone,
    Held,
    Lost,
    Placed,
    Quarantined,
    Registered,
    Released,
    Requeued,
    Retire,
    Spawn,
    SpawnFailed,
    Step,
    Stop,
    StorageAway,
    StorageBack,
    Transcoded,
    Uploaded,
    Withdrawn,
)
from deploy.tasks import (
    Estimate,
    Fault,
    PastFailure,
    Progress,
    RestoredJob,
    RestoredTask,
    RestoredWorker,
    TaskError,
)
from env.actions import KEEP, Action, kill, spawn
from env.cluster import Cluster
from env.config import Profile, load_profile
from env.dispatch import Discipline
from env.errors import DaCircoError, IllegalEventError
from env.jobs import Request
from env.worker import WorkerState

REQUEST = Request(0.0, "bbb_0.mp4", 1000, "fast")
ESTIMATE = Estimate((60.0, 40.0, 30.0), (0.9, 1.4, 2.0), (0.5, 0.6, 0.7))
PICKS = st.integers(0, 999)
WAITS = st.sampled_from([0.0, 0.0, 0.5, 3.0, 40.0])


@pytest.fixture(autouse=True, scope="module")
def without_tracebacks() -> Iterator[None]:
    """The erratic policy fails thousands of times; writing that down takes most of the time."""
    logger = logging.getLogger("deploy.deciding")
    logger.disabled = True
    yield
    logger.disabled = False


class Erratic:
    """Orders at random, also what cannot be; fails now and then."""

    name = "erratic"
    discipline: Discipline = "fcfs"

    def __init__(self, seed: int, faults: bool = True) -> None:
        self.random, self.faults = random.Random(seed), faults

    def reset(self, cluster: Cluster) -> None:
        pass

    def act(self, cluster: Cluster) -> Action:
        roll = self.random.random()
        flavor = self.random.randrange(-1, cluster.n_flavors + 1)
        if self.faults and roll < 0.03:
            raise RuntimeError("no idea")
        if roll < 0.5:
            return KEEP
        return spawn(flavor) if roll < 0.85 else kill(flavor)

    def wake_at(self, cluster: Cluster) -> float | None:
        if self.faults and self.random.random() < 0.03:
            raise RuntimeError("no idea")
        return cluster.now + self.random.uniform(-5.0, 20.0)


@dataclass
class Attempt:
    """A task in the books."""

    job_id: str
    task_id: str
    progress: Progress = Progress.ASSIGNED


def picture(scheduler: Scheduler) -> object:
    """What an event must not change when it is refused."""
    c = scheduler.cluster
    return (
        c.now,
        [(w.worker_id, w.state, w.phase, w.node) for w in c.workers.values()],
        sorted(map(str, c.jobs)),
        (c.waiting, c.held, c.in_service, c.completed, c.failed, c.boots, c.spawn_failures),
        (c.requeued, c.gate_open),
        [(node.free_millicores, node.free_mib) for node in c.nodes],
        scheduler.wake_at,
    )


class SchedulerMachine(RuleBasedStateMachine):
    """Books of jobs and workers, kept from the steps alone."""

    @initialize(
        seed=PICKS,
        max_attempts=st.integers(1, 3),
        max_workers=st.sampled_from([None, 1, 3]),
        max_vcpus=st.sampled_from([None, 4.0]),
    )
    def start(
        self, seed: int, max_attempts: int, max_workers: int | None, max_vcpus: float | None
    ) -> None:
        profile = load_profile("openstack")
        limited = replace(profile.cluster, max_workers=max_workers, max_vcpus=max_vcpus)
        profile = replace(profile, cluster=limited)
        self.limit = max_workers
        ids = (f"id{i}" for i in count())
        self.scheduler = Scheduler(
            profile, Erratic(seed), max_attempts=max_attempts, new_id=lambda: next(ids)
        )
        self.max_attempts = max_attempts
        self.now = 0.0
        self.waiting: dict[str, int] = {}  # attempts so far
        self.held: dict[str, float | None] = {}
        self.storage_away = False
        self.attempts: dict[str, int] = {}
        self.ended: dict[str, str] = {}
        self.workers: dict[str, str] = {}  # booting, idle, busy, draining
        self.retiring: set[str] = set()
        self.tasks: dict[str, Attempt] = {}
        self.gone: list[str] = []
        self.old_tasks: list[tuple[str, str]] = []
        self.submitted = 0
        self.took(self.scheduler.resume(0.0))

    def took(self, steps: list[Step]) -> None:
        """Book what the steps say; each must fit what the books say already."""
        asked = 0
        for step in steps:
            match step:
                case Decided(decision, carried_out):
                    asked += 1
                    if decision.reason == "policy-failed":
                        assert (decision.source, decision.action) == (Source.SHIELD, KEEP)
                    assert carried_out or decision.action is not KEEP
                case Spawn(worker_id, name):
                    assert worker_id not in self.workers
                    assert worker_id[:8] in name
                    self.workers[worker_id] = "booting"
                case Registered(worker_id):
                    assert self.workers[worker_id] == "booting"
                    self.workers[worker_id] = "idle"
                case Assign(job_id, worker_id, task_id, attempts):
                    assert self.workers[worker_id] == "idle"
                    assert worker_id not in self.retiring
                    assert attempts == self.waiting.pop(job_id) + 1
                    assert job_id not in self.held
                    assert not self.storage_away
                    self.workers[worker_id] = "busy"
                    self.attempts[job_id] = attempts
                    self.tasks[worker_id] = Attempt(job_id, task_id)
                case Downloaded() | Transcoded():
                    pass
                case Uploaded(job_id, worker_id, task_id, sojourn_s):
                    self.end_task(worker_id, task_id)
                    assert job_id not in self.ended
                    assert 0 <= sojourn_s <= self.now
                    self.ended[job_id] = "completed"
                case Failed(job_id, worker_id, task_id, attempts):
                    self.end_task(worker_id, task_id)
                    assert job_id not in self.ended
                    assert attempts == self.attempts[job_id]
                    self.ended[job_id] = "error"
                case Requeued(job_id, worker_id, task_id, attempts):
                    self.end_task(worker_id, task_id)
                    assert attempts == self.attempts[job_id]
                    self.waiting[job_id] = attempts
                case Held(job_id, pause_s):
                    assert job_id in self.waiting
                    assert job_id not in self.held
                    assert pause_s is None or 0 < pause_s <= 60.0
                    self.held[job_id] = pause_s
                case Released(job_id):
                    del self.held[job_id]
                case Withdrawn(job_id, attempts):
                    assert attempts == self.waiting.pop(job_id)
                    self.held.pop(job_id, None)
                    self.ended[job_id] = "error"
                case Cancelled(job_id, worker_id, task_id, attempts, _, _):
                    if task_id:
                        assert attempts == self.attempts[job_id]
                        self.end_task(worker_id, task_id)
                    else:
                        assert (worker_id, attempts) == ("", self.waiting.pop(job_id))
                        self.held.pop(job_id, None)
                    self.ended[job_id] = "cancelled"
                case Quarantined(worker_id):
                    assert self.workers[worker_id] == "idle"  # its task has ended before
                case StorageAway():
                    assert not self.storage_away
                    self.storage_away = True
                case StorageBack():
                    assert self.storage_away
                    self.storage_away = False
                case AllFail() | AllFailOver():
                    pass
                case SpawnFailed(worker_id):
                    assert self.workers[worker_id] == "booting"
                case Lost(worker_id):
                    assert self.workers[worker_id] == "idle"  # its task has ended before
                case Stop(worker_id):
                    assert self.workers[worker_id] in ("booting", "idle")
                    self.workers[worker_id] = "draining"
                case Retire(worker_id):
                    assert self.workers[worker_id] == "busy"
                    self.retiring.add(worker_id)
                case Gone(worker_id):
                    self.retiring.discard(worker_id)
                    del self.workers[worker_id]
                    self.gone.append(worker_id)
                case Placed():
                    pass
        assert asked <= MOST_ORDERS

    def end_task(self, worker_id: str, task_id: str) -> None:
        task = self.tasks.pop(worker_id)
        assert (task.task_id, self.workers[worker_id]) == (task_id, "busy")
        self.workers[worker_id] = "idle"
        self.old_tasks.append((worker_id, task_id))

    def later(self, wait: float) -> float:
        self.now += wait
        return self.now

    def one(self, states: tuple[str, ...], pick: int) -> str | None:
        able = [worker for worker, state in self.workers.items() if state in states]
        return able[pick % len(able)] if able else None

    # -- what may happen ------------------------------------------------------------------

    @rule(wait=WAITS, held=st.booleans(), often=st.booleans())
    def submit(self, wait: float, held: bool, often: bool) -> None:
        job_id, held = f"job{self.submitted}", held and often
        self.submitted += 1
        self.waiting[job_id] = 0
        now = self.later(wait)
        self.took(self.scheduler.submit(now, job_id, REQUEST, ESTIMATE, held=held))

    @rule(wait=WAITS, pick=PICKS, there=st.booleans())
    def look_for_an_input(self, wait: float, pick: int, there: bool) -> None:
        unseen = [job_id for job_id, pause in self.held.items() if pause is None]
        if not unseen:
            return
        job_id, now = unseen[pick % len(unseen)], self.later(wait)
        if there:
            self.took(self.scheduler.release(now, job_id))
        else:
            self.took(self.scheduler.withdraw(now, job_id, "no such video"))

    @rule(wait=WAITS, pick=PICKS, can_tell=st.booleans())
    def cancel(self, wait: float, pick: int, can_tell: bool) -> None:
        of_worker = {task.job_id: worker_id for worker_id, task in self.tasks.items()}
        living = [*self.waiting, *of_worker]
        if not living:
            return
        job_id, now = living[pick % len(living)], self.later(wait)
        worker_id = of_worker.get(job_id, "")
        retires = worker_id in self.retiring
        self.took(self.scheduler.cancel(now, job_id, "no more", lambda _: can_tell))
        assert self.ended[job_id] == "cancelled"
        if worker_id and (retires or not can_tell):
            assert self.workers[worker_id] == "draining"

    @rule(wait=WAITS, pick=PICKS)
    def retry(self, wait: float, pick: int) -> None:
        ended = [job_id for job_id, how in self.ended.items() if how != "completed"]
        if not ended:
            return
        job_id = ended[pick % len(ended)]
        del self.ended[job_id]
        attempts = self.waiting[job_id] = self.attempts.get(job_id, 0)
        now = self.later(wait)
        self.took(self.scheduler.submit(now, job_id, REQUEST, ESTIMATE, attempts=attempts))

    @rule(wait=WAITS, away=st.booleans())
    def storage(self, wait: float, away: bool) -> None:
        now = self.later(wait)
        took = (
            self.scheduler.storage_away(now, "down") if away else self.scheduler.storage_back(now)
        )
        self.took(took)

    @rule(wait=WAITS, pick=PICKS)
    def register(self, wait: float, pick: int) -> None:
        worker_id = self.one(("booting",), pick)
        if worker_id is not None:
            self.took(self.scheduler.registered(self.later(wait), worker_id))

    @rule(wait=WAITS, pick=PICKS, steps=st.integers(1, 3))
    def get_on(self, wait: float, pick: int, steps: int) -> None:
        worker_id = self.one(("busy",), pick)
        if worker_id is None:
            return
        task = self.tasks[worker_id]
        for _ in range(steps):
            if task.progress is Progress.UPLOADED:
                break
            task.progress = Progress(task.progress + 1)
            now = self.later(wait)
            self.took(self.scheduler.progressed(now, worker_id, task.task_id, task.progress))

    @rule(
        wait=WAITS,
        pick=PICKS,
        error=st.sampled_from(TaskError),
        fault=st.sampled_from(Fault),
        seen=st.booleans(),
    )
    def fail(self, wait: float, pick: int, error: TaskError, fault: Fault, seen: bool) -> None:
        worker_id = self.one(("busy",), pick)
        if worker_id is None:
            return
        task = self.tasks[worker_id]
        self.took(
            self.scheduler.failed(
                self.later(wait), worker_id, task.task_id, error, "no", fault, seen=seen
            )
        )
        if fault in (Fault.NONE, Fault.STORAGE):
            assert task.job_id not in self.ended
        if fault is Fault.JOB and seen:
            assert self.ended[task.job_id] == "error"

    @rule(wait=WAITS, pick=PICKS)
    def give_up(self, wait: float, pick: int) -> None:
        worker_id = self.one(("booting", "idle", "busy"), pick)
        if worker_id is not None:
            self.took(self.scheduler.give_up(self.later(wait), worker_id, "silent"))

    @rule(wait=WAITS, pick=PICKS, stopped=st.booleans())
    def vanish(self, wait: float, pick: int, stopped: bool) -> None:
        states = ("draining",) if stopped else ("booting", "idle", "busy", "draining")
        worker_id = self.one(states, pick)
        if worker_id is not None:
            self.took(self.scheduler.gone(self.later(wait), worker_id, "gone"))

    @rule(wait=WAITS, pick=PICKS, node=st.sampled_from(["compute1", "compute3", "elsewhere"]))
    def place(self, wait: float, pick: int, node: str) -> None:
        worker_id = self.one(("booting", "idle", "busy", "draining"), pick)
        if worker_id is not None:
            self.took(self.scheduler.placed(self.later(wait), worker_id, node))

    @rule(wait=WAITS)
    def tick(self, wait: float) -> None:
        self.took(self.scheduler.tick(self.later(wait)))

    @rule(preference=st.floats(0.1, 0.9))
    def turn(self, preference: float) -> None:
        self.took(self.scheduler.set_preference(self.now, preference))
        assert self.scheduler.cluster.preference == preference

    # -- what repeats, and what may not be ----------------------------------------------------

    @rule(pick=PICKS)
    def repeat(self, pick: int) -> None:
        before = picture(self.scheduler)
        worker_id = self.one(("idle", "busy"), pick)
        if worker_id is None:
            return
        assert self.scheduler.registered(self.now, worker_id) == []
        task = self.tasks.get(worker_id)
        if task is not None:
            for progress in range(1, task.progress + 1):
                again = self.scheduler.progressed(
                    self.now, worker_id, task.task_id, Progress(progress)
                )
                assert again == []
        assert picture(self.scheduler) == before

    @rule(pick=PICKS, progress=st.sampled_from(Progress), error=st.sampled_from(TaskError))
    def nonsense(self, pick: int, progress: Progress, error: TaskError) -> None:
        scheduler, now = self.scheduler, self.now
        strangers = ["nobody", *self.gone[-3:]]
        stranger = strangers[pick % len(strangers)]
        calls: list[Callable[[], object]] = [
            lambda: scheduler.registered(now, stranger),
            lambda: scheduler.progressed(now, stranger, "none", progress),
            lambda: scheduler.failed(now, stranger, "none", error, "no"),
            lambda: scheduler.give_up(now, stranger, "no"),
            lambda: scheduler.gone(now, stranger, "no"),
            lambda: scheduler.cancel(now, "nobodys", "no", lambda _: True),
            lambda: scheduler.placed(now, stranger, ("compute1", "elsewhere")[pick % 2]),
        ]
        draining = self.one(("draining",), pick)
        if draining is not None:
            calls.append(lambda: scheduler.registered(now, draining))
            calls.append(lambda: scheduler.give_up(now, draining, "no"))
        known = self.one(("booting", "idle", "busy", "draining"), pick)
        if known is not None:
            calls.append(lambda: scheduler.progressed(now, known, "none", progress))
            calls.append(lambda: scheduler.failed(now, known, "none", error, "no"))
        busy = self.one(("busy",), pick)
        if busy is not None:
            task = self.tasks[busy]
            for others, of_other in self.tasks.items():
                if others != busy:
                    calls.append(
                        lambda t=of_other: scheduler.progressed(now, busy, t.task_id, progress)  # type: ignore[misc]
                    )
            if task.progress < Progress.TRANSCODED:
                calls.append(
                    lambda: scheduler.progressed(now, busy, task.task_id, Progress.UPLOADED)
                )
        before = picture(scheduler)
        for call in calls:
            with pytest.raises(IllegalEventError):
                call()
        assert picture(scheduler) == before

    # -- what must hold --------------------------------------------------------------------

    @invariant()
    def no_job_is_lost(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        running = [task.job_id for task in self.tasks.values()]
        everywhere = [*self.waiting, *running, *self.ended]
        assert sorted(everywhere) == sorted(f"job{i}" for i in range(self.submitted))
        cluster = self.scheduler.cluster
        assert cluster.waiting + cluster.held == len(self.waiting)
        assert cluster.in_service == len(running)
        assert all(cluster.is_waiting(job_id) for job_id in self.waiting)

    @invariant()
    def the_cluster_says_the_same(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        states = {w: worker.state.name.lower() for w, worker in self.scheduler.workers()}
        assert states == self.workers
        for worker_id, state in states.items():
            task = self.tasks.get(worker_id)
            expected = None if task is None else (task.job_id, task.task_id)
            assert self.scheduler.task_of(worker_id) == expected
            assert (expected is not None) == (state == "busy")
        assert len(self.workers) <= (self.limit or 10**6)
        # No idle worker beside a job that it may have, but for one whose rest has just ended.
        scheduler, cluster = self.scheduler, self.scheduler.cluster
        assert self.storage_away == scheduler.storage_is_away
        free = [] if self.storage_away else [job for job in self.waiting if job not in self.held]
        idle = [cluster.workers[worker] for worker, state in states.items() if state == "idle"]
        wake = scheduler.wake_at
        if any(scheduler._may_do(cluster.jobs[job], worker) for job in free for worker in idle):
            assert wake is not None
            assert wake <= self.now
        rests = [scheduler._blame.rests(str(worker.worker_id), self.now) for worker in idle]
        if (free and any(rests)) or any(pause is not None for pause in self.held.values()):
            assert wake is not None  # nothing waits for ever


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


# -- single stories -------------------------------------------------------------------


def scheduler_of(spec: str = "minimize-workers", **options: int) -> Scheduler:
    ids = (f"id{i}" for i in count())
    return Scheduler(
        load_profile("openstack"), make_policy(spec), new_id=lambda: next(ids), **options
    )


def kinds(steps: list[Step]) -> list[str]:
    return [type(step).__name__ for step in steps if not isinstance(step, Decided)]


def test_a_jobs_way() -> None:
    scheduler = scheduler_of()
    assert kinds(scheduler.resume(0.0)) == []
    steps = scheduler.submit(1.0, "j", REQUEST, ESTIMATE)
    assert kinds(steps) == ["Spawn"]
    order = steps[1]
    assert isinstance(order, Spawn)
    assert (order.flavor.name, order.node) == ("s10.small", "compute1")
    steps = scheduler.registered(20.0, order.worker_id)
    assert kinds(steps) == ["Registered", "Assign"]
    assign = steps[1]
    assert assign == Assign("j", order.worker_id, "id1", 1, 19.0)
    for now, progress in ((21.0, Progress.DOWNLOADED), (50.0, Progress.TRANSCODED)):
        steps = scheduler.progressed(now, order.worker_id, "id1", progress)
        assert kinds(steps) == [progress.name.capitalize()]
    steps = scheduler.progressed(51.0, order.worker_id, "id1", Progress.UPLOADED)
    assert kinds(steps) == ["Uploaded", "Stop"]
    assert steps[0] == Uploaded("j", order.worker_id, "id1", 50.0)
    # The reply was lost: the worker tells it again, though it was ordered to end.
    assert scheduler.progressed(52.0, order.worker_id, "id1", Progress.UPLOADED) == []
    assert kinds(scheduler.gone(53.0, order.worker_id, "stopped")) == ["Gone"]
    with pytest.raises(IllegalEventError, match="unknown"):
        scheduler.progressed(54.0, order.worker_id, "id1", Progress.UPLOADED)


def test_the_end_of_a_task_may_be_told_again_after_the_next_has_begun() -> None:
    scheduler = scheduler_of("reserve-k")
    scheduler.resume(0.0)
    worker_id = next(scheduler.workers())[0]
    scheduler.registered(1.0, worker_id)
    for job_id in ("a", "b"):
        scheduler.submit(2.0, job_id, REQUEST, ESTIMATE)
    first = scheduler.task_of(worker_id)
    assert first is not None
    for progress in (Progress.DOWNLOADED, Progress.TRANSCODED, Progress.UPLOADED):
        scheduler.progressed(3.0, worker_id, first[1], progress)
    second = scheduler.task_of(worker_id)
    assert second is not None
    assert {first[0], second[0]} == {"a", "b"}
    assert scheduler.progressed(4.0, worker_id, first[1], Progress.UPLOADED) == []
    with pytest.raises(IllegalEventError, match="the task has ended"):
        scheduler.failed(4.0, worker_id, first[1], TaskError.STORAGE_ERROR, "late")
    assert scheduler.task_of(worker_id) == second


def test_nothing_is_decided_before_the_restart_is_complete() -> None:
    scheduler = scheduler_of()
    assert scheduler.submit(0.0, "j", REQUEST, ESTIMATE) == []
    assert scheduler.tick(1.0) == []
    assert kinds(scheduler.resume(2.0)) == ["Spawn"]


@pytest.mark.parametrize("progress", [Progress.ASSIGNED, Progress.DOWNLOADED, Progress.TRANSCODED])
def test_a_restart_goes_on_where_it_was(progress: Progress) -> None:
    scheduler = scheduler_of(max_attempts=2)
    early = replace(REQUEST, arrival_s=-100.0)
    task = RestoredTask(RestoredJob("j", early, ESTIMATE, 1), "t", progress, -50.0, started=True)
    for worker in (
        RestoredWorker("busy", "b", "s10.small", "compute2", -80.0, registered=True, task=task),
        RestoredWorker("idle", "i", "s10.tiny", None, -80.0, registered=True),
        RestoredWorker("booting", "o", "s10.medium", "away", -10.0, registered=False),
        RestoredWorker("draining", "d", "s10.tiny", "compute3", -9.0, True, draining=True),
    ):
        scheduler.restore_worker(0.0, worker)
    scheduler.restore_job(0.0, RestoredJob("w", replace(early, arrival_s=-30.0), ESTIMATE, 1))
    cluster = scheduler.cluster
    states = {w: worker.state for w, worker in scheduler.workers()}
    assert states == {
        "busy": WorkerState.BUSY,
        "idle": WorkerState.IDLE,
        "booting": WorkerState.BOOTING,
        "draining": WorkerState.DRAINING,
    }
    assert (cluster.boots, cluster.arrivals.count, cluster.spawn_failures) == (0, 0, 0)
    assert cluster.oldest_waiting_since == -30.0
    assert cluster.next_expected_end == -50.0 + 40.0
    assert cluster.reserved_vcpus == 2 + 1 + 4 + 1
    assert not scheduler.starts("busy", "t")
    with pytest.raises(IllegalEventError, match="already known"):
        scheduler.restore_job(0.0, RestoredJob("w", early, ESTIMATE, 1))
    with pytest.raises(IllegalEventError, match="already known"):
        scheduler.restore_worker(
            0.0, RestoredWorker("new", "n", "s10.tiny", None, 0.0, True, task=task)
        )
    with pytest.raises(IllegalEventError, match="no flavor"):
        scheduler.restore_worker(0.0, RestoredWorker("new", "n", "huge", None, 0.0, True))
    for done in range(1, progress + 1):  # what was told before the restart is told again
        assert scheduler.progressed(1.0, "busy", "t", Progress(done)) == []
    assert "Assign" in kinds(scheduler.resume(1.0))
    assert scheduler.task_of("idle") is not None
    for left in range(progress + 1, Progress.UPLOADED + 1):
        steps = scheduler.progressed(2.0, "busy", "t", Progress(left))
    assert steps[0] == Uploaded("j", "busy", "t", 102.0)


def test_nodes_that_held_the_image_are_remembered_as_far_as_they_are_there() -> None:
    scheduler = scheduler_of()
    for node in ("compute2", "gone", "compute2", ""):
        scheduler.restore_image(node)
    cluster = scheduler.cluster
    assert [n.config.name for n in cluster.nodes if n.image_cached] == ["compute2"]
    assert cluster.nodes_cached == 1


def test_a_video_that_kills_its_workers_ends_in_error() -> None:
    scheduler = scheduler_of(max_attempts=2)
    scheduler.resume(0.0)
    scheduler.submit(0.0, "j", REQUEST, ESTIMATE)
    first = booting(scheduler)
    scheduler.registered(1.0, first)
    steps = scheduler.give_up(2.0, first, "silent for 60 s")
    assert kinds(steps) == ["Requeued", "Lost", "Stop", "Held"]
    assert scheduler.wake_at is not None
    assert 2.5 <= scheduler.wake_at <= 3.0
    assert kinds(scheduler.tick(2.4)) == []
    assert kinds(scheduler.tick(3.0)) == ["Released", "Spawn"]
    second = booting(scheduler)
    scheduler.registered(4.0, second)
    steps = scheduler.give_up(5.0, second, "silent for 60 s")
    assert steps[0] == Failed("j", second, "id3", 2, "silent for 60 s", Fault.WORKER)
    assert scheduler.cluster.failed == 1
    assert scheduler.cluster.n_draining == 2  # they may still be there
    assert scheduler.cluster.requeued == 1


def booting(scheduler: Scheduler) -> str:
    return next(w for w, x in scheduler.workers() if x.state is WorkerState.BOOTING)


def two_workers(**options: int) -> Scheduler:
    """Workers id0 and id1, idle."""
    scheduler = scheduler_of("reserve-k:spares=2", **options)
    scheduler.resume(0.0)
    for worker_id in ("id0", "id1"):
        scheduler.registered(1.0, worker_id)
    return scheduler


def fail(scheduler: Scheduler, now: float, job_id: str, fault: Fault) -> list[Step]:
    """Whoever has the job gives it up."""
    worker_id, task_id = next(
        (worker_id, task[1])
        for worker_id, _ in scheduler.workers()
        if (task := scheduler.task_of(worker_id)) is not None and task[0] == job_id
    )
    return scheduler.failed(now, worker_id, task_id, TaskError.TRANSCODING_FAILED, "no", fault)


def test_a_job_goes_to_another_worker_after_a_pause_and_its_worker_rests() -> None:
    scheduler = two_workers()
    assign = scheduler.submit(2.0, "j", REQUEST, ESTIMATE)[0]
    assert isinstance(assign, Assign)
    steps = fail(scheduler, 3.0, "j", Fault.WORKER)
    assert kinds(steps) == ["Requeued", "Held"]
    assert steps[0] == Requeued("j", assign.worker_id, assign.task_id, 1, "no", Fault.WORKER)
    assert not steps[0].counted  # nothing shows yet that the worker can do anything at all
    steps = scheduler.tick(4.0)
    assert kinds(steps) == ["Released", "Assign"]
    assert isinstance(steps[1], Assign)
    assert steps[1].worker_id != assign.worker_id


def test_where_no_other_worker_is_to_be_had_the_same_one_tries_again() -> None:
    scheduler = scheduler_of("reserve-k:spares=0")
    scheduler.resume(0.0)
    scheduler.submit(0.0, "j", REQUEST, ESTIMATE)
    scheduler.registered(1.0, booting(scheduler))
    only = next(scheduler.workers())[0]
    scheduler.cluster.fits = [False] * 3  # the cluster is full
    fail(scheduler, 2.0, "j", Fault.WORKER)
    assert [step.worker_id for step in scheduler.tick(3.0) if isinstance(step, Assign)] == [only]


def test_a_worker_is_believed_alone_only_in_good_standing() -> None:
    scheduler = two_workers()
    scheduler.submit(2.0, "bad", REQUEST, ESTIMATE)
    assert kinds(fail(scheduler, 3.0, "bad", Fault.JOB)) == ["Requeued", "Held"]
    steps = scheduler.tick(4.0)
    assert kinds(fail(scheduler, 5.0, "bad", Fault.JOB)) == ["Failed"]  # a second one confirms
    scheduler.submit(6.0, "good", REQUEST, ESTIMATE)
    worker_id, (_, task_id) = next(
        (worker_id, task)
        for worker_id, _ in scheduler.workers()
        if (task := scheduler.task_of(worker_id)) is not None
    )
    for progress in (Progress.DOWNLOADED, Progress.TRANSCODED, Progress.UPLOADED):
        steps = scheduler.progressed(7.0, worker_id, task_id, progress)
    scheduler.submit(8.0, "bad too", REQUEST, ESTIMATE)
    assert scheduler.task_of(worker_id) is not None  # the last to become idle
    steps = fail(scheduler, 9.0, "bad too", Fault.JOB)
    assert isinstance(steps[0], Failed)
    assert (steps[0].attempts, steps[0].fault) == (1, Fault.JOB)


def test_what_the_controller_has_seen_itself_needs_no_second_worker() -> None:
    scheduler = two_workers()
    scheduler.submit(2.0, "j", REQUEST, ESTIMATE)
    worker_id, (_, task_id) = next(
        (worker_id, task)
        for worker_id, _ in scheduler.workers()
        if (task := scheduler.task_of(worker_id)) is not None
    )
    error, fault = TaskError.STORAGE_ERROR, Fault.JOB
    steps = scheduler.failed(3.0, worker_id, task_id, error, "gone", fault, seen=True)
    assert steps[0] == Failed("j", worker_id, task_id, 1, "gone", Fault.JOB)


def test_a_worker_that_only_fails_is_ended_and_replaced() -> None:
    scheduler = scheduler_of("reserve-k:spares=0")
    scheduler.resume(0.0)
    scheduler.submit(0.0, "j", REQUEST, ESTIMATE)
    sick = booting(scheduler)
    scheduler.registered(1.0, sick)
    scheduler.cluster.fits = [False] * 3
    now = 2.0
    for failures in (1, 2, 3):
        steps = fail(scheduler, now, "j", Fault.WORKER)
        if failures < 3:
            assert kinds(steps) == ["Requeued", "Held"]
            wake = scheduler.wake_at
            while scheduler.task_of(sick) is None:
                assert wake is not None
                scheduler.tick(wake)
                wake = scheduler.wake_at
            now = scheduler.cluster.now + 0.1
    assert kinds(steps) == ["Requeued", "Held", "Quarantined", "Stop"]
    assert steps[2] == Quarantined(sick, 3, "no")
    assert scheduler.cluster.workers[sick].state is WorkerState.DRAINING
    scheduler.gone(now + 1, sick, "stopped")
    steps = scheduler.tick(now + 10)
    assert kinds(steps) == ["Released", "Spawn"]


def test_nothing_is_handed_out_while_the_storage_is_away() -> None:
    scheduler = two_workers()
    scheduler.submit(2.0, "running", REQUEST, ESTIMATE)
    assert kinds(scheduler.storage_away(3.0, "down")) == ["StorageAway"]
    assert scheduler.storage_away(3.0, "down") == []
    assert "Assign" not in kinds(scheduler.submit(4.0, "waits", REQUEST, ESTIMATE))
    steps = fail(scheduler, 5.0, "running", Fault.STORAGE)
    assert kinds(steps) == ["Requeued"]
    assert (scheduler.cluster.waiting, scheduler.cluster.held) == (0, 2)
    steps = scheduler.storage_back(60.0)
    assert kinds(steps)[:3] == ["StorageBack", "Assign", "Assign"]
    assert scheduler.storage_back(61.0) == []


def test_what_an_earlier_life_knew_of_a_job_counts() -> None:
    scheduler = two_workers(max_attempts=3)
    failures = (PastFailure("gone", Fault.JOB, counted=True),)
    scheduler.restore_job(2.0, RestoredJob("j", REQUEST, ESTIMATE, 1, failures))
    scheduler.tick(3.0)
    steps = fail(scheduler, 4.0, "j", Fault.JOB)
    assert kinds(steps) == ["Failed"]


def test_a_preference_that_is_none() -> None:
    scheduler = scheduler_of()
    for wrong in (0.0, 1.0, float("nan")):
        with pytest.raises(DaCircoError, match="is outside"):
            scheduler.set_preference(0.0, wrong)
    assert scheduler.cluster.preference == 0.5


def test_observers_look_on_at_each_epoch_before_the_decision() -> None:
    seen: list[tuple[float, int, Action]] = []

    class Observer:
        def observe(self, cluster: Cluster, decision: Decision) -> None:
            seen.append((cluster.now, cluster.n_workers, decision.action))
            raise RuntimeError("an observer that fails disturbs nobody")

    profile: Profile = load_profile("openstack")
    scheduler = Scheduler(profile, make_policy("minimize-workers"), observers=[Observer()])
    scheduler.resume(0.0)
    scheduler.submit(1.0, "j", REQUEST, ESTIMATE)
    scheduler.tick(2.0)
    assert seen == [(0.0, 0, KEEP), (1.0, 0, spawn(1)), (2.0, 1, KEEP)]


def test_keeping_an_empty_cluster_is_routine_only_on_a_tick() -> None:
    scheduler = scheduler_of()
    assert [step.routine for step in scheduler.resume(0.0) if isinstance(step, Decided)] == [True]
    steps = scheduler.submit(1.0, "j", REQUEST, ESTIMATE)
    assert not any(step.routine for step in steps if isinstance(step, Decided))
    steps = scheduler.tick(2.0)
    assert not any(step.routine for step in steps if isinstance(step, Decided))
