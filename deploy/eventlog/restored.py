"""How the log tells what a restarted controller has found, so that a replay can begin with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from deploy.tasks import Progress, RestoredJob, RestoredTask, RestoredWorker
from env.errors import EventLogError
from env.jobs import SPEEDS, Request

if TYPE_CHECKING:
    from deploy.controller.estimates import Estimates

Keys = dict[str, str | int | float]


def job_keys(job: RestoredJob, cluster_time: float) -> Keys:
    """The keys of a waiting job (EV35); `cluster_time` is when it was restored, seconds."""
    asked = job.request
    return {
        "request_id": job.job_id,
        "input_video": asked.movie,
        "bitrate": asked.bitrate_kbps,
        "speed": asked.speed,
        "arrival": repr(asked.arrival_s),
        "attempts": job.attempts,
        "cluster_time": repr(cluster_time),
    }


def worker_keys(worker: RestoredWorker, cluster_time: float) -> Keys:
    """The keys of a worker (EV36), with its task and that job if it has one."""
    keys: Keys = {
        "name": worker.name,
        "worker_id": worker.worker_id,
        "flavor": worker.flavor,
        "node": worker.node or "",
        "spawned_at": repr(worker.spawned_at),
        "registered": str(worker.registered).lower(),
        "draining": str(worker.draining).lower(),
        "cluster_time": repr(cluster_time),
    }
    task = worker.task
    if task is not None:
        keys |= job_keys(task.job, cluster_time)
        keys |= {
            "task_id": task.task_id,
            "progress": task.progress.name.lower(),
            "assigned_at": repr(task.assigned_at),
            "started": str(task.started).lower(),
        }
    return keys


def read_job(keys: Mapping[str, str], estimates: Estimates) -> RestoredJob:
    """The job of an EV35 line, or of the task of an EV36 line.

    Raises:
        EventLogError: the line is damaged.
    """
    try:
        speed = next(speed for speed in SPEEDS if speed == keys["speed"])
        bitrate, movie = int(keys["bitrate"]), keys["input_video"]
        request = Request(float(keys["arrival"]), movie, bitrate, speed)
        estimate = estimates.of(movie, bitrate, speed)
        return RestoredJob(keys["request_id"], request, estimate, int(keys["attempts"]))
    except (KeyError, ValueError, StopIteration) as error:
        raise EventLogError(f"not a restored job: {error!r}") from None


def read_worker(keys: Mapping[str, str], estimates: Estimates) -> RestoredWorker:
    """The worker of an EV36 line.

    Raises:
        EventLogError: the line is damaged.
    """
    try:
        task = None
        if keys.get("task_id"):
            task = RestoredTask(
                read_job(keys, estimates),
                keys["task_id"],
                Progress[keys["progress"].upper()],
                float(keys["assigned_at"]),
                keys["started"] == "true",
            )
        return RestoredWorker(
            keys["worker_id"],
            keys["name"],
            keys["flavor"],
            keys["node"] or None,
            float(keys["spawned_at"]),
            keys["registered"] == "true",
            keys["draining"] == "true",
            task,
        )
    except (KeyError, ValueError) as error:
        raise EventLogError(f"not a restored worker: {error!r}") from None
