"""A scheduler that everything happens to, with the log that a controller writes of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from agents.loading import live_policy
from deploy.controller.journal import lines_of
from deploy.estimates import Estimates
from deploy.eventlog.keeps import Keeps
from deploy.eventlog.restored import job_keys, worker_keys
from deploy.eventlog.world import world_keys
from deploy.eventlog.writer import EventLog
from deploy.scheduler import Scheduler
from deploy.steps import Assign, Step
from deploy.tasks import Fault, Progress, RestoredJob, RestoredTask, RestoredWorker, TaskError
from deploy.urgency import urgency_keys
from env.catalog import load_catalog
from env.config import load_profile
from env.errors import IllegalEventError
from env.event_log import EventCode
from env.jobs import PLAIN, Request, Speed, Urgency
from env.worker import WorkerState

START = 1_790_000_000.123456
"""Seconds since the epoch: where floats are coarse."""


URGENT = (Urgency(1800.0), Urgency(-1800.0), Urgency(0.0, 33.123456), Urgency(1800.0, -5.5))


class Recorder:
    """A scheduler to which random things happen, with the log that a controller writes of it."""

    def __init__(
        self,
        folder: Path,
        policy: str,
        fallback: str,
        seed: int,
        inherits: bool = False,
        max_vcpus: float | None = None,
        log: EventLog | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.log = log or EventLog(folder)
        self.keeps = Keeps(self.log)
        profile = load_profile("openstack")
        profile = replace(
            profile, cluster=replace(profile.cluster, max_workers=7, max_vcpus=max_vcpus)
        )
        catalog = load_catalog("bbb")
        self.movies = list(catalog)
        self.estimates = Estimates(profile, catalog)
        self.policy, _ = live_policy(policy, fallback, clock=lambda: 0.0)
        ids = (f"id{seed}-{i}" for i in count())
        self.new_id: Callable[[], str] = lambda: next(ids)
        self.scheduler = Scheduler(
            profile, self.policy, preference=0.4, boot_s=self.estimates.boot_s, new_id=self.new_id
        )
        self.now = 0.0
        self.unseen: list[str] = []
        self.cancelled: list[tuple[str, Request, int]] = []
        image_nodes = ("compute2", "gone") if inherits else ()
        for node in image_nodes:
            self.scheduler.restore_image(node)
        self.write(
            EventCode.CONTROLLER_STARTED,
            late=0.3 if inherits else 0.0,  # it is written when all is restored
            controller_id="c",
            policy=policy,
            fallback=fallback,
            mode="active",
            preference="0.4",
            jobs=8 * inherits,
            workers=7 * inherits,
            **world_keys(
                profile, "bbb", self.estimates.boot_s, self.policy.discipline, image_nodes
            ),
        )
        if inherits:
            self.inherit()
        self.took(self.scheduler.resume(self.now))

    def inherit(self) -> None:
        """What an earlier life left: waiting jobs, and a worker in each state."""

        def job(ago: float) -> RestoredJob:
            movie = self.random.choice(self.movies)
            request = Request(-ago, movie, 3000, "fast")
            estimate = self.estimates.of(movie, 3000, "fast")
            return RestoredJob(self.new_id(), request, estimate, self.random.randint(0, 2))

        def worker(flavor: str, **changes: Any) -> RestoredWorker:
            worker_id, ago = self.new_id(), self.random.uniform(100.0, 200.0)
            node = self.random.choice(["compute1", "compute3", None])
            given = {"registered": True, **changes}
            return RestoredWorker(worker_id, f"w-{worker_id}", flavor, node, -ago, **given)

        workers = [
            worker("s10.tiny", registered=False),
            worker("s10.small"),
            worker("s10.tiny", draining=True),
            worker("s10.tiny"),
        ]
        for progress in (Progress.ASSIGNED, Progress.DOWNLOADED, Progress.TRANSCODED):
            task = RestoredTask(job(90.0), self.new_id(), progress, -30.1, started=True)
            workers.append(worker("s10.tiny", task=task))
        for each in workers:
            self.now += 0.0123
            self.scheduler.restore_worker(self.now, each)
            keys = worker_keys(each, self.scheduler.cluster)
            self.write(EventCode.WORKER_RESTORED, **keys)
        for ago in (300.0, 70.5, 12.25, 3.125, 0.01):
            self.now += 0.0123
            waiting = job(ago)
            self.scheduler.restore_job(self.now, waiting)
            self.write(EventCode.JOB_RESTORED, **job_keys(waiting, self.scheduler.cluster))
        self.now = round(self.now + 0.5, 6)
        self.took(self.scheduler.gone(self.now, workers[3].worker_id, "gone meanwhile"))
        self.took(self.scheduler.gone(self.now, workers[5].worker_id, "gone meanwhile"))
        orphan = worker("s10.tiny", draining=True)
        self.now += 0.5
        self.write(
            EventCode.ORPHAN_REMOVED,
            name=orphan.name,
            worker_id=orphan.worker_id,
            flavor=orphan.flavor,
            node=orphan.node or "",
        )
        self.scheduler.restore_worker(self.now, orphan)

    def write(self, code: EventCode, *, late: float = 0.0, **keys: str | int | float) -> None:
        self.keeps.write(code, START + self.now + late, keys)

    def took(self, steps: list[Step], *, folded: bool = False) -> None:
        """As the controller writes it down."""
        if folded and self.keeps.fold(steps, START + self.now):
            return
        for step in steps:
            for code, keys in lines_of(step, self.scheduler.cluster, self.policy.spec):
                self.write(code, **keys)
            if isinstance(step, Assign) and self.scheduler.starts(step.worker_id, step.task_id):
                ids = {"worker_id": step.worker_id, "task_id": step.task_id}
                self.write(EventCode.TASK_STARTED, request_id=step.job_id, **ids)

    def some(self, *states: WorkerState) -> Any:
        workers = [w for _, w in self.scheduler.workers() if w.state in states]
        return self.random.choice(workers) if workers else None

    def step(self) -> None:
        """Time passes, then something happens, as the service would tell of it."""
        self.now += self.random.choice([0.0, self.random.expovariate(0.3), 30.0])
        self.now = round(self.now, 6)
        often = [self.arrive, self.boot, self.stopped] * 2 + [self.work] * 6
        rarely = [self.fail, self.give_up, self.gone, self.tick, self.dial, self.placed]
        rarely += [self.storage, self.look_for_input, self.cancel, self.retry]
        with suppress(IllegalEventError):
            self.random.choice(often + rarely)()

    def arrive(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            movie, bitrate = self.random.choice(self.movies), self.random.randint(500, 8000)
            speed: Speed = "fast" if self.random.random() < 0.5 else "ultrafast"
            job_id, urgent = self.new_id(), self.random.choice([PLAIN, PLAIN, *URGENT])
            if urgent is not PLAIN:
                keys = {"priority": "high", "deadline": "", **urgency_keys(urgent)}
                self.write(EventCode.JOB_URGENCY, request_id=job_id, **keys)
            self.write(
                EventCode.REQUEST_RECEIVED,
                request_id=job_id,
                input_video=movie,
                bitrate=bitrate,
                speed=speed,
            )
            request = Request(self.now, movie, bitrate, speed)
            estimate = self.estimates.of(movie, bitrate, speed)
            unseen = self.random.random() < 0.1
            steps = self.scheduler.submit(
                self.now, job_id, request, estimate, held=unseen, urgency=urgent
            )
            self.took(steps)
            if unseen:
                self.unseen.append(job_id)

    def look_for_input(self) -> None:
        if self.unseen:
            job_id = self.unseen.pop()
            if self.random.random() < 0.5:
                self.took(self.scheduler.release(self.now, job_id))
            else:
                self.took(self.scheduler.withdraw(self.now, job_id, "no such video"))

    def cancel(self) -> None:
        jobs = list(self.scheduler.cluster.jobs.values())
        if jobs:
            job = self.random.choice(jobs)
            can_tell = self.random.random() < 0.5
            job_id = str(job.job_id)
            self.took(self.scheduler.cancel(self.now, job_id, "no more", lambda _: can_tell))
            self.cancelled.append((job_id, job.request, job.attempts))
            self.unseen = [each for each in self.unseen if each != job_id]

    def retry(self) -> None:
        if self.cancelled:
            job_id, asked, attempts = self.cancelled.pop()
            self.write(
                EventCode.JOB_RETRIED,
                request_id=job_id,
                input_video=asked.movie,
                bitrate=asked.bitrate_kbps,
                speed=asked.speed,
                attempts=attempts,
            )
            estimate = self.estimates.of(asked.movie, asked.bitrate_kbps, asked.speed)
            again = replace(asked, arrival_s=self.now)
            steps = self.scheduler.submit(self.now, job_id, again, estimate, attempts=attempts)
            self.took(steps)

    def storage(self) -> None:
        if self.scheduler.storage_is_away:
            self.took(self.scheduler.storage_back(self.now))
        elif self.random.random() < 0.3:
            self.took(self.scheduler.storage_away(self.now, "down"))

    def boot(self) -> None:
        worker = self.some(WorkerState.BOOTING)
        if worker is not None:
            flavor = self.scheduler.cluster.flavors[worker.flavor]
            self.write(
                EventCode.WORKER_REGISTERED,
                name="w",
                worker_id=worker.worker_id,
                node="compute1",
                cpus=flavor.vcpus,
                memory=flavor.ram_gib,
            )
            self.took(self.scheduler.registered(self.now, worker.worker_id))

    def work(self) -> None:
        worker = self.some(WorkerState.BUSY)
        if worker is not None:
            task = self.scheduler.task_of(worker.worker_id)
            assert task is not None
            progress = Progress(int(worker.phase))  # the step that ends this phase
            self.took(self.scheduler.progressed(self.now, worker.worker_id, task[1], progress))

    def fail(self) -> None:
        worker = self.some(WorkerState.BUSY)
        if worker is None:
            return
        task = self.scheduler.task_of(worker.worker_id)
        assert task is not None
        error = self.random.choice(list(TaskError))
        storage = error is TaskError.STORAGE_ERROR
        code = EventCode.STORAGE_ERROR if storage else EventCode.TRANSCODING_ERROR
        self.write(code, worker_id=worker.worker_id, task_id=task[1], error_message="bad")
        fault = self.random.choice(list(Fault))
        self.took(self.scheduler.failed(self.now, worker.worker_id, task[1], error, "bad", fault))

    def give_up(self) -> None:
        worker = self.some(WorkerState.BOOTING, WorkerState.IDLE, WorkerState.BUSY)
        if worker is not None and self.random.random() < 0.4:
            self.took(self.scheduler.give_up(self.now, worker.worker_id, "silent"))

    def gone(self) -> None:
        worker = self.some(*WorkerState)
        if worker is not None and self.random.random() < 0.4:
            self.took(self.scheduler.gone(self.now, worker.worker_id, "vanished"))

    def stopped(self) -> None:
        worker = self.some(WorkerState.DRAINING)
        if worker is not None:
            self.took(self.scheduler.gone(self.now, worker.worker_id, "stopped"))

    def tick(self) -> None:
        """The clock ticks, a few times in a row."""
        for _ in range(self.random.choice([1, 1, 5, 40])):
            self.took(self.scheduler.tick(self.now), folded=True)
            self.now = round(self.now + self.random.choice([1.0, 1.0, 1.0, 0.25]), 6)

    def dial(self) -> None:
        w = self.random.choice([0.1, 0.5, 0.9])
        self.write(EventCode.PREFERENCE_CHANGED, preference=f"{w:g}")
        self.took(self.scheduler.set_preference(self.now, w))

    def placed(self) -> None:
        worker = self.some(WorkerState.BOOTING)
        if worker is not None:
            node = self.random.choice(["compute1", "compute2", "compute3", "elsewhere"])
            self.took(self.scheduler.placed(self.now, worker.worker_id, node))


def record(
    folder: Path,
    policy: str,
    fallback: str = "grace-period:max_idle_time=20",
    seed: int = 0,
    steps: int = 250,
    inherits: bool = False,
    max_vcpus: float | None = None,
    log: EventLog | None = None,
) -> Path:
    """The log of a life; in the folder, or added to one that is open, which is closed."""
    recorder = Recorder(folder, policy, fallback, seed, inherits, max_vcpus, log)
    for _ in range(steps):
        recorder.step()
    recorder.keeps.flush()
    recorder.log.close()
    return recorder.log.path
