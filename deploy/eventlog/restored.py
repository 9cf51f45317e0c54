"""How the log tells what a restarted controller has found, so that a replay can begin with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from deploy.tasks import Progress, RestoredJob, RestoredTask, RestoredWorker
from env.errors import EventLogError
from env.jobs import SPEEDS, Request

if TYPE_CHECKING:
    from deploy.estimates import Estimates
    from env.cluster import Cluster

Keys = dict[str, str | int | float]


def job_keys(job: RestoredJob, cluster: Cluster) -> Keys:
    """The keys of a waiting job (EV35) that has just been restored."""
    asked = job.request
    return {
        "request_id": job.job_id,
        "input_video": asked.movie,
        "bitrate": asked.bitrate_kbps,
        "speed": asked.speed,
        "arrival": repr(cluster.jobs[job.job_id].arrival_s),
        "attempts": job.attempts,
        "cluster_time": repr(cluster.now),
    }


def worker_keys(worker: RestoredWorker, cluster: Cluster) -> Keys:
    """The keys of a worker (EV36) that has just been restored, with its task and that job."""
    keys: Keys = {
        "name": worker.name,
        "worker_id": worker.worker_id,
        "flavor": worker.flavor,
        "node": worker.node or "",
        "spawned_at": repr(worker.spawned_at),
        "registered": str(worker.registered).lower(),
        "draining": str(worker.draining).lower(),
        "cluster_time": repr(cluster.now),
    }
    task = worker.task
    if task is not None:
        keys |= job_keys(task.job, cluster)
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
