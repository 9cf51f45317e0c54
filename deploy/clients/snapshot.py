"""What the service does now, gathered from the Job API with as few calls as it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from deploy.clients.job_api import ENDED_JOB, STOPPED, ApiError, JobApi

BOOTING: Final = "Booting"


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as the Job API tells of it; bitrate in kbit/s."""

    id: str
    id_video: str
    bitrate: int | str
    speed: str
    state: str


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker as the Job API tells of it; empty for what is not known yet."""

    id: str
    name: str
    cpus: str
    memory: str
    node: str
    state: str


@dataclass(frozen=True, slots=True)
class NodeView:
    """What the workers that live on a node do."""

    workers: int
    busy: int
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All jobs and workers, in the order of the server's lists."""

    jobs: tuple[JobView, ...] = ()
    workers: tuple[WorkerView, ...] = ()

    @property
    def nodes(self) -> dict[str, NodeView]:
        """The nodes by name; workers whose node is not known are under the empty name."""
        states: dict[str, Counter[str]] = {}
        for worker in self.workers:
            if worker.state != STOPPED:
                states.setdefault(worker.node, Counter())[worker.state] += 1
        return {
            node: NodeView(
                workers=count.total(),
                busy=count.total() - count["Idle"] - count[BOOTING],
                states=dict(sorted(count.items())),
            )
            for node, count in sorted(states.items())
        }

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "jobs": [asdict(job) for job in self.jobs],
            "workers": [asdict(worker) for worker in self.workers],
            "nodes": {name: asdict(node) for name, node in self.nodes.items()},
            "job_states": dict(sorted(Counter(job.state for job in self.jobs).items())),
            "worker_states": dict(sorted(Counter(each.state for each in self.workers).items())),
        }


@dataclass
class Watcher:
    """Takes snapshots; what has ended is asked for once."""

    api: JobApi
    _jobs: dict[str, JobView] = field(default_factory=dict)
    _workers: dict[str, WorkerView] = field(default_factory=dict)

    def look(self) -> Snapshot:
        """The state of the service.

        Raises:
            ApiError: the server refuses to tell.
            ApiAwayError: it cannot be reached; what is known is kept for the next look.
        """
        job_ids, worker_ids = self.api.job_ids(), self.api.worker_ids()
        for job_id in job_ids:
            self._look_at_job(job_id)
        for worker_id in worker_ids:
            self._look_at_worker(worker_id)
        return Snapshot(
            tuple(self._jobs[job_id] for job_id in job_ids if job_id in self._jobs),
            tuple(self._workers[each] for each in worker_ids if each in self._workers),
        )

    def _look_at_job(self, job_id: str) -> None:
        known = self._jobs.get(job_id)
        if known is not None and known.state in ENDED_JOB:
            return
        try:
            state = self.api.job_state(job_id)
            if known is None:
                job = self.api.job(job_id)
                known = JobView(
                    id=job_id,
                    id_video=str(job.get("id_video", "")),
                    bitrate=job.get("bitrate", ""),
                    speed=str(job.get("speed", "")),
                    state=state,
                )
        except ApiError as error:
            if error.status != 404:  # it was forgotten between two calls
                raise
        else:
            self._jobs[job_id] = replace(known, state=state)

    def _look_at_worker(self, worker_id: str) -> None:
        known = self._workers.get(worker_id)
        if known is not None and known.state == STOPPED:
            return
        try:
            state = self.api.worker_state(worker_id)
            if known is None or known.state == BOOTING:  # its size and node are told afterwards
                worker = self.api.worker(worker_id)
                known = WorkerView(
                    id=worker_id,
                    name=str(worker.get("name", "")),
                    cpus=str(worker.get("cpus", "")),
                    memory=str(worker.get("memory", "")),
                    node=str(worker.get("node", "")),
                    state=state,
                )
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            self._workers[worker_id] = replace(known, state=state)
