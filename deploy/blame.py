"""What follows from a failure, for the job and for the worker. Pure, as the scheduler is.

A wrong verdict on a job costs its client the job; one more try costs a worker some seconds. So no
worker is believed alone:

- **The job's fault** ends it in error: at once where the controller has seen the cause itself (no
  such input), or where a worker in good standing says so: its latest result was a success, it has
  had more than two for each job that it has ended alone, and no job that it called bad was done by
  another. What any other worker says, a second one has to confirm, or itself when it has done
  another job meanwhile. An existing worker says only that transcoding failed: that takes two.
- **A worker's fault** is one of the job's attempts (``max_attempts`` counts different workers)
  only if the worker could do its latest other job: where it fails with everything, the job is not
  to blame. A worker that was lost is always one of them: a video that kills its workers must end.
  One worker counts twice only if it has done another job in between: it may be the only one.
- **The storage's fault**, and a task that is handed back, are nobody's.
- After ten times ``max_attempts`` different workers a job ends whatever they said.

A job that goes back to the queue pauses, longer each time, and goes to another worker where there
is one. A worker that has failed rests, longer with each failure in a row that was not proved to be
the job's; after ``quarantine_after`` it is quarantined, but no sooner than ``quarantine_pause_s``
after the one before, and later and later while nobody has any success: a fault that all share is
not mended by new workers. Then the operator is told.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf
from typing import Final

from deploy.tasks import Fault, PastFailure

PATIENCE_WITH_JOBS: Final = 10
"""So many times ``max_attempts`` different workers may fail with a job, whatever the reason."""

_SUCCESSES_FOR_A_WORD: Final = 2


@dataclass(frozen=True, slots=True)
class Retries:
    """How failures are taken, times in seconds.

    Attributes:
        first_pause_s: of a job that has failed, and of a worker; doubles each time. Between a
            half and the whole of it, by lot: jobs that failed together do not come back together.
        longest_pause_s: the longest of these pauses.
        quarantine_after: failures in a row after which a worker is ended.
        quarantine_pause_s: from one quarantine to the next; doubles while nobody has a success.
        longest_quarantine_pause_s: the longest of these.
    """

    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    quarantine_after: int = 3
    quarantine_pause_s: float = 30.0
    longest_quarantine_pause_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a failure.

    Attributes:
        ends: the job ends in error; otherwise it waits again.
        fault: whose fault it is taken for.
        counted: it is one of the job's attempts.
        pause_s: how long the job is held before it may be handed out again, seconds.
        quarantine: how often in a row the worker has failed, if it is to be ended.
        alarm: what to tell the operator, the first time that everything fails everywhere.
    """

    ends: bool
    fault: Fault
    counted: bool = False
    pause_s: float = 0.0
    quarantine: int = 0
    alarm: str = ""


@dataclass(slots=True)
class _Worker:
    """What is known of a worker.

    Attributes:
        in_a_row: failures since its latest success that were not proved to be a job's.
        successes: jobs that it has done.
        succeeded_last: whether its latest result was one.
        ended_alone: jobs that ended in error because of its word alone.
        refuted: it called a job bad that another worker has done.
        handed_back: tasks in a row that it gave back.
        rests_until: nothing is given to it before, seconds.
    """

    in_a_row: int = 0
    successes: int = 0
    succeeded_last: bool = False
    ended_alone: int = 0
    refuted: bool = False
    handed_back: int = 0
    rests_until: float = -inf

    @property
    def in_good_standing(self) -> bool:
        """Whether its word alone can end a job."""
        enough = self.successes > _SUCCESSES_FOR_A_WORD * self.ended_alone
        return self.succeeded_last and enough and not self.refuted


@dataclass(slots=True)
class _Job:
    """What is known of a job that has failed.

    Attributes:
        failed_on: all workers that failed with it; others come first.
        counted: how many failures count as its attempts.
        blamed_by: those that said, or could not rule out, that it is the job's fault.
        called_bad_by: those of them that said so.
        pauses: how often it has paused.
    """

    failed_on: set[str] = field(default_factory=set)
    counted: int = 0
    blamed_by: set[str] = field(default_factory=set)
    called_bad_by: set[str] = field(default_factory=set)
    pauses: int = 0


