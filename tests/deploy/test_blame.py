"""Whose fault a failure is, and what follows: the rules one by one, and over random fleets."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.blame import PATIENCE_WITH_JOBS, Blame, Retries, Verdict
from deploy.faults import whose
from deploy.scheduler import Scheduler
from deploy.steps import Assign, Failed, Requeued, Spawn, Step, Stop, Uploaded
from deploy.tasks import Estimate, Fault, Progress, TaskError
from env.actions import KEEP, Action, spawn
from env.cluster import Cluster
from env.config import load_profile
from env.dispatch import Discipline
from env.jobs import Request

TRANSCODING, STORAGE = TaskError.TRANSCODING_FAILED, TaskError.STORAGE_ERROR


def blame(max_attempts: int = 3, **retries: float) -> Blame:
    return Blame(max_attempts, Retries(**retries))  # type: ignore[arg-type]


def failed(
    blame: Blame, job: str, worker: str, fault: Fault = Fault.WORKER, now: float = 0.0
) -> Verdict:
    return blame.failed(now, job, worker, fault, "no")


def test_a_worker_that_fails_with_everything_costs_no_job_its_attempts() -> None:
    judge = blame(max_attempts=1)
    assert not any(failed(judge, "j", f"w{i}").ends for i in range(PATIENCE_WITH_JOBS - 1))
    assert failed(judge, "j", "one more").ends  # but it does not go on for ever


def test_workers_that_can_do_other_jobs_are_the_jobs_attempts() -> None:
    judge = blame(max_attempts=3)
    for i in range(3):
        judge.succeeded(f"other{i}", f"w{i}")
        verdict = failed(judge, "j", f"w{i}")
        assert verdict.counted
        assert verdict.ends == (i == 2)


def test_one_worker_counts_twice_only_if_it_has_done_another_job_in_between() -> None:
    judge = blame(max_attempts=2)
    judge.succeeded("other", "w")
    assert [failed(judge, "j", "w").counted for _ in range(3)] == [True, False, False]
    judge.succeeded("another", "w")
    assert failed(judge, "j", "w").ends


def test_lost_workers_always_count() -> None:
    judge = blame(max_attempts=3)
    assert [judge.lost("j", f"w{i}").ends for i in range(3)] == [False, False, True]


@pytest.mark.parametrize("first", [Fault.JOB, Fault.UNKNOWN])
@pytest.mark.parametrize("second", [Fault.JOB, Fault.UNKNOWN])
def test_two_workers_end_a_job_and_are_not_blamed_for_it(first: Fault, second: Fault) -> None:
    judge = blame(quarantine_after=2)
    assert not failed(judge, "j", "a", first).ends
    assert judge.rests("a", 0.1)
    verdict = failed(judge, "j", "b", second)
    assert (verdict.ends, verdict.fault) == (True, Fault.JOB)
    assert not judge.rests("a", 0.1)
    assert failed(judge, "x", "a").quarantine == 0  # its first own failure in a row
    assert failed(judge, "y", "a").quarantine == 2


def test_the_same_worker_confirms_only_after_a_success() -> None:
    judge = blame()
    assert not failed(judge, "j", "a", Fault.UNKNOWN).ends
    assert not failed(judge, "j", "a", Fault.UNKNOWN).ends
    judge.succeeded("other", "a")
    assert failed(judge, "j", "a", Fault.UNKNOWN).ends


def test_a_worker_that_called_a_good_job_bad_is_not_believed_alone_again() -> None:
    judge = blame()
    failed(judge, "good", "liar", Fault.JOB)
    judge.succeeded("good", "other")
    for i in range(5):
        judge.succeeded(f"j{i}", "liar")
    assert not failed(judge, "j", "liar", Fault.JOB).ends


def test_a_worker_that_fails_every_other_job_ends_few_of_them_alone() -> None:
    judge = blame()
    ends = 0
    for i in range(30):
        judge.succeeded(f"done{i}", "flaky")
        ends += failed(judge, f"j{i}", "flaky", Fault.JOB).ends
    assert ends <= 30 / 2


def test_pauses_double_up_to_the_longest_and_scatter() -> None:
    judge = blame(max_attempts=99, first_pause_s=1.0, longest_pause_s=8.0)
    pauses = [failed(judge, "j", f"w{i}").pause_s for i in range(6)]
    for pause, most in zip(pauses, (1, 2, 4, 8, 8, 8), strict=True):
        assert most / 2 <= pause <= most
    assert len(set(pauses)) == 6


def test_quarantines_come_one_after_the_other_and_more_seldom_without_a_success() -> None:
    judge = blame(quarantine_after=1, quarantine_pause_s=10.0)
    quarantined = [
        now for now in range(200) if failed(judge, f"j{now}", f"w{now}", now=float(now)).quarantine
    ]
    assert quarantined == [0, 10, 30, 70, 150]
    judge.succeeded("j", "w")
    assert not failed(judge, "x", "w", now=200.0).quarantine
    assert failed(judge, "y", "v", now=310.0).quarantine
    assert failed(judge, "z", "u", now=320.0).quarantine


def test_the_operator_is_told_once_that_everything_fails() -> None:
    judge = blame(quarantine_after=3)
    assert not failed(judge, "a", "v").alarm
    assert not failed(judge, "b", "v").alarm
    assert not failed(judge, "c", "v").alarm  # that is one sick worker
    alarm = failed(judge, "d", "w").alarm
    assert alarm == "4 tasks have failed on 2 workers since the last success: no"
    assert not failed(judge, "e", "u").alarm
    assert judge.alarmed
    assert judge.succeeded("f", "u")
    assert not judge.succeeded("g", "u")
    assert not judge.alarmed


def test_what_is_handed_back_is_nobodys_fault() -> None:
    judge = blame(max_attempts=1)
    for _ in range(50):
        verdict = failed(judge, "j", "w", Fault.NONE)
        assert (verdict.ends, verdict.counted, verdict.quarantine) == (False, False, 0)
    assert judge.rests("w", 1.0)  # or it would be given the job again and again


@pytest.mark.parametrize(
    ("error", "message", "told", "fault"),
    [
        (
            TRANSCODING,
            "av_interleaved_write_frame(): No space left on device",
            Fault.UNKNOWN,
            "worker",
        ),
        (TRANSCODING, "Error writing trailer of out.mp4", Fault.JOB, "worker"),
        (TRANSCODING, "Unknown encoder 'libx265'", Fault.UNKNOWN, "worker"),
        (TRANSCODING, "moov atom not found", Fault.UNKNOWN, "job"),
        (TRANSCODING, "ffmpeg failed with code 1", Fault.UNKNOWN, "unknown"),
        (TRANSCODING, "ffmpeg was killed: is the memory too small?", Fault.WORKER, "unknown"),
        (TRANSCODING, "the encoder refuses 1x1", Fault.JOB, "job"),
        (STORAGE, "moov atom not found", Fault.UNKNOWN, "unknown"),
        (STORAGE, "the worker's disk: No space left on device", Fault.UNKNOWN, "worker"),
        (STORAGE, "handed back: the worker is stopping", Fault.UNKNOWN, "none"),
        (STORAGE, "anything", Fault.STORAGE, "storage"),
        (STORAGE, "input-videos/no space left.mp4 does not exist", Fault.UNKNOWN, "unknown"),
    ],
)
def test_words_tell_whose_a_failure_is(
    error: TaskError, message: str, told: Fault, fault: str
) -> None:
    assert whose(error, message, told, ("no space left.mp4", "")) == fault


# -- random fleets --------------------------------------------------------------------

REQUEST = Request(0.0, "bbb_0.mp4", 1000, "fast")
ESTIMATE = Estimate((6.0, 4.0, 3.0), (0.9, 1.4, 2.0), (0.5, 0.6, 0.7))


class Fleet:
    """A policy that keeps so many workers."""

    name = "fleet"
    discipline: Discipline = "fcfs"

    def __init__(self, n: int) -> None:
        self.n = n

    def reset(self, cluster: Cluster) -> None:
        pass

    def act(self, cluster: Cluster) -> Action:
        serving = cluster.n_workers - cluster.n_draining
        return spawn(0) if serving < self.n and cluster.fits[0] else KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        return None


class World:
    """A fleet in virtual time, one of whose first workers is sick."""

    def __init__(self, workers: int, sick: int, jobs: int, bad: int, seed: int) -> None:
        ids = (f"id{i}" for i in count())
        self.random = random.Random(seed)
        self.scheduler = Scheduler(
            load_profile("openstack"), Fleet(workers), new_id=lambda: next(ids), seed=seed
        )
        self.sick_number, self.spawned, self.sick = sick, 0, ""
        self.bad = {f"j{i}" for i in self.random.sample(range(jobs), bad)}
        self.jobs = [f"j{i}" for i in range(jobs)]
        self.events: list[tuple[float, int, str, tuple[str, ...]]] = []
        self.order = count()
        self.ended: dict[str, str] = {}
        self.given: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.now = 0.0

    def at(self, time_s: float, what: str, *names: str) -> None:
        heapq.heappush(self.events, (time_s, next(self.order), what, names))

    def run(self) -> None:
        for i, job_id in enumerate(self.jobs):
            self.at(0.1 * i, "submit", job_id)
        self.take(self.scheduler.resume(0.0))
        while len(self.ended) < len(self.jobs):
            wake = self.scheduler.wake_at
            assert self.events or wake is not None, "jobs wait for ever"
            if not self.events or (wake is not None and wake < self.events[0][0]):
                assert wake is not None
                self.now = max(self.now, wake)
                self.take(self.scheduler.tick(self.now))
                continue
            self.now, _, what, names = heapq.heappop(self.events)
            assert self.now < 10_000, f"jobs wait too long: {self.ended}"
            self.take(self.happen(what, names))

    def happen(self, what: str, names: tuple[str, ...]) -> list[Step]:
        scheduler, now = self.scheduler, self.now
        if what == "submit":
            return scheduler.submit(now, names[0], REQUEST, ESTIMATE)
        if what == "ready":
            return scheduler.registered(now, names[0])
        if what == "gone":
            return scheduler.gone(now, names[0], "stopped")
        worker_id, task_id = names
        if what == "fails":
            error, fault = self.random.choice(list(TaskError)), self.random.choice(list(Fault))
            if fault is Fault.STORAGE:  # as the controller judges it: the storage is well
                fault = Fault.WORKER
            return scheduler.failed(now, worker_id, task_id, error, "no", fault)
        if what == "refuses":
            return scheduler.failed(now, worker_id, task_id, TRANSCODING, "no", Fault.JOB)
        steps: list[Step] = []
        for progress in (Progress.DOWNLOADED, Progress.TRANSCODED, Progress.UPLOADED):
            steps += scheduler.progressed(now, worker_id, task_id, progress)
        return steps

    def take(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Spawn(worker_id):
                    if self.spawned == self.sick_number:
                        self.sick = worker_id
                    self.spawned += 1
                    self.at(self.now + 2.0, "ready", worker_id)
                case Stop(worker_id):
                    self.at(self.now + 0.5, "gone", worker_id)
                case Assign(job_id, worker_id, task_id):
                    self.given[job_id] += 1
                    if worker_id == self.sick:
                        self.at(self.now + 0.01, "fails", worker_id, task_id)
                    elif job_id in self.bad:
                        self.at(self.now + 0.2, "refuses", worker_id, task_id)
                    else:
                        self.at(self.now + 3.0, "done", worker_id, task_id)
                case Requeued(job_id, counted=counted):
                    self.counted[job_id] += counted
                case Failed(job_id) | Uploaded(job_id):
                    assert job_id not in self.ended
                    self.ended[job_id] = type(step).__name__


@given(
    workers=st.integers(2, 6),
    sick=st.integers(0, 5),
    jobs=st.integers(1, 40),
    bad_share=st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_with_one_sick_worker_every_good_job_is_done_once(
    workers: int, sick: int, jobs: int, bad_share: float, seed: int
) -> None:
    world = World(workers, sick % workers, jobs, int(bad_share * jobs), seed)
    world.run()
    for job_id in world.jobs:
        assert world.ended[job_id] == ("Failed" if job_id in world.bad else "Uploaded")
    assert max(world.counted.values(), default=0) < 3
    assert sum(world.given.values()) <= 2 * jobs + 20


def test_a_cluster_of_one_sick_worker_gets_another_one() -> None:
    world = World(workers=1, sick=0, jobs=5, bad=1, seed=1)
    world.run()
    assert Counter(world.ended.values()) == {"Uploaded": 4, "Failed": 1}
    assert world.spawned == 2
