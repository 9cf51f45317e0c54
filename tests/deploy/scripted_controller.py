"""A controller that does what a test says: a real gRPC server, spoken to by real workers."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import (
    DaCircogRPCServiceServicer,
    add_DaCircogRPCServiceServicer_to_server,
)

PATIENCE_S = 90.0
"""For a loaded machine; nothing waits so long when all is well."""

Report = pb.GrpcEvent | pb.GrpcErrorEvent


def wait_until(condition: Callable[[], Any], what: str = "a condition") -> None:
    """Wait for it.

    Raises:
        AssertionError: it did not come true.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(0.02)


class ScriptedController(DaCircogRPCServiceServicer):
    """Up between `start` and `stop`, also several times, always on the same port.

    Attributes:
        registered: the workers, as often as they came.
        streams: how many streams of tasks have been opened.
        reports: all events and errors of tasks, in the order in which they came.
        signs_of_life: KEEPALIVEs.
        on_report: called with each report and each sign of life; what it returns, if anything,
            is the reply.
        refusal: of a registration.
        stream_error: ends each new stream with this status.
    """

    def __init__(self) -> None:
        self.port = 0
        self.registered: list[pb.WorkerDesc] = []
        self.streams = 0
        self.reports: list[Report] = []
        self.signs_of_life: list[pb.GrpcEvent] = []
        self.on_report: Callable[[Report], pb.gRPCServiceReply | None] = lambda _: None
        self.refusal = ""
        self.stream_error: grpc.StatusCode | None = None
        self._tasks: queue.Queue[pb.TCTask | None] = queue.Queue()
        self._up = threading.Event()
        self._server: grpc.Server | None = None

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        add_DaCircogRPCServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._up.set()
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._up.clear()
            self._server.stop(grace=0).wait()
            self._server = None

    def __enter__(self) -> ScriptedController:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send(self, task: pb.TCTask) -> None:
        self._tasks.put(task)

    def end_stream(self) -> None:
        """End the open stream in good order."""
        self._tasks.put(None)

    def kinds(self, task_id: str) -> list[str]:
        """What was told of a task, e.g. FILE_DOWNLOADED."""
        return [kind_of(report) for report in self.reports if report.task_id == task_id]

    def wait_for(self, task_id: str, kind: str) -> Report:
        """Wait for a report of a task and return it."""
        wait_until(lambda: kind in self.kinds(task_id), f"{kind} of {task_id}")
        return next(
            report
            for report in self.reports
            if report.task_id == task_id and kind_of(report) == kind
        )

    def register_worker(self, request: pb.WorkerDesc, context: Any) -> pb.gRPCServiceReply:
        self.registered.append(request)
        return pb.gRPCServiceReply(success=not self.refusal, error_message=self.refusal)

    def get_tasks(self, request: pb.WorkerDesc, context: Any) -> Iterator[pb.TCTask]:
        self.streams += 1
        if self.stream_error is not None:
            context.abort(self.stream_error, "as the test wants it")
        while context.is_active() and self._up.is_set():
            try:
                task = self._tasks.get(timeout=0.02)
            except queue.Empty:
                continue
            if task is None:
                return
            yield task
        if context.is_active():
            context.abort(grpc.StatusCode.UNAVAILABLE, "the controller ends")

    def submit_event(self, request: pb.GrpcEvent, context: Any) -> pb.gRPCServiceReply:
        return self._take(request)

    def submit_error(self, request: pb.GrpcErrorEvent, context: Any) -> pb.gRPCServiceReply:
        return self._take(request)

    def _take(self, report: Report) -> pb.gRPCServiceReply:
        if isinstance(report, pb.GrpcEvent) and report.event_type == pb.EVENT_KEEPALIVE:
            self.signs_of_life.append(report)
        else:
            self.reports.append(report)
        return self.on_report(report) or pb.gRPCServiceReply(success=True)


def kind_of(report: Report) -> str:
    if isinstance(report, pb.GrpcEvent):
        return pb.GrpcEventTypeEnum.Name(report.event_type).removeprefix("EVENT_")
    return pb.GrpcErrorType.Name(report.error_type).removeprefix("ERROR_")
