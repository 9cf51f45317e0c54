"""After a restart: what the store remembers is brought together with what the cloud still has.

First all unfinished jobs and all workers that were not known to be gone are restored from the
store; clients and workers are served from then on, but nothing is decided. When the cloud has told
what exists, workers that are gone give back their jobs, those that live are adopted, and what
nobody knows is removed. Then the scheduler resumes.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.controller.conductor import Conductor, task_message
from deploy.controller.intake import urgency_lines, urgency_of
from deploy.controller.journal import Keys, Line
from deploy.estimates import Estimates
from deploy.eventlog.restored import job_keys, worker_keys
from deploy.managers.base import FoundWorker, ManagerError, WorkerManager, WorkerPlaced
from deploy.store.records import (
    Change,
    JobChange,
    JobRecord,
    JobState,
    MetaChange,
    WorkerChange,
    WorkerRecord,
    WorkerStatus,
)
from deploy.store.store import IMAGE, Store
from deploy.tasks import Fault, PastFailure, Progress, RestoredJob, RestoredTask, RestoredWorker
from env.errors import IllegalEventError
from env.event_log import EventCode
from env.jobs import SPEEDS, Request

FIND_TIMEOUT_S: Final = 60.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
GONE_MEANWHILE: Final = "gone while the controller was down"

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """What the store remembered: how many jobs and workers, and what the event log tells of it.

    Attributes:
        image_nodes: where workers of this image have booted.
    """

    jobs: int
    workers: int
    lines: tuple[Line, ...] = ()
    image_nodes: tuple[str, ...] = ()


async def restore(
    conductor: Conductor, store: Store, estimates: Estimates, image: str | None = None
) -> Restored:
    """Bring the store's jobs, workers and knowledge of the nodes back into the scheduler.

    Args:
        conductor: of the new life.
        store: of all lives.
        estimates: what the profile expects of jobs.
        image: see `Settings.worker_image`.
    """
    image_nodes = () if image is None else await _image_nodes(conductor, store, image)
    for node in image_nodes:
        conductor.scheduler.restore_image(node)
    jobs = await asyncio.to_thread(store.unfinished_jobs)
    workers = await asyncio.to_thread(store.living_workers)
    failures = await _failures(store, jobs)
    scheduler = conductor.scheduler
    flavors = {flavor.name for flavor in scheduler.cluster.flavors}
    on_worker = {job.worker_id: job for job in jobs if job.state is JobState.STARTED}
    changes: list[Change] = []
    lines: list[Line] = []
    running: set[str] = set()
    for worker in workers:
        job = on_worker.get(worker.worker_id)
        if worker.flavor not in flavors:  # there is no such size any more
            changes.append(_stopped(worker, conductor))
            continue
        conductor.workers[worker.worker_id] = worker
        conductor.identities.restore(worker.worker_id, worker.secret_hash)
        draining = worker.state is WorkerStatus.DRAINING
        task = None
        if job is not None and job.task_id is not None and not draining:
            task = _task(job, conductor, estimates, failures)
            running.add(job.request_id)
            if task.progress is Progress.ASSIGNED:
                message = task_message(job, worker.worker_id, task.task_id)
                conductor.streams.deliver(message)
        restored = RestoredWorker(
            worker_id=worker.worker_id,
            name=worker.name,
            flavor=worker.flavor,
            node=worker.node,
            spawned_at=worker.time_created - conductor.start,
            registered=worker.state is not WorkerStatus.BOOTING,
            draining=draining,
            task=task,
        )
        scheduler.restore_worker(conductor.now, restored)
        if task is not None and job is not None:
            lines += urgency_lines(job, task.job.urgency)
        lines.append((EventCode.WORKER_RESTORED, worker_keys(restored, scheduler.cluster)))
    for job in jobs:
        conductor.jobs[job.request_id] = job
        if job.request_id not in running:
            waiting = _job(job, conductor, estimates, failures)
            scheduler.restore_job(conductor.now, waiting)
            lines += urgency_lines(job, waiting.urgency)
            lines.append((EventCode.JOB_RESTORED, job_keys(waiting, scheduler.cluster)))
            if job.state is JobState.STARTED:
                changes.append(JobChange(job.request_id, {"state": JobState.WAITING}))
    if changes:
        conductor.note(changes=changes)
    return Restored(len(jobs), len(workers), tuple(lines), image_nodes)


async def _image_nodes(conductor: Conductor, store: Store, image: str) -> tuple[str, ...]:
    """Where workers have booted since the operator chose this image."""
    chosen = await asyncio.to_thread(store.setting, IMAGE)
    try:
        before, since = json.loads(chosen) if chosen is not None else ("", 0.0)
        since = float(since)
    except (ValueError, TypeError):
        _LOGGER.warning("the store's memory of the image is damaged, forgotten: %.80r", chosen)
        before, since = "", 0.0
    if before != image:
        since = conductor.start if chosen is not None else 0.0  # older stores do not tell
        conductor.note(changes=[MetaChange(IMAGE, json.dumps([image, since]))])
    return tuple(await asyncio.to_thread(store.booted_nodes, since))


async def reconcile(
    conductor: Conductor, manager: WorkerManager, *, first_pause_s: float = _FIRST_PAUSE_S
) -> None:
    """Ask the cloud what exists until it answers, act on it, and resume."""
    found = {worker.worker_id: worker for worker in await _find(manager, first_pause_s)}
    scheduler = conductor.scheduler
    for worker_id, _ in list(scheduler.workers()):
        here = found.pop(worker_id, None)
        if here is None:
            conductor.gone_meanwhile(worker_id, GONE_MEANWHILE)
        else:
            _adopt(conductor, here)
    for orphan in found.values():
        _remove(conductor, orphan)
    conductor.watch_restored()
    conductor.handle(scheduler.resume)


async def _find(manager: WorkerManager, pause_s: float) -> list[FoundWorker]:
    while True:
        try:
            async with asyncio.timeout(FIND_TIMEOUT_S):
                return await manager.find()
        except (ManagerError, TimeoutError) as error:
            reason = str(error) or f"no answer within {FIND_TIMEOUT_S:g} s"
        except Exception as error:
            _LOGGER.exception("looking for workers failed in an unforeseen way")
            reason = repr(error)
        _LOGGER.warning(
            "the cloud does not tell which workers exist, asking again in %g s: %s", pause_s, reason
        )
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _adopt(conductor: Conductor, found: FoundWorker) -> None:
    record = conductor.workers.get(found.worker_id)
    if record is None:
        return  # came after the restart
    if record.state is WorkerStatus.DRAINING:
        conductor.workforce.stop(found.worker_id)
        return
    if found.node is not None and found.node != record.node:
        conductor.of_manager(WorkerPlaced(found.worker_id, found.node))
    job_id, task_id = conductor.scheduler.task_of(found.worker_id) or ("", "")
    keys: Keys = {
        "name": record.name,
        "worker_id": record.worker_id,
        "flavor": record.flavor,
        "node": found.node or record.node,
        "request_id": job_id,
        "task_id": task_id,
    }
    conductor.note((EventCode.WORKER_ADOPTED, keys))


def _remove(conductor: Conductor, orphan: FoundWorker) -> None:
    """End what carries our mark and nobody knows; it holds its resources until it is gone."""
    now = conductor.now
    keys: Keys = {"name": orphan.name, "worker_id": orphan.worker_id, "flavor": orphan.flavor}
    conductor.note((EventCode.ORPHAN_REMOVED, keys | {"node": orphan.node or ""}))
    try:
        conductor.scheduler.restore_worker(
            now,
            RestoredWorker(
                worker_id=orphan.worker_id,
                name=orphan.name,
                flavor=orphan.flavor,
                node=orphan.node,
                spawned_at=now,
                registered=True,
                draining=True,
            ),
        )
    except IllegalEventError as error:
        _LOGGER.warning("an orphan of a size that is not ours: %s", error)
    conductor.workforce.stop(orphan.worker_id)


Failures = Mapping[str, Sequence[PastFailure]]


async def _failures(store: Store, jobs: Sequence[JobRecord]) -> Failures:
    """The failed attempts of each unfinished job since it was asked for, the last time."""
    found: dict[str, list[PastFailure]] = defaultdict(list)
    retried = {job.request_id: job.time_retried or 0.0 for job in jobs}
    for record in await asyncio.to_thread(store.unfinished_failures):
        if record.time < retried.get(record.request_id, 0.0):
            continue
        past = PastFailure(record.worker_id, Fault(record.fault), record.counted)
        found[record.request_id].append(past)
    return found


def _job(
    job: JobRecord, conductor: Conductor, estimates: Estimates, failures: Failures
) -> RestoredJob:
    speed = next((speed for speed in SPEEDS if speed == job.speed), SPEEDS[0])
    asked = job.time_retried or job.time_received
    request = Request(asked - conductor.start, job.input_video, job.bitrate, speed)
    estimate = estimates.of(job.input_video, job.bitrate, speed)
    past = tuple(failures.get(job.request_id, ()))
    urgent = urgency_of(job, estimate, conductor.start)
    return RestoredJob(job.request_id, request, estimate, job.attempts, past, urgent)


def _task(
    job: JobRecord, conductor: Conductor, estimates: Estimates, failures: Failures
) -> RestoredTask:
    progress = Progress.ASSIGNED
    if job.time_downloaded is not None:
        progress = Progress.DOWNLOADED
    if job.time_transcoded is not None:
        progress = Progress.TRANSCODED
    return RestoredTask(
        job=_job(job, conductor, estimates, failures),
        task_id=str(job.task_id),
        progress=progress,
        assigned_at=(job.time_assigned or job.time_received) - conductor.start,
        started=job.time_started is not None,
    )


def _stopped(worker: WorkerRecord, conductor: Conductor) -> WorkerChange:
    return WorkerChange(
        worker.worker_id,
        {
            "state": WorkerStatus.STOPPED,
            "time_destroyed": conductor.clock.time(),
            "reason": f"there is no flavor {worker.flavor} any more",
        },
    )
