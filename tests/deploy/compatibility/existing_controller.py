"""A controller as the existing system's behaves: it stores every request, and gives it an id.

A worker that registers gets the requests one after the other; what the contract does not have, it
does not see. It tells the states of its workers in the numbers of its generation.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.deploy.compatibility.wire import (
    JOB_NOT_FOUND,
    served,
    worker_not_found,
    worker_number,
)
from tests.deploy.rest.contract import message

WAITING, STARTED, COMPLETED, ERROR = 1, 3, 4, 5
_STEPS_OF_2022 = {1: "Transcoding", 3: "Uploading File", 4: "Idle"}


class ExistingController:
    """The calls of front ends and workers.

    Attributes:
        jobs: what was asked for, by id, in the order of arrival.
        states: of the jobs, as the contract numbers them.
        workers: name by id.
        worker_states: in the words of the Job API.
        events: type and task of what workers told, keepalives included.
        errors: type and message.
    """

    def __init__(self, generation: str = "2022", *, empty_replies: bool = False) -> None:
        self.generation = generation
        self.jobs: dict[str, Any] = {}
        self.states: dict[str, int] = {}
        self.workers: dict[str, str] = {}
        self.worker_states: dict[str, str] = {}
        self.events: list[tuple[int, str]] = []
        self.errors: list[tuple[int, str]] = []
        self.ended = False
        self._empty_replies = empty_replies
        self._tasks: dict[str, str] = {}
        self._changed = threading.Condition()

    # -- front ends -------------------------------------------------------------------

    def submit_request(self, request: Any, _context: Any) -> Any:
        with self._changed:
            job_id = str(uuid.uuid4())
            self.jobs[job_id], self.states[job_id] = request, WAITING
            self._changed.notify_all()
        return self._new("TCRequestReply", success=True, request_id=job_id)

    def get_requests(self, _request: Any, _context: Any) -> Any:
        return self._new("RequestIDList", request_ids=list(self.jobs))

    def get_request(self, request: Any, _context: Any) -> Any:
        return self.jobs.get(request.request_id) or self._new("TCRequest")

    def get_request_status(self, request: Any, _context: Any) -> Any:
        state = self.states.get(request.request_id, JOB_NOT_FOUND)
        return self._new("TCRequestStatus", request_status=state)

    def get_workers(self, _request: Any, _context: Any) -> Any:
        return self._new("WorkerIDList", worker_ids=list(self.workers))

    def get_worker(self, request: Any, _context: Any) -> Any:
        worker_id = request.worker_id
        if worker_id not in self.workers:
            return self._new("WorkerFullDesc")
        more = {"cpus": "2", "memory": "2048", "node": "compute1"}
        return self._new("WorkerFullDesc", name=self.workers[worker_id], id=worker_id, **more)

    def get_worker_status(self, request: Any, _context: Any) -> Any:
        number = worker_not_found(self.generation)
        if request.worker_id in self.worker_states:
            number = worker_number(self.generation, self.worker_states[request.worker_id])
        return self._new("WorkerGrpcState", worker_status=number)

    # -- workers ----------------------------------------------------------------------

    def register_worker(self, request: Any, _context: Any) -> Any:
        self.workers[request.id] = request.name
        self.worker_states[request.id] = "Idle"
        return self._new("gRPCServiceReply", success=True)

    def get_tasks(self, request: Any, context: Any) -> Iterator[Any]:
        worker_id = request.id
        while context.is_active() and not self.ended:
            with self._changed:
                waiting = [job for job, state in self.states.items() if state == WAITING]
                free = self.worker_states.get(worker_id) == "Idle"
                if not waiting or not free:
                    self._changed.wait(0.05)
                    continue
                job_id, task_id = waiting[0], str(uuid.uuid4())
                self._tasks[task_id], self.states[job_id] = job_id, STARTED
                self._set_worker(worker_id, "Downloading File")
            job = self.jobs[job_id]
            yield self._new(
                "TCTask",
                input_video=job.input_video,
                output_video=job.output_video,
                bitrate=job.bitrate,
                speed=job.speed,
                request_id=job_id,
                worker_id=worker_id,
                task_id=task_id,
            )

    def submit_event(self, request: Any, _context: Any) -> Any:
        with self._changed:
            self.events.append((request.event_type, request.task_id))
            if request.event_type in _STEPS_OF_2022:
                self._set_worker(request.worker_id, _STEPS_OF_2022[request.event_type])
            if request.event_type == 4:
                self.states[self._tasks[request.task_id]] = COMPLETED
            self._changed.notify_all()
        return self._reply()

    def submit_error(self, request: Any, _context: Any) -> Any:
        with self._changed:
            self.errors.append((request.error_type, request.error_message))
            self.states[self._tasks[request.task_id]] = ERROR
            self._set_worker(request.worker_id, "Idle")
            self._changed.notify_all()
        return self._reply()

    # -- the test ---------------------------------------------------------------------

    def add_job(self, video: str, bitrate: int = 500, speed: str = "ultrafast") -> str:
        """A request as a front end would submit it; returns its id."""
        request = self._new(
            "TCRequest",
            input_video=video,
            output_video=f"out-{video}",
            bitrate=bitrate,
            speed=speed,
        )
        return str(self.submit_request(request, None).request_id)

    def steps(self) -> list[int]:
        """Types of the events of tasks."""
        return [kind for kind, task_id in self.events if task_id]

    def _set_worker(self, worker_id: str, word: str) -> None:
        at_work = word not in ("Idle", "Stopped", "Booting")
        self.worker_states[worker_id] = "Busy" if at_work and self.generation == "2024" else word

    def _reply(self) -> Any:
        """Not every existing controller fills in its replies."""
        return self._new("gRPCServiceReply", success=not self._empty_replies)

    def _new(self, kind: str, /, **fields: Any) -> Any:
        return message(kind, self.generation)(**fields)


@contextmanager
def running(controller: ExistingController) -> Iterator[str]:
    """The controller's address."""
    calls = (
        *("submit_request", "get_requests", "get_request", "get_request_status"),
        *("get_workers", "get_worker", "get_worker_status"),
        *("register_worker", "get_tasks", "submit_event", "submit_error"),
    )
    with served({call: getattr(controller, call) for call in calls}, controller.generation) as at:
        try:
            yield at
        finally:
            controller.ended = True
