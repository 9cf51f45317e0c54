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
from deploy.controller.journal import Line, changes_of, lines_of, warning_of
from deploy.controller.settings import Patience
from deploy.controller.streams import Streams
from deploy.controller.workforce import Workforce
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
from env.errors import IllegalEventError
from env.event_log import EventCode
from env.worker import WorkerState

DEAF_S: Final = 5.0
"""A check of the deadlines that comes this much too late (wall seconds) blames nobody."""

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
        log: the event log.
        metrics: counts what happens.
        manager: the cloud.
        clock: everybody's clock.
        patience: how long what may take.

    Attributes:
        streams: the workers' streams.
        jobs: the jobs that wait or are in process, by id.
        workers: the workers that hold resources, by id.
        start: when this life began, seconds since the epoch.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        writer: Writer,
        log: EventLog,
        metrics: Metrics,
        manager: WorkerManager,
        clock: Clock,
        patience: Patience,
    ) -> None:
        self.scheduler, self.metrics = scheduler, metrics
        self.streams = Streams()
        self.jobs: dict[str, JobRecord] = {}
        self.workers: dict[str, WorkerRecord] = {}
        self.clock = clock
        self.start = clock.time()
        self._writer, self._log, self._patience = writer, log, patience
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

    @property
    def now(self) -> float:
        """Seconds since this life began."""
        return self.clock.time() - self.start

    # -- events -----------------------------------------------------------------------

    def handle(
        self,
        event: Callable[[float], list[Step]],
        *,
        lines: Sequence[Line] = (),
        changes: Sequence[Change] = (),
    ) -> asyncio.Future[None]:
        """Let an event happen now.

        Args:
            event: a method of the scheduler that waits for the time.
            lines: what the event log tells of the event itself, before its consequences.
            changes: what the event itself changes in the store.

        Returns:
            Done when all that was asked for so far, this event included, is durable.

        Raises:
            IllegalEventError: the event was refused; nothing has changed.
        """
        now = self.now
        steps = event(now)
        moment = self.start + now
        self._watch(steps, now)
        lines, all_changes = [*lines], [*changes]
        while self._switches:
            switch = self._switches.pop(0)
            self.metrics.switched(switch.source)
            keys = {"source": str(switch.source), "reason": switch.reason, "detail": switch.detail}
            lines.append((EventCode.CONTROL_SWITCHED, keys))
        for step in steps:
            all_changes += changes_of(step, moment)
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
        """An event was refused: log and count it."""
        self.metrics.refused(event)
        keys = {"event": event, "worker_id": worker_id[:64], "task_id": task_id[:64]}
        self.note((EventCode.EVENT_REFUSED, keys | {"reason": reason[:300]}))

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
                case WorkerPlaced(worker_id, node):
                    self.handle(lambda now: self.scheduler.placed(now, worker_id, node))
                case NeverComes(worker_id, reason) | WorkerGone(worker_id, reason):
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
            self.handle(self.scheduler.tick)
            if now >= due:
                due = now + period
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
                case Uploaded(_, worker_id) | Failed(_, worker_id) | Requeued(_, worker_id):
                    self._tasks.drop(worker_id)
                case Stop(worker_id) | Gone(worker_id):
                    for deadlines in (self._boots, self._silence, self._tasks):
                        deadlines.drop(worker_id)

    # -- what follows -----------------------------------------------------------------

    def _remember(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, WorkerRecord):
                self.workers[change.worker_id] = change
            elif isinstance(change, WorkerChange) and change.worker_id in self.workers:
                known = self.workers[change.worker_id]
                self.workers[change.worker_id] = replace(known, **change.values)

    async def send_out(self) -> None:
        """Let out what has become durable, in order, until cancelled."""
        while True:
            item = await self._outbox.get()
            try:
                await item.durable
            except Exception:  # the writer has told why; the state has gone on all the same
                _LOGGER.error("going on with what the store does not hold: %s", item.steps)
            try:
                self._release(item)
            except Exception:
                _LOGGER.exception("cannot carry out %s", item.steps)
            finally:
                self._outbox.task_done()

    async def flush(self) -> None:
        """Wait until all that has happened is out."""
        await self._outbox.join()

    def _release(self, item: _Item) -> None:
        cluster, policy = self.scheduler.cluster, self.scheduler.policy_name
        for line in item.lines:
            self._log.write(line[0], moment=item.moment, description="", **line[1])
        for step in item.steps:
            self.metrics.count(step)
            warning = warning_of(step)
            if warning:
                _LOGGER.warning("%s", warning)
            if not (isinstance(step, Decided) and step.routine):
                for code, keys in lines_of(step, cluster, policy):
                    self._log.write(code, moment=item.moment, description="", **keys)
            match step:
                case Spawn(worker_id, name, flavor, node):
                    self.workforce.spawn(SpawnOrder(worker_id, name, flavor, node))
                case Stop(worker_id):
                    self.streams.close(worker_id)
                    self.workforce.stop(worker_id)
                case Assign(job_id, worker_id, task_id):
                    job = self.jobs.get(job_id)
                    if job is not None:
                        self.streams.deliver(task_message(job, worker_id, task_id))
                case Uploaded(job_id) | Failed(job_id) | Withdrawn(job_id):
                    self.jobs.pop(job_id, None)
                case Gone(worker_id):
                    self.streams.close(worker_id)
                    self.workers.pop(worker_id, None)


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