class Blame:
    """Remembers failures, and judges each new one.

    Args:
        max_attempts: different workers that may fail with a job.
        retries: see `Retries`.
        seed: of the pauses' scatter.

    Attributes:
        alarmed: everything fails everywhere; until somebody has a success.
    """

    def __init__(self, max_attempts: int, retries: Retries, seed: int = 0) -> None:
        self.max_attempts, self.retries = max_attempts, retries
        self.alarmed = False
        self._random = random.Random(seed)
        self._workers: dict[str, _Worker] = {}
        self._jobs: dict[str, _Job] = {}
        self._failing: dict[str, int] = {}  # by worker: since anybody's latest success
        self._next_quarantine = -inf
        self._quarantine_pause_s = retries.quarantine_pause_s

    # -- what may be read -------------------------------------------------------------

    def failed_on(self, job_id: str) -> set[str]:
        """The workers that have failed with a job."""
        job = self._jobs.get(job_id)
        return set() if job is None else job.failed_on

    def rests(self, worker_id: str, now: float) -> bool:
        """Whether nothing is given to a worker now."""
        worker = self._workers.get(worker_id)
        return worker is not None and now < worker.rests_until

    def next_rest_end(self, now: float) -> float | None:
        """When the first worker that rests may be given something again, seconds."""
        ends = (worker.rests_until for worker in self._workers.values())
        return min((end for end in ends if end > now), default=None)

    def has_doubts(self, now: float) -> bool:
        """Whether a worker rests or a job has failed on one: for most of the time no."""
        return bool(self._jobs) or self.next_rest_end(now) is not None

    # -- what happens -----------------------------------------------------------------

    def failed(
        self,
        now: float,
        job_id: str,
        worker_id: str,
        fault: Fault,
        message: str,
        *,
        seen: bool = False,
    ) -> Verdict:
        """A worker gives up a task.

        Args:
            now: seconds.
            job_id: of the task.
            worker_id: who had it.
            fault: whose fault the worker, or the controller, takes it for.
            message: why, for the operator.
            seen: the controller has seen with its own eyes that it is the job's fault.
        """
        worker = self._workers.setdefault(worker_id, _Worker())
        if fault is Fault.JOB and seen:
            return self._ends(job_id, fault, counted=True)
        if fault is Fault.STORAGE:
            return Verdict(ends=False, fault=fault)
        if fault is Fault.NONE:
            worker.handed_back += 1
            worker.rests_until = now + self._pause_s(worker.handed_back)
            return Verdict(ends=False, fault=fault)
        job = self._jobs.setdefault(job_id, _Job())
        good, trusted = worker.succeeded_last, worker.in_good_standing
        worker.succeeded_last = False
        counted = good
        if fault is not Fault.WORKER:
            counted = good or worker_id not in job.failed_on
            if job.blamed_by - {worker_id} or (good and worker_id in job.blamed_by):
                return self._ends(job_id, Fault.JOB, counted=True)
            if fault is Fault.JOB and trusted:
                worker.ended_alone += 1
                return self._ends(job_id, fault, counted=True)
            job.blamed_by.add(worker_id)
            if fault is Fault.JOB:
                job.called_bad_by.add(worker_id)
        job.failed_on.add(worker_id)
        job.counted += counted
        worker.in_a_row += 1
        worker.rests_until = now + self._pause_s(worker.in_a_row)
        alarm = self._alarm(worker_id, message)
        quarantine = self._quarantine(now, worker_id, worker)
        if self._is_spent(job):
            self._jobs.pop(job_id)
            return Verdict(True, fault, counted, quarantine=quarantine, alarm=alarm)
        job.pauses += 1
        return Verdict(False, fault, counted, self._pause_s(job.pauses), quarantine, alarm)

    def lost(self, job_id: str, worker_id: str) -> Verdict:
        """A worker vanished or fell silent with a task."""
        job = self._jobs.setdefault(job_id, _Job())
        job.failed_on.add(worker_id)
        job.counted += 1
        if self._is_spent(job):
            self._jobs.pop(job_id)
            return Verdict(ends=True, fault=Fault.WORKER, counted=True)
        job.pauses += 1
        return Verdict(False, Fault.WORKER, True, self._pause_s(job.pauses))

    def succeeded(self, job_id: str, worker_id: str) -> bool:
        """A worker has done a job; true if that ends the alarm."""
        worker = self._workers.setdefault(worker_id, _Worker())
        worker.in_a_row = worker.handed_back = 0
        worker.successes += 1
        worker.succeeded_last = True
        worker.rests_until = -inf
        self._failing.clear()
        self._quarantine_pause_s = self.retries.quarantine_pause_s
        job = self._jobs.pop(job_id, None)
        for accuser in () if job is None else job.called_bad_by - {worker_id}:
            if accuser in self._workers:
                self._workers[accuser].refuted = True
        was_alarmed, self.alarmed = self.alarmed, False
        return was_alarmed

    def forget_job(self, job_id: str) -> None:
        """A job has ended without a worker's doing."""
        self._jobs.pop(job_id, None)

    def forget_worker(self, worker_id: str) -> None:
        """A worker is gone, or was ordered to end."""
        self._workers.pop(worker_id, None)

    def restore(self, job_id: str, failures: tuple[PastFailure, ...]) -> None:
        """What an earlier life knew of a job."""
        for past in failures:
            job = self._jobs.setdefault(job_id, _Job())
            job.failed_on.add(past.worker_id)
            job.counted += past.counted
            if past.fault in (Fault.JOB, Fault.UNKNOWN):
                job.blamed_by.add(past.worker_id)
            if past.fault is Fault.JOB:
                job.called_bad_by.add(past.worker_id)

    # -- how it is judged -------------------------------------------------------------

    def _ends(self, job_id: str, fault: Fault, *, counted: bool) -> Verdict:
        """It was the job's fault: what it made workers fail with is not held against them."""
        job = self._jobs.pop(job_id, None)
        for worker_id in () if job is None else job.blamed_by:
            worker = self._workers.get(worker_id)
            if worker is not None and worker.in_a_row:
                worker.in_a_row -= 1
                worker.rests_until = -inf
            if worker_id in self._failing:
                self._failing[worker_id] -= 1
                if not self._failing[worker_id]:
                    del self._failing[worker_id]
        return Verdict(ends=True, fault=fault, counted=counted)

    def _is_spent(self, job: _Job) -> bool:
        return (
            job.counted >= self.max_attempts
            or len(job.failed_on) >= PATIENCE_WITH_JOBS * self.max_attempts
        )

    def _quarantine(self, now: float, worker_id: str, worker: _Worker) -> int:
        retries = self.retries
        if worker.in_a_row < retries.quarantine_after or now < self._next_quarantine:
            return 0
        self._next_quarantine = now + self._quarantine_pause_s
        longest = retries.longest_quarantine_pause_s
        self._quarantine_pause_s = min(2 * self._quarantine_pause_s, longest)
        del self._workers[worker_id]
        return worker.in_a_row

    def _alarm(self, worker_id: str, message: str) -> str:
        self._failing[worker_id] = self._failing.get(worker_id, 0) + 1
        total, workers = sum(self._failing.values()), len(self._failing)
        if self.alarmed or workers < 2 or total < self.retries.quarantine_after:
            return ""
        self.alarmed = True
        return f"{total} tasks have failed on {workers} workers since the last success: {message}"

    def _pause_s(self, times: int) -> float:
        retries = self.retries
        # 2**40 seconds are for ever; no need to work out 2**5000.
        pause = min(retries.longest_pause_s, retries.first_pause_s * 2.0 ** min(times - 1, 40))
        return pause * self._random.uniform(0.5, 1.0)
