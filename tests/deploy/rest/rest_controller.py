"""A controller that answers what the test says, over real gRPC, as the contract describes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import (
    DaCircogRPCServiceServicer,
    add_DaCircogRPCServiceServicer_to_server,
)


@dataclass
class Script:
    """What the controller knows, and how it behaves.

    Attributes:
        jobs: by id, in the order of submission.
        job_states: state by id; default: waiting.
        workers: by id.
        worker_states: state by id.
        refusal: message and reason with which every job is refused; no reason: none is sent.
        status: gRPC status with which every call fails.
        failures_left: how many more calls fail with `status`; None: all.
        silent: calls are not answered while it is set.
        calls: names of the calls that were made.
    """

    jobs: dict[str, pb.TCRequest] = field(default_factory=dict)
    job_states: dict[str, int] = field(default_factory=dict)
    workers: dict[str, pb.WorkerFullDesc] = field(default_factory=dict)
    worker_states: dict[str, int] = field(default_factory=dict)
    refusal: tuple[str, str] | None = None
    status: grpc.StatusCode | None = None
    failures_left: int | None = None
    silent: threading.Event = field(default_factory=threading.Event)
    calls: list[str] = field(default_factory=list)


class ScriptedController(DaCircogRPCServiceServicer):
    """The calls that a REST front end makes."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.released = threading.Event()

    def submit_request(
        self, request: pb.TCRequest, context: grpc.ServicerContext
    ) -> pb.TCRequestReply:
        self._begin("submit_request", context)
        if self.script.refusal is not None:
            message, reason = self.script.refusal
            if reason:
                context.set_trailing_metadata((("dacirco-reason", reason),))
            return pb.TCRequestReply(success=False, error_message=message)
        job_id = f"job-{len(self.script.jobs) + 1}"
        self.script.jobs[job_id] = request
        return pb.TCRequestReply(success=True, request_id=job_id)

    def get_requests(self, request: pb.Empty, context: grpc.ServicerContext) -> pb.RequestIDList:
        self._begin("get_requests", context)
        return pb.RequestIDList(request_ids=list(self.script.jobs))

    def get_request(self, request: pb.RequestID, context: grpc.ServicerContext) -> pb.TCRequest:
        self._begin("get_request", context)
        return self.script.jobs.get(request.request_id, pb.TCRequest())

    def get_request_status(
        self, request: pb.RequestID, context: grpc.ServicerContext
    ) -> pb.TCRequestStatus:
        self._begin("get_request_status", context)
        if request.request_id not in self.script.jobs:
            return pb.TCRequestStatus(request_status=pb.REQUEST_STATUS_NOT_FOUND)
        state = self.script.job_states.get(request.request_id, pb.REQUEST_STATUS_WAITING)
        return pb.TCRequestStatus(request_status=state)  # type: ignore[arg-type]

    def get_workers(self, request: pb.Empty, context: grpc.ServicerContext) -> pb.WorkerIDList:
        self._begin("get_workers", context)
        return pb.WorkerIDList(worker_ids=list(self.script.workers))

    def get_worker(self, request: pb.WorkerID, context: grpc.ServicerContext) -> pb.WorkerFullDesc:
        self._begin("get_worker", context)
        return self.script.workers.get(request.worker_id, pb.WorkerFullDesc())

    def get_worker_status(
        self, request: pb.WorkerID, context: grpc.ServicerContext
    ) -> pb.WorkerGrpcState:
        self._begin("get_worker_status", context)
        state = self.script.worker_states.get(request.worker_id, pb.WORKER_STATUS_NOT_FOUND)
        return pb.WorkerGrpcState(worker_status=state)  # type: ignore[arg-type]

    def _begin(self, name: str, context: grpc.ServicerContext) -> None:
        self.script.calls.append(name)
        if self.script.silent.is_set():
            self.released.wait()
        failing = self.script.failures_left is None or self.script.failures_left > 0
        if self.script.status is not None and failing:
            if self.script.failures_left is not None:
                self.script.failures_left -= 1
            context.abort(self.script.status, "as the script says")


@contextmanager
def controller_running(script: Script, address: str = "127.0.0.1:0") -> Iterator[str]:
    """A controller that follows the script, at the address that is given out."""
    server = grpc.server(ThreadPoolExecutor(8))
    servicer = ScriptedController(script)
    add_DaCircogRPCServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        servicer.released.set()
        server.stop(None).wait()
