"""The scheduler: events in, steps out. It drives the same `Cluster` as the simulator does.

Pure and synchronous: no I/O, no clock of its own, no threads. Time is passed in, as seconds since
the start of the controller's life. An event that is not allowed raises `IllegalEventError` and
changes nothing; one that a client repeats, because the reply to it was lost, gives no steps.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from deploy.blame import Blame, Retries, Verdict
from deploy.deciding import Deciding, LivePolicy, Observer
from deploy.pauses import Pauses
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
    Progress,
    RestoredJob,
    RestoredWorker,
    TaskError,
)
from env.actions import ActionKind
from env.cluster import Cluster
from env.config import Profile
from env.cost import check_preference
from env.errors import IllegalEventError
from env.jobs import PLAIN, Job, Request, Urgency
from env.worker import Worker, WorkerState

MOST_ORDERS: Final = 16
"""At one decision epoch the policy is asked at most this often."""


@dataclass(slots=True)
class _Task:
    task_id: str
    estimate: Estimate
    assigned_at: float
    progress: Progress = Progress.ASSIGNED
    started: bool = False
    error: TaskError | None = None


def _new_id() -> str:
    return str(uuid.uuid4())


def _drains(worker: Worker) -> bool:
    return worker.state is WorkerState.DRAINING


class Scheduler:
    """The cluster and the policy that decides over it.

    Args:
        profile: data centre, limits and timing.
        policy: decides; told to serve the cluster here.
        preference: w, 0.1 lean .. 0.9 fast.
        max_attempts: how many workers may fail with a job before it ends in error, see
            `deploy.blame`.
        retries: pauses after failures, and when a worker is quarantined.
        seed: of the pauses' scatter.
        boot_s: expected boot time, seconds; by default as the profile says.
        observers: look on at each epoch.
        new_id: makes ids of workers and tasks.

    Attributes:
        cluster: the state; only the scheduler changes it.
        paused: while true, nothing is dispatched or decided: what a restart found is not
            complete. A new scheduler is paused until `resume`.

    Raises:
        DaCircoError: the policy cannot serve this cluster.
    """

    def __init__(
        self,
        profile: Profile,
        policy: LivePolicy,
        *,
        preference: float = 0.5,
        max_attempts: int = 3,
        retries: Retries | None = None,
        seed: int = 0,
        boot_s: float | None = None,
        observers: Sequence[Observer] = (),
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        self.cluster = Cluster(
            profile, preference=preference, discipline=policy.discipline, boot_s=boot_s
        )
        self.paused = True
        self._blame = Blame(max_attempts, retries or Retries(), seed)
        self._pauses = Pauses()
        self._away_since = 0.0
        self._dispatched_s = -inf
        self._deciding = Deciding(policy, self.cluster, observers)
        self._new_id = new_id
        self._names: dict[str, str] = {}
        self._tasks: dict[str, _Task] = {}  # of each busy worker
        self._ended: dict[str, _Task] = {}  # the last one that each worker has ended
        self._estimates: dict[str, Estimate] = {}
        self._nodes = {node.config.name: node.index for node in self.cluster.nodes}
        self._flavors = {flavor.name: i for i, flavor in enumerate(self.cluster.flavors)}

    # -- what may be read -------------------------------------------------------------

    @property
    def policy_name(self) -> str:
        """The name of the policy in charge."""
        return self._deciding.policy.name

    @property
    def wake_at(self) -> float | None:
        """When to call `tick` at the latest, seconds; none if nobody minds."""
        wishes = [self._deciding.wake_at, self._pauses.next_end]
        if self.cluster.waiting and self.cluster.n_idle and not self.paused:
            # A rest that is over wakes, too, until jobs have been handed out after it.
            wishes.append(self._blame.next_rest_end(self._dispatched_s))
        return min((wish for wish in wishes if wish is not None), default=None)

    @property
    def storage_is_away(self) -> bool:
        """Whether nothing is handed out because the object storage does not answer."""
        return not self.cluster.gate_open

    @property
    def all_fail(self) -> bool:
        """Whether every worker fails with everything."""
        return self._blame.alarmed

    def worker(self, worker_id: str) -> Worker | None:
        """A worker that holds resources."""
        return self.cluster.workers.get(worker_id)

    def workers(self) -> Iterator[tuple[str, Worker]]:
        """All workers that hold resources, by id."""
        return ((str(worker_id), worker) for worker_id, worker in self.cluster.workers.items())

    def task_of(self, worker_id: str) -> tuple[str, str] | None:
        """Job and task of a busy worker."""
        worker = self.cluster.workers.get(worker_id)
        if worker is None or worker.job is None:
            return None
        return str(worker.job.job_id), self._tasks[worker_id].task_id

    def assigned_at(self, worker_id: str) -> float:
        """When a busy worker was given its task, seconds."""
        return self._tasks[worker_id].assigned_at

    def is_running(self, worker_id: str, task_id: str) -> bool:
        """Whether a task is in process on this worker."""
        task = self._tasks.get(worker_id)
        return task is not None and task.task_id == task_id

    # -- events: jobs -----------------------------------------------------------------

    def submit(
        self,
        now: float,
        job_id: str,
        request: Request,
        estimate: Estimate,
        *,
        held: bool = False,
        attempts: int = 0,
        urgency: Urgency = PLAIN,
    ) -> list[Step]:
        """A job that is in the store arrives.

        Args:
            now: seconds.
            job_id: its id.
            request: what is asked.
            estimate: what the profile expects of it.
            held: it may not be handed out before `release`.
            attempts: how many workers were given it before it ended and was asked for again.
            urgency: what dispatch heeds beside its arrival.
        """
        now, cluster = self._time(now), self.cluster
        cluster.job_arrived(now, estimate.job(job_id, request, 0.0, attempts, urgency))
        self._estimates[job_id] = estimate
        steps: list[Step] = []
        if held:
            cluster.job_held(now, job_id)
            steps.append(Held(job_id))
        return self._epoch(steps)

    def release(self, now: float, job_id: str) -> list[Step]:
        """A job that was held at its arrival may be handed out.

        Raises:
            IllegalEventError: it is not held.
        """
        self.cluster.job_released(self._time(now), job_id)
        return self._epoch([Released(job_id)])

    def withdraw(self, now: float, job_id: str, reason: str) -> list[Step]:
        """A waiting job cannot be done: it ends in error.

        Raises:
            IllegalEventError: it does not wait.
        """
        job = self.cluster.job_withdrawn(self._time(now), job_id)
        self._job_ended(job_id)
        return self._epoch([Withdrawn(job_id, job.attempts, reason)])

    def cancel(
        self, now: float, job_id: str, reason: str, can_tell: Callable[[str], bool]
    ) -> list[Step]:
        """The client wants a job no more, be it waiting or in process.

        Args:
            now: seconds.
            job_id: the job.
            reason: for people.
            can_tell: whether a worker can be told to drop its task. One that cannot would go on
                for nobody: it is ended.

        Raises:
            IllegalEventError: the job is unknown or has ended.
        """
        now, cluster = self._time(now), self.cluster
        job = cluster.jobs.get(job_id)
        if job is None:
            raise IllegalEventError("cancel", job_id, "the job has ended, or is unknown")
        if cluster.is_waiting(job_id):
            cluster.job_withdrawn(now, job_id)
            self._job_ended(job_id)
            return self._epoch([Cancelled(job_id, "", "", job.attempts, reason)])
        worker = next(each for each in cluster.workers.values() if each.job is job)
        worker_id = str(worker.worker_id)
        task = self._ended[worker_id] = self._tasks.pop(worker_id)
        cluster.task_failed(now, worker_id)
        self._job_ended(job_id)
        tell = can_tell(worker_id)
        if not tell and not _drains(worker):
            cluster.worker_draining(now, worker_id)
        cancelled = Cancelled(job_id, worker_id, task.task_id, job.attempts, reason, tell)
        return self._epoch([cancelled, *self._retired(worker)])

    def progressed(
        self, now: float, worker_id: str, task_id: str, progress: Progress
    ) -> list[Step]:
        """A worker tells how far its task has come.

        Raises:
            IllegalEventError: it is not this worker's task, or a step before is missing.
        """
        event = progress.name.lower()
        task = self._task(event, worker_id, task_id)
        if task.error is not None:
            raise IllegalEventError(event, task_id, "the task has ended in an error")
        if progress <= task.progress:
            return []
        worker = self._busy(event, worker_id, task)
        if progress != task.progress + 1:
            raise IllegalEventError(
                event, task_id, f"the task is {task.progress.name.lower()}: a step is missing"
            )
        now, cluster = self._time(now), self.cluster
        assert worker.job is not None
        job_id = str(worker.job.job_id)
        if progress is Progress.DOWNLOADED:
            used = task.estimate
            cores, ram = used.used_cores[worker.flavor], used.used_ram_gib[worker.flavor]
            cluster.file_downloaded(now, worker_id, cores, ram)
            task.progress = progress
            return [Downloaded(job_id, worker_id, task_id)]
        if progress is Progress.TRANSCODED:
            cluster.transcoding_completed(now, worker_id)
            task.progress = progress
            return [Transcoded(job_id, worker_id, task_id)]
        job = cluster.file_uploaded(now, worker_id)
        task.progress = progress
        self._ended[worker_id] = self._tasks.pop(worker_id)
        uploaded = Uploaded(job_id, worker_id, task_id, now - job.arrival_s)
        over = [AllFailOver()] if self._blame.succeeded(job_id, worker_id) else []
        self._job_ended(job_id)
        return self._epoch([uploaded, *over, *self._retired(worker)])

    def check_result_of(self, worker_id: str, task_id: str) -> bool:
        """Whether the result of a task has to be looked at before it is taken for uploaded.

        Returns:
            False if it was taken before.

        Raises:
            IllegalEventError: the event cannot be, see `progressed`.
        """
        event = Progress.UPLOADED.name.lower()
        task = self._task(event, worker_id, task_id)
        if task.error is not None:
            raise IllegalEventError(event, task_id, "the task has ended in an error")
        if task.progress < Progress.TRANSCODED:
            raise IllegalEventError(
                event, task_id, f"the task is {task.progress.name.lower()}: a step is missing"
            )
        return task.progress is Progress.TRANSCODED

    def failed(
        self,
        now: float,
        worker_id: str,
        task_id: str,
        error: TaskError,
        message: str,
        fault: Fault = Fault.UNKNOWN,
        *,
        seen: bool = False,
    ) -> list[Step]:
        """A worker gives its task up, or has not done what it says.

        Args:
            now: seconds.
            worker_id: the worker.
            task_id: its task.
            error: what failed.
            message: why.
            fault: whose it is taken for; what follows from that, see `deploy.blame`.
            seen: the controller has seen itself that it is the job's.

        Raises:
            IllegalEventError: it is not this worker's task, or the task is complete.
        """
        event = error.name.lower()
        task = self._task(event, worker_id, task_id)
        if task.error is error:
            return []
        worker = self._busy(event, worker_id, task)
        now = self._time(now)
        assert worker.job is not None
        job_id, attempts = str(worker.job.job_id), worker.job.attempts
        task.error = error
        self._ended[worker_id] = self._tasks.pop(worker_id)
        verdict = self._blame.failed(now, job_id, worker_id, fault, message, seen=seen)
        fault = verdict.fault
        steps: list[Step] = []
        if verdict.ends:
            self.cluster.task_failed(now, worker_id)
            self._job_ended(job_id)
            steps.append(Failed(job_id, worker_id, task_id, attempts, message, fault))
        else:
            self.cluster.task_requeued(now, worker_id)
            counted = verdict.counted
            steps.append(Requeued(job_id, worker_id, task_id, attempts, message, fault, counted))
            self._pause(now, job_id, verdict, steps)
        if verdict.alarm:
            steps.append(AllFail(verdict.alarm))
        if verdict.quarantine:
            steps.append(Quarantined(worker_id, verdict.quarantine, message))
            if not _drains(worker):
                self.cluster.worker_abandoned(now, worker_id)
        return self._epoch([*steps, *self._retired(worker)])

    # -- events: workers --------------------------------------------------------------

    def starts(self, worker_id: str, task_id: str) -> bool:
        """A task goes over the wire to its worker; true the first time."""
        task = self._tasks.get(worker_id)
        if task is None or task.task_id != task_id or task.started:
            return False
        task.started = True
        return True

    def registered(self, now: float, worker_id: str) -> list[Step]:
        """A worker says that it has booted.

        Raises:
            IllegalEventError: nobody ordered it, or it was ordered to end.
        """
        worker = self.worker(worker_id)
        if worker is not None and worker.state in (WorkerState.IDLE, WorkerState.BUSY):
            return []
        self.cluster.worker_ready(self._time(now), worker_id)
        return self._epoch([Registered(worker_id)])

    def placed(self, now: float, worker_id: str, node: str) -> list[Step]:
        """The cloud told on which node a worker runs; one that is not ours is only noted.

        Raises:
            IllegalEventError: the worker is unknown.
        """
        index = self._nodes.get(node)
        if index is not None:
            self.cluster.worker_placed(self._time(now), worker_id, index)
        elif worker_id not in self.cluster.workers:
            raise IllegalEventError("placed", worker_id, "the worker is unknown")
        return [Placed(worker_id, node)]

    def give_up(
        self, now: float, worker_id: str, reason: str, *, blameless: bool = False
    ) -> list[Step]:
        """A worker never came, fell silent or does not get on: it must end, its job is retried.

        Args:
            now: seconds.
            worker_id: the worker.
            reason: why.
            blameless: this says nothing about its job.

        Raises:
            IllegalEventError: the worker is unknown, or it was ordered to end before.
        """
        worker = self._known("give_up", worker_id)
        if worker.state is WorkerState.DRAINING:
            raise IllegalEventError("give_up", worker_id, "the worker is draining already")
        now, booting = self._time(now), worker.state is WorkerState.BOOTING
        steps, pause = self._end_attempt(now, worker, reason, blameless)
        if not _drains(worker):  # as one that was to retire does when its job has ended in error
            self.cluster.worker_abandoned(now, worker_id)
        steps.append((SpawnFailed if booting else Lost)(worker_id, reason))
        steps.append(Stop(worker_id, self._names[worker_id]))
        if pause is not None:
            self._pause(now, *pause, steps)
        return self._epoch(steps)

    def gone(
        self, now: float, worker_id: str, reason: str, *, blameless: bool = False
    ) -> list[Step]:
        """Nothing is left of a worker: it was stopped, its spawn failed, or it vanished.

        Args:
            now: seconds.
            worker_id: the worker.
            reason: why.
            blameless: this says nothing about its job.

        Raises:
            IllegalEventError: the worker is unknown.
        """
        worker = self._known("gone", worker_id)
        now, cluster = self._time(now), self.cluster
        steps: list[Step] = []
        pause = None
        if worker.state is WorkerState.BOOTING:
            cluster.spawn_failed(now, worker_id)
            steps.append(SpawnFailed(worker_id, reason))
        elif worker.state is WorkerState.DRAINING:
            cluster.worker_stopped(now, worker_id)
        else:
            steps, pause = self._end_attempt(now, worker, reason, blameless)
            cluster.worker_lost(now, worker_id)
            steps.append(Lost(worker_id, reason))
        self._ended.pop(worker_id, None)
        self._blame.forget_worker(worker_id)
        steps.append(Gone(worker_id, self._names.pop(worker_id), reason))
        if pause is not None:
            self._pause(now, *pause, steps)
        return self._epoch(steps)

    # -- events: the object storage ---------------------------------------------------

    def storage_away(self, now: float, reason: str) -> list[Step]:
        """The object storage answers nobody: nothing is handed out; what is in process goes on."""
        if self.storage_is_away:
            return []
        self._away_since = self._time(now)
        self.cluster.gate_closed(self._away_since)
        return self._epoch([StorageAway(reason)])

    def storage_back(self, now: float) -> list[Step]:
        """It answers again."""
        if not self.storage_is_away:
            return []
        now = self._time(now)
        self.cluster.gate_opened(now)
        return self._epoch([StorageBack(now - self._away_since)])

    # -- events: time, and the operator -----------------------------------------------

    def tick(self, now: float) -> list[Step]:
        """Nothing has happened: the periodic call, or the policy wanted to be woken."""
        self.cluster.tick(self._time(now))
        return self._epoch([], of_tick=True)

    def set_preference(self, now: float, preference: float) -> list[Step]:
        """The operator turns the dial.

        Raises:
            DaCircoError: the preference is not one.
        """
        check_preference(preference)
        self.cluster.preference = preference
        return self.tick(now)

    # -- a restart --------------------------------------------------------------------

    def restore_job(self, now: float, job: RestoredJob) -> None:
        """A job of an earlier life waits.

        Raises:
            IllegalEventError: the job is known.
        """
        self.cluster.restore_job(self._time(now), self._restored(job))
        self._estimates[job.job_id] = job.estimate
        self._blame.restore(job.job_id, job.failures)

    def restore_worker(self, now: float, worker: RestoredWorker) -> None:
        """A worker of an earlier life may be there, with its task; `gone` follows if it is not.

        Raises:
            IllegalEventError: the worker or its job is known, or its flavor is not.
        """
        now, cluster, worker_id = self._time(now), self.cluster, worker.worker_id
        flavor = self._flavors.get(worker.flavor, -1)
        node = self._nodes.get(worker.node or "", 0)
        task = worker.task
        if task is not None and task.job.job_id in cluster.jobs:
            raise IllegalEventError("restore_worker", worker_id, "its job is already known")
        cluster.restore_worker(now, worker_id, flavor, node, min(now, worker.spawned_at))
        self._names[worker_id] = worker.name
        if worker.registered or worker.draining:
            cluster.worker_ready(now, worker_id)
        if worker.draining:
            cluster.worker_draining(now, worker_id)
        elif task is not None:
            cluster.restore_task(
                now, worker_id, self._restored(task.job), min(now, task.assigned_at)
            )
            self._estimates[task.job.job_id] = task.job.estimate
            self._blame.restore(task.job.job_id, task.job.failures)
            self._tasks[worker_id] = _Task(
                task.task_id, task.job.estimate, task.assigned_at, started=task.started
            )
            for progress in range(Progress.DOWNLOADED, task.progress + 1):
                self.progressed(now, worker_id, task.task_id, Progress(progress))

    def restore_image(self, node: str) -> None:
        """A worker of an earlier life has booted on a node, which need not be there any more."""
        index = self._nodes.get(node)
        if index is not None:
            self.cluster.restore_image(index)

    def resume(self, now: float) -> list[Step]:
        """What was found is complete: dispatch and decide from now on."""
        self.paused = False
        return self.tick(now)

    # -- how they are carried out -----------------------------------------------------

    def _time(self, now: float) -> float:
        return max(now, self.cluster.now)  # two readings of a clock may cross on their way here

    def _known(self, event: str, worker_id: str) -> Worker:
        worker = self.worker(worker_id)
        if worker is None:
            raise IllegalEventError(event, worker_id, "the worker is unknown")
        return worker

    def _busy(self, event: str, worker_id: str, task: _Task) -> Worker:
        if self._tasks.get(worker_id) is not task:
            raise IllegalEventError(event, task.task_id, "the task has ended")
        return self._known(event, worker_id)

    def _task(self, event: str, worker_id: str, task_id: str) -> _Task:
        self._known(event, worker_id)
        for tasks in (self._tasks, self._ended):
            task = tasks.get(worker_id)
            if task is not None and task.task_id == task_id:
                return task
        raise IllegalEventError(event, task_id, "it is not a task of this worker")

    def _restored(self, job: RestoredJob) -> Job:
        arrival = min(job.request.arrival_s, self.cluster.now)
        return job.estimate.job(job.job_id, job.request, arrival, job.attempts, job.urgency)

    def _end_attempt(
        self, now: float, worker: Worker, reason: str, blameless: bool
    ) -> tuple[list[Step], tuple[str, Verdict] | None]:
        """The worker that is about to leave has a job: end it if it has had its last attempt.

        Returns:
            What has happened; and the job that waits again, with what follows for it.
        """
        if worker.job is None:
            return [], None
        worker_id, job_id = str(worker.worker_id), str(worker.job.job_id)
        attempts, task_id = worker.job.attempts, self._tasks.pop(worker_id).task_id
        verdict = Verdict(ends=False, fault=Fault.NONE)
        if not blameless:
            verdict = self._blame.lost(job_id, worker_id)
        fault, counted = verdict.fault, verdict.counted
        if not verdict.ends:
            requeued = Requeued(job_id, worker_id, task_id, attempts, reason, fault, counted)
            return [requeued], (job_id, verdict)
        self.cluster.task_failed(now, worker_id)
        self._job_ended(job_id)
        return [Failed(job_id, worker_id, task_id, attempts, reason, fault)], None

    def _job_ended(self, job_id: str) -> None:
        del self._estimates[job_id]
        self._pauses.drop(job_id)
        self._blame.forget_job(job_id)

    def _pause(self, now: float, job_id: str, verdict: Verdict, steps: list[Step]) -> None:
        """A job that waits again is held as long as the verdict says."""
        if verdict.pause_s <= 0:
            return
        self.cluster.job_held(now, job_id)
        self._pauses.begin(job_id, now + verdict.pause_s)
        steps.append(Held(job_id, verdict.pause_s))

    def _end_pauses(self, steps: list[Step]) -> None:
        cluster = self.cluster
        for job_id in self._pauses.ended(cluster.now):
            cluster.job_released(cluster.now, job_id)
            steps.append(Released(job_id))

    def _may_do(self, job: Job, worker: Worker) -> bool:
        """Whether an idle worker may be given a job.

        Not while it rests, and not one that it has failed with as long as there is another worker
        to wait for.
        """
        if self._blame.rests(str(worker.worker_id), self.cluster.now):
            return False
        failed_on = self._blame.failed_on(str(job.job_id))
        return worker.worker_id not in failed_on or not any(
            other.state is not WorkerState.DRAINING
            and not other.retiring
            and other.worker_id not in failed_on
            for other in self.cluster.workers.values()
        )

    def _epoch(self, steps: list[Step], *, of_tick: bool = False) -> list[Step]:
        """Dispatch, then ask the policy until it keeps."""
        if self.paused:
            return steps
        cluster = self.cluster
        asleep = of_tick and not cluster.jobs_in_system and not cluster.n_workers
        self._end_pauses(steps)
        self._dispatch(steps)
        for order in range(MOST_ORDERS):
            decision = self._deciding.decide()
            if order == 0:
                self._deciding.show(decision)
            action = decision.action
            possible = cluster.can(action)
            keep = action.kind is ActionKind.KEEP
            routine = keep and asleep
            steps.append(Decided(decision, possible, routine, cluster_time=cluster.now))
            if keep or not possible:
                break
            steps.append(
                self._spawn(action.flavor)
                if action.kind is ActionKind.SPAWN
                else self._kill(action.flavor)
            )
        self._deciding.ask_when_to_wake()
        return steps

    def _dispatch(self, steps: list[Step]) -> None:
        cluster = self.cluster
        self._dispatched_s = cluster.now
        may_do = self._may_do if self._blame.has_doubts(cluster.now) else None
        while (pair := cluster.next_assignment(may_do)) is not None:
            job, worker = pair
            job_id, worker_id, task_id = str(job.job_id), str(worker.worker_id), self._new_id()
            cluster.task_assigned(cluster.now, job_id, worker_id, out_of_turn=may_do is not None)
            self._tasks[worker_id] = _Task(task_id, self._estimates[job_id], cluster.now)
            waited = cluster.now - job.arrival_s
            steps.append(Assign(job_id, worker_id, task_id, job.attempts, waited))

    def _spawn(self, flavor: int) -> Spawn:
        cluster, worker_id = self.cluster, self._new_id()
        name = f"tc-worker-{worker_id[:8]}"
        worker = cluster.worker_spawned(cluster.now, worker_id, flavor)
        self._names[worker_id] = name
        node = cluster.nodes[worker.node].config.name
        return Spawn(worker_id, name, cluster.flavors[flavor], node)

    def _kill(self, flavor: int) -> Stop | Retire:
        cluster = self.cluster
        worker = cluster.next_to_end(flavor)
        worker_id = str(worker.worker_id)
        if worker.state is WorkerState.BUSY:
            cluster.worker_retiring(cluster.now, worker_id)
            return Retire(worker_id)
        cluster.worker_draining(cluster.now, worker_id)
        return Stop(worker_id, self._names[worker_id])

    def _retired(self, worker: Worker) -> list[Step]:
        """The order to end a worker that has no job any more, if it was to retire or must go."""
        if not _drains(worker):
            return []
        worker_id = str(worker.worker_id)
        return [Stop(worker_id, self._names[worker_id])]
