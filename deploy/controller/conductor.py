"""Leads every event through the scheduler, the store, and then out to the world, in this order.

An event changes the scheduler's state at once. What follows from it goes to the store, and only
when it is durable there is it logged, sent to workers, ordered of the cloud or confirmed to whoever
told of the event: a controller that is killed at any moment has promised nothing that it forgets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from agents.guard import Switch
from deploy.clock import Clock
from deploy.controller.deadlines import Deadlines
from deploy.controller.identities import Identities
from deploy.controller.journal import Line, changes_of, lines_of, warning_of
from deploy.controller.progress_board import ProgressBoard
from deploy.controller.refusals import Refusals
from deploy.controller.settings import Patience
from deploy.controller.streams import Streams
from deploy.controller.workforce import Workforce
from deploy.eventlog.keeps import Keeps
from deploy.eventlog.writer import EventLog
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.managers.base import (
    ManagerEvent,
    SpawnOrder,
    WorkerGone,
    WorkerManager,
    WorkerPlaced,
)
from deploy.managers.base import SpawnFailed as NeverComes
from deploy.metrics import Metrics
from deploy.scheduler import Scheduler
from deploy.steps import (
    Assign,
    Cancelled,
    Decided,
    Failed,
    Gone,
    Registered,
    Requeued,
    Spawn,
    Step,
    Stop,
    Uploaded,
    Withdrawn,
)
from deploy.store.records import Change, JobChange, JobRecord, WorkerChange, WorkerRecord
from deploy.store.writer import Writer
from deploy.text import MOST_REASON, clean
from deploy.webhooks.event import webhook_of
from env.errors import IllegalEventError
from env.event_log import EventCode
from env.worker import WorkerState

DEAF_S: Final = 5.0
"""A check of the deadlines that comes this much too late (wall seconds) blames nobody."""

_DECIMALS: Final = 6
_IN_TIME: Final = 0.1
"""A tick is in time if it comes late by less than this share of the time between two."""

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class _Item:
    """What waits until it is durable."""

    durable: asyncio.Future[None]
    moment: float
    steps: Sequence[Step]
    lines: list[Line] = field(default_factory=list)


class Conductor:
    """The one place through which events pass, all in the event loop.

    Args:
        scheduler: owns the state.
        writer: of the store.
        metrics: counts what happens.
        manager: the cloud.
        clock: everybody's clock.
        patience: how long what may take.

    Attributes:
        streams: the workers' streams.
        jobs: the jobs that wait or are in process, by id.
        workers: the workers that hold resources, by id.
        identities: who may speak for which worker.
        refusals: what was refused.
        progress: how far the tasks in process are.
        start: when this life began, seconds since the epoch.
        on_cancelled: is told of a task in process that was cancelled: worker, task and job.
        on_gone: is told of a worker of which nothing is left.
        on_ended: is told when a job has ended.
        on_steps: is told of all steps and their moment, seconds since the epoch.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        writer: Writer,
        metrics: Metrics,
        manager: WorkerManager,
        clock: Clock,
        patience: Patience,
    ) -> None:
        self.scheduler, self.metrics = scheduler, metrics
        self.streams = Streams()
        self.jobs: dict[str, JobRecord] = {}
        self.workers: dict[str, WorkerRecord] = {}
        self.identities = Identities()
        self.progress = ProgressBoard()
        self.refusals = Refusals(metrics, self.note)
        self.clock = clock
        self.start = round(clock.time(), _DECIMALS)
        self._writer, self._patience = writer, patience
        self._keeps: Keeps | None = None
        self.workforce = Workforce(
            manager,
            spawn_refused=self.lost,
            spawn_unclear=self._give_up,
            stopped=lambda worker_id: self.lost(worker_id, "stopped"),
        )
        self._boots = Deadlines(patience.boot_s)
        self._silence = Deadlines(patience.keepalive_s)
        self._tasks = Deadlines(patience.task_s)
        self._outbox: asyncio.Queue[_Item] = asyncio.Queue()
        self._durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._durable.set_result(None)
        self._rewound = asyncio.Event()
        self._switches: list[Switch] = []
        self.on_cancelled: Callable[[str, str, JobRecord], None] = lambda *_: None
        self.on_gone: Callable[[str], None] = lambda _: None
        self.on_ended: Callable[[], None] = lambda: None
        self.on_steps: Callable[[Sequence[Step], float], None] = lambda *_: None

    @property
    def now(self) -> float:
        """Seconds since this life began; whole microseconds, so that the event log is exact."""
        return max(0.0, round(self.clock.time() - self.start, _DECIMALS))

    # -- events -----------------------------------------------------------------------

    def handle(
        self,
        event: Callable[[float], list[Step]],
        *,
        lines: Sequence[Line] = (),
        changes: Sequence[Change] = (),
        at: float | None = None,
    ) -> asyncio.Future[None]:
        """Let an event happen.

        Args:
            event: a method of the scheduler that waits for the time.
            lines: what the event log tells of the event itself, before its consequences.
            changes: what the event itself changes in the store.
            at: when, seconds since this life began; default: now.

        Returns:
            Done when all that was asked for so far, this event included, is durable.

        Raises:
            IllegalEventError: the event was refused; nothing has changed.
        """
        now = self.now if at is None else at
        steps = event(now)
        moment = self.start + now
        self._watch(steps, now)
        self.on_steps(steps, moment)
        lines, all_changes = [*lines], [*changes]
        while self._switches:
            switch = self._switches.pop(0)
            self.metrics.switched(switch.source)
            keys = {"source": str(switch.source), "reason": switch.reason, "detail": switch.detail}
            lines.append((EventCode.CONTROL_SWITCHED, keys))
        for step in steps:
            all_changes += self._identified(step, changes_of(step, moment))
            job_id = getattr(step, "job_id", "")
            webhook = webhook_of(step, self.jobs.get(job_id), moment)
            if webhook is not None:
                all_changes.append(webhook)
        self._remember(all_changes)
        if all_changes:
            self._durable = self._writer.write(all_changes)
        if steps or lines:
            self._outbox.put_nowait(_Item(self._durable, moment, steps, lines))
        self._rewound.set()
        return self._durable

    def follow_switches(self, switches: list[Switch]) -> None:
        """Log and count each change of who decides that is put into the list."""
        self._switches = switches

    def note(self, *lines: Line, changes: Sequence[Change] = ()) -> asyncio.Future[None]:
        """Write something down that is no event of the scheduler's."""
        return self.handle(lambda _: [], lines=lines, changes=changes)

    def started(self, job_id: str, worker_id: str, task_id: str) -> None:
        """A task goes over the wire."""
        keys = {"request_id": job_id, "worker_id": worker_id, "task_id": task_id}
        self.note(
            (EventCode.TASK_STARTED, keys),
            changes=[JobChange(job_id, {"time_started": self.clock.time()})],
        )

    def refuse(self, event: str, worker_id: str, task_id: str, reason: str) -> None:
        """An event of a known worker was refused: count it, and log it at a bounded rate."""
        self.refusals.event(event, worker_id, task_id, reason)

    def alive(self, worker_id: str) -> None:
        """A worker has given a sign of life."""
        self._silence.renew(worker_id, self.now)

    @contextmanager
    def working(self, worker_id: str) -> Iterator[None]:
        """A worker has done its part of a task: how long ours takes is not held against it."""
        self._tasks.drop(worker_id)
        try:
            yield
        finally:
            worker = self.scheduler.worker(worker_id)
            if worker is not None and worker.state is WorkerState.BUSY:
                self._tasks.sign(worker_id, self.now)

    def of_manager(self, event: ManagerEvent) -> None:
        """The cloud tells something; it may cross with what we know already."""
        try:
            match event:
                case WorkerPlaced(worker_id, name):
                    node = clean(name, MOST_REASON)
                    self.handle(lambda now: self.scheduler.placed(now, worker_id, node))
                case NeverComes(worker_id, words) | WorkerGone(worker_id, words):
                    reason = clean(words, MOST_REASON)
                    self.handle(lambda now: self.scheduler.gone(now, worker_id, reason))
        except IllegalEventError as error:
            _LOGGER.info("the cloud told of a worker that is gone for us: %s", error)

    def lost(self, worker_id: str, reason: str) -> None:
        """Nothing is left of a worker."""
        self.of_manager(WorkerGone(worker_id, reason))

    def gone_meanwhile(self, worker_id: str, reason: str) -> None:
        """Nothing is left of a worker of an earlier life: nobody knows what it died of."""
        self.handle(lambda now: self.scheduler.gone(now, worker_id, reason, blameless=True))

    def _give_up(self, worker_id: str, reason: str, *, blameless: bool = False) -> None:
        reason = clean(reason, MOST_REASON)
        try:
            self.handle(
                lambda now: self.scheduler.give_up(now, worker_id, reason, blameless=blameless)
            )
        except IllegalEventError as error:
            _LOGGER.info("not given up: %s", error)

    def give_up_all(self, reason: str) -> None:
        """End all workers, without spawning others in their place."""
        self.scheduler.paused = True
        for worker_id, _ in list(self.scheduler.workers()):
            self._give_up(worker_id, reason, blameless=True)

    # -- time -------------------------------------------------------------------------

    async def keep_time(self) -> None:
        """Tick, wake the policy, and look for what has taken too long, until cancelled."""
        period = self._patience.call_interval_s
        due = checked = self.now + period
        while True:
            wake = self.scheduler.wake_at
            target = due if wake is None else min(due, wake)
            self._rewound.clear()
            pause = (target - self.now) / self.clock.speed_up
            if pause > 0:
                try:
                    async with asyncio.timeout(pause):  # wait_for may lose a cancellation
                        await self._rewound.wait()
                except TimeoutError:
                    pass
                else:
                    continue  # something has happened: it may have moved the wake-up
            now = self.now
            if now - checked > self._patience.call_interval_s + DEAF_S * self.clock.speed_up:
                _LOGGER.warning("the controller stood still for %.1f s", now - checked)
                for deadlines in (self._boots, self._silence, self._tasks):
                    deadlines.renew_all(now)
            checked = now
            self._check_deadlines(now)
            # A tick that comes in time is one at the moment when it was due: what the clock asks
            # while nothing happens is then regular, and the event log tells of it in few words.
            in_time = self.scheduler.cluster.now < due <= now < due + period * _IN_TIME
            self.handle(self.scheduler.tick, at=due if in_time else now)
            if now >= due:
                due = round((due if in_time else now) + period, _DECIMALS)
            await asyncio.sleep(0)  # a policy that always wants to be woken starves nobody

    def _check_deadlines(self, now: float) -> None:
        patience = self._patience
        for worker_id in self._boots.expired(now):
            self._give_up(worker_id, f"not registered within {patience.boot_s:g} s")
        for worker_id in self._silence.expired(now):
            self._give_up(worker_id, f"no sign of life for {patience.keepalive_s:g} s")
        for worker_id in self._tasks.expired(now):
            self._give_up(worker_id, f"its task was not done within {patience.task_s:g} s")

    def watch_restored(self) -> None:
        """Begin to wait for what a restart has found."""
        now = self.now
        for worker_id, worker in self.scheduler.workers():
            if worker.state is WorkerState.BOOTING:
                self._boots.sign(worker_id, now)
            elif worker.state is not WorkerState.DRAINING:
                self._silence.sign(worker_id, now)
            if worker.state is WorkerState.BUSY:
                self._tasks.sign(worker_id, now)

    def _watch(self, steps: Sequence[Step], now: float) -> None:
        for step in steps:
            match step:
                case Spawn(worker_id):
                    self._boots.sign(worker_id, now)
                case Registered(worker_id):
                    self._boots.drop(worker_id)
                    self._silence.sign(worker_id, now)
                case Assign(_, worker_id):
                    self._tasks.sign(worker_id, now)
                case (
                    Uploaded(_, worker_id)
                    | Failed(_, worker_id)
                    | Requeued(_, worker_id)
                    | Cancelled(_, worker_id)
                ):
                    self._tasks.drop(worker_id)
                    self.progress.forget(worker_id)
                case Stop(worker_id) | Gone(worker_id):
                    for deadlines in (self._boots, self._silence, self._tasks):
                        deadlines.drop(worker_id)
                    self.progress.forget(worker_id)

    # -- what follows -----------------------------------------------------------------

    def _identified(self, step: Step, changes: list[Change]) -> list[Change]:
        """What a step changes in the store, with the proof of a worker that it brings in."""
        match step:
            case Spawn(worker_id):
                proof = self.identities.issue(worker_id)
                return [
                    replace(change, secret_hash=proof)
                    if isinstance(change, WorkerRecord)
                    else change
                    for change in changes
                ]
            case Gone(worker_id):
                self.identities.end(worker_id)
        return changes

    def _remember(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, WorkerRecord):
                self.workers[change.worker_id] = change
            elif isinstance(change, WorkerChange) and change.worker_id in self.workers:
                known = self.workers[change.worker_id]
                self.workers[change.worker_id] = replace(known, **change.values)

    async def send_out(self, log: EventLog) -> None:
        """Let out what has become durable, in order, and write it down, until cancelled."""
        self._keeps = Keeps(log)
        while True:
            item = await self._outbox.get()
            try:
                await item.durable
            except Exception:  # the writer has told why; the state has gone on all the same
                _LOGGER.error("going on with what the store does not hold: %s", item.steps)
            try:
                self._release(item, self._keeps)
            except Exception:
                _LOGGER.exception("cannot carry out %s", item.steps)
            finally:
                self._outbox.task_done()

    async def flush(self) -> None:
        """Wait until all that has happened is out."""
        await self._outbox.join()
        if self._keeps is not None:
            self._keeps.flush()

    def _write_down(self, item: _Item, keeps: Keeps) -> None:
        told = [step for step in item.steps if not (isinstance(step, Decided) and step.routine)]
        if not item.lines and keeps.fold(told, item.moment):
            return
        cluster, policy = self.scheduler.cluster, self.scheduler.policy_name
        lines = [line for step in told for line in lines_of(step, cluster, policy)]
        for code, keys in (*item.lines, *lines):
            keeps.write(code, item.moment, keys)

    def _release(self, item: _Item, keeps: Keeps) -> None:
        self._write_down(item, keeps)
        for step in item.steps:
            self.metrics.count(step)
            warning = warning_of(step)
            if warning:
                _LOGGER.warning("%s", warning)
            match step:
                case Spawn(worker_id, name, flavor, node):
                    secret = self.identities.hand_over(worker_id)
                    self.workforce.spawn(SpawnOrder(worker_id, name, flavor, node, secret))
                case Stop(worker_id):
                    self.streams.close(worker_id)
                    self.workforce.stop(worker_id)
                case Assign(job_id, worker_id, task_id):
                    job = self.jobs.get(job_id)
                    if job is not None:
                        self.streams.deliver(task_message(job, worker_id, task_id))
                case Uploaded(job_id) | Failed(job_id) | Withdrawn(job_id):
                    job = self.jobs.pop(job_id, None)
                    self.on_ended()
                    if job is not None and job.deadline is not None:
                        in_time = isinstance(step, Uploaded) and item.moment <= job.deadline
                        self.metrics.deadline(met=in_time)
                case Cancelled(job_id, worker_id, task_id):
                    job = self.jobs.pop(job_id, None)
                    self.on_ended()
                    self.streams.cancel(worker_id, task_id)
                    if task_id and job is not None:
                        self.on_cancelled(worker_id, task_id, job)
                case Gone(worker_id):
                    self.streams.close(worker_id)
                    self.workers.pop(worker_id, None)
                    self.on_gone(worker_id)


def task_message(job: JobRecord, worker_id: str, task_id: str) -> pb.TCTask:
    """What a worker is told of a job."""
    return pb.TCTask(
        input_video=job.input_video,
        output_video=job.output_video,
        bitrate=job.bitrate,
        speed=job.speed,
        request_id=job.request_id,
        worker_id=worker_id,
        task_id=task_id,
    )
