"""The cluster again, event by event, as the log tells it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from deploy.estimates import Estimates
from deploy.eventlog.keeps import read_epochs
from deploy.eventlog.restored import read_job, read_worker
from deploy.replay.history import Entry, request_of
from deploy.tasks import Estimate, Progress, RestoredJob, RestoredWorker
from deploy.urgency import read_urgency
from env.cluster import Cluster
from env.errors import DaCircoError, IllegalEventError
from env.event_log import EventCode
from env.jobs import PLAIN, Job, Request, Urgency
from env.worker import WorkerState

if TYPE_CHECKING:
    from deploy.replay.history import History


_MOST_REPEATED: Final = 1_000_000
"""More decisions than one line ever stands for."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An event that could not be taken in, and why."""

    line: int
    code: EventCode
    why: str


class Rebuilder:
    """Takes in a history, line by line.

    Args:
        history: what to rebuild.

    Attributes:
        cluster: the state after the latest line that was taken in.
        skipped: the lines that could not be.
    """

    def __init__(self, history: History) -> None:
        world = history.world
        self.history = history
        self.cluster = Cluster(
            world.profile,
            preference=history.preference,
            discipline=world.discipline,
            boot_s=world.boot_s,
        )
        self.skipped: list[Skipped] = []
        self._estimates = Estimates(world.profile, world.catalog)
        self._flavors = {flavor.name: i for i, flavor in enumerate(self.cluster.flavors)}
        self._nodes = {node.config.name: node.index for node in self.cluster.nodes}
        for name in world.image_nodes:
            if name in self._nodes:
                self.cluster.restore_image(self._nodes[name])
        self._urgency: dict[str, Urgency] = {}  # of jobs that the log tells of next
        self._task_errors: set[str] = set()  # tasks that their workers have given up
        self._leaving: dict[str, EventCode] = {}  # workers that failed, before they are gone

    def run(self) -> Iterator[Entry]:
        """Each line just before it is taken in: the cluster is as it was then.

        A line that stands for several decisions comes once for each.
        """
        for entry in self.history.entries:
            if entry.code is EventCode.DECISIONS_REPEATED:
                yield from self._repeated(entry)
                continue
            self.cluster.tick(max(self.cluster.now, entry.at))
            yield entry
            try:
                self._take_in(entry)
            except (IllegalEventError, DaCircoError, KeyError) as error:
                self.skipped.append(Skipped(entry.line, entry.code, _reason(error)))

    def _repeated(self, entry: Entry) -> Iterator[Entry]:
        try:
            most = min(int(entry.keys["repeated"]), _MOST_REPEATED)
            times = list(read_epochs(entry.keys["epochs"], most))
        except (DaCircoError, KeyError, ValueError) as error:
            self.skipped.append(Skipped(entry.line, entry.code, _reason(error)))
            return
        for epoch, time_s in enumerate(times, start=1):
            self.cluster.tick(max(self.cluster.now, time_s))
            yield replace(entry, at=time_s, epoch=epoch)

    def _take_in(self, entry: Entry) -> None:
        cluster, keys, at = self.cluster, entry.keys, self.cluster.now
        match entry.code:
            case EventCode.REQUEST_RECEIVED:
                if keys.get("request_id") in self.history.refused:
                    return  # it was stored, and nothing more
                request = request_of(entry)
                estimate = self._estimates.of(request.movie, request.bitrate_kbps, request.speed)
                cluster.job_arrived(at, self._job(keys["request_id"], request, estimate))
            case EventCode.JOB_RETRIED:
                request = request_of(entry)
                estimate = self._estimates.of(request.movie, request.bitrate_kbps, request.speed)
                attempts = int(keys["attempts"])
                cluster.job_arrived(at, self._job(keys["request_id"], request, estimate, attempts))
            case EventCode.JOB_URGENCY:
                self._urgency[keys["request_id"]] = read_urgency(keys)
            case EventCode.WORKER_CREATED:
                worker_id = keys["worker_id"]
                flavor = self._flavors.get(keys.get("flavor", ""))
                if flavor is None:
                    flavor = self.history.flavor_of(worker_id)
                node = self._nodes.get(keys.get("node", ""))
                cluster.worker_spawned(at, worker_id, flavor, node)
            case EventCode.WORKER_PLACED:
                if keys["node"] in self._nodes:
                    cluster.worker_placed(at, keys["worker_id"], self._nodes[keys["node"]])
            case EventCode.WORKER_REGISTERED:
                cluster.worker_ready(at, keys["worker_id"])
            case EventCode.TASK_ASSIGNED:
                job_id, worker_id = keys["request_id"], keys["worker_id"]
                cluster.task_assigned(at, job_id, worker_id, out_of_turn=True)
            case EventCode.FILE_DOWNLOADED:
                self._downloaded(keys["worker_id"])
            case EventCode.TRANSCODING_COMPLETED:
                cluster.transcoding_completed(at, keys["worker_id"])
            case EventCode.FILE_UPLOADED:
                cluster.file_uploaded(at, keys["worker_id"])
            case EventCode.PREFERENCE_CHANGED:
                cluster.preference = float(keys["preference"])
            case _:
                self._take_in_failure(entry)

    def _job(self, job_id: str, request: Request, estimate: Estimate, attempts: int = 0) -> Job:
        return estimate.job(job_id, request, 0.0, attempts, self._urgency.pop(job_id, PLAIN))

    def _downloaded(self, worker_id: str) -> None:
        cluster = self.cluster
        worker = cluster.workers[worker_id]
        if worker.job is None:
            raise IllegalEventError("file_downloaded", worker_id, "the worker has no job")
        asked = worker.job.request
        used = self._estimates.of(asked.movie, asked.bitrate_kbps, asked.speed)
        cores, ram = used.used_cores[worker.flavor], used.used_ram_gib[worker.flavor]
        cluster.file_downloaded(cluster.now, worker_id, cores, ram)

    def _take_in_failure(self, entry: Entry) -> None:
        cluster, keys, at = self.cluster, entry.keys, self.cluster.now
        match entry.code:
            case EventCode.TRANSCODING_ERROR | EventCode.STORAGE_ERROR:
                if not self.history.records_decisions:  # nothing else tells what became of it
                    cluster.task_failed(at, keys["worker_id"])
                else:
                    self._task_errors.add(keys["task_id"])
            case EventCode.TASK_REQUEUED:
                # Of a worker that is lost, that event puts the job back.
                if keys["task_id"] in self._task_errors:
                    self._task_errors.discard(keys["task_id"])
                    cluster.task_requeued(at, keys["worker_id"])
            case EventCode.REQUEST_FAILED:
                if cluster.is_waiting(keys["request_id"]):
                    cluster.job_withdrawn(at, keys["request_id"])
                elif keys.get("refused") != "true":
                    cluster.task_failed(at, self._worker_of(keys["request_id"]))
            case EventCode.JOB_CANCELLED:
                if cluster.is_waiting(keys["request_id"]):
                    cluster.job_withdrawn(at, keys["request_id"])
                else:
                    cluster.task_failed(at, keys["worker_id"])
            case EventCode.JOB_HELD:
                cluster.job_held(at, keys["request_id"])
            case EventCode.JOB_RELEASED:
                cluster.job_released(at, keys["request_id"])
            case EventCode.STORAGE_AWAY:
                cluster.gate_closed(at)
            case EventCode.STORAGE_BACK:
                cluster.gate_opened(at)
            case EventCode.SPAWN_FAILED | EventCode.WORKER_LOST | EventCode.WORKER_QUARANTINED:
                self._leaving[keys["worker_id"]] = entry.code
            case EventCode.WORKER_RETIRING:
                cluster.worker_retiring(at, keys["worker_id"])
            case EventCode.WORKER_DRAINING:
                self._draining(keys["worker_id"])
            case EventCode.WORKER_DESTROYED:
                self._gone(keys["worker_id"])
            case EventCode.JOB_RESTORED:
                cluster.restore_job(at, self._restored(read_job(keys, self._estimates)))
            case EventCode.WORKER_RESTORED:
                self._restore(read_worker(keys, self._estimates))
            case EventCode.ORPHAN_REMOVED:
                orphan = RestoredWorker(
                    keys["worker_id"],
                    keys["name"],
                    keys.get("flavor", ""),
                    keys.get("node"),
                    at,
                    registered=True,
                    draining=True,
                )
                self._restore(orphan)
            case _:
                pass  # changes nothing in the cluster

    def _restored(self, job: RestoredJob) -> Job:
        arrival = min(job.request.arrival_s, self.cluster.now)
        urgent = self._urgency.pop(job.job_id, PLAIN)
        return job.estimate.job(job.job_id, job.request, arrival, job.attempts, urgent)

    def _restore(self, worker: RestoredWorker) -> None:
        """As `Scheduler.restore_worker` does."""
        cluster, at, worker_id = self.cluster, self.cluster.now, worker.worker_id
        flavor = self._flavors.get(worker.flavor, -1)
        node = self._nodes.get(worker.node or "", 0)
        cluster.restore_worker(at, worker_id, flavor, node, min(at, worker.spawned_at))
        if worker.registered or worker.draining:
            cluster.worker_ready(at, worker_id)
        task = worker.task
        if worker.draining:
            cluster.worker_draining(at, worker_id)
        elif task is not None:
            assigned = min(at, task.assigned_at)
            cluster.restore_task(at, worker_id, self._restored(task.job), assigned)
            if task.progress >= Progress.DOWNLOADED:
                self._downloaded(worker_id)
            if task.progress >= Progress.TRANSCODED:
                cluster.transcoding_completed(at, worker_id)

    def _worker_of(self, job_id: str) -> Hashable:
        for worker in self.cluster.workers.values():
            if worker.job is not None and worker.job.job_id == job_id:
                return worker.worker_id
        raise IllegalEventError("task_failed", job_id, "no worker has the job")

    def _draining(self, worker_id: str) -> None:
        cluster, at = self.cluster, self.cluster.now
        why = self._leaving.pop(worker_id, None)
        if cluster.workers[worker_id].state is WorkerState.DRAINING:
            return  # it was to retire, and its task has ended
        if why is not None:
            cluster.worker_abandoned(at, worker_id)
        else:
            cluster.worker_draining(at, worker_id)

    def _gone(self, worker_id: str) -> None:
        cluster, at = self.cluster, self.cluster.now
        why = self._leaving.pop(worker_id, None)
        worker = cluster.workers[worker_id]
        if worker.state is WorkerState.DRAINING and why is not EventCode.WORKER_LOST:
            cluster.worker_stopped(at, worker_id)
        elif why is EventCode.SPAWN_FAILED or worker.state is WorkerState.BOOTING:
            cluster.spawn_failed(at, worker_id)
        elif why is None and worker.state is WorkerState.IDLE:  # logs of the existing system
            cluster.worker_draining(at, worker_id)
            cluster.worker_stopped(at, worker_id)
        else:
            cluster.worker_lost(at, worker_id)


def _reason(error: Exception) -> str:
    return f"{error} is not known" if isinstance(error, KeyError) else str(error)
