"""A controller that answers what the test says, over real gRPC, as the contract describes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import jobs_pb2 as jobs
from deploy.grpc_api import page_pb2
from deploy.grpc_api.dacirco_pb2_grpc import (
    DaCircogRPCServiceServicer,
    add_DaCircogRPCServiceServicer_to_server,
)
from deploy.grpc_api.jobs_pb2_grpc import DaCircoJobsServicer, add_DaCircoJobsServicer_to_server
from deploy.grpc_api.page_pb2_grpc import DaCircoPageServicer, add_DaCircoPageServicer_to_server


@dataclass
class Script:
    """What the controller knows, and how it behaves.

    Attributes:
        jobs: by id, in the order of submission.
        job_states: state by id; default: waiting.
        new_jobs: those that were submitted beyond the contract, by id.
        keys: the job of each idempotency key.
        queries: what lists were asked for.
        results: content by id.
        result_name: of all of them.
        result_url: where the storage gives them away.
        details: what is told of a job beyond the contract, by id; default: what it was asked.
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
    new_jobs: dict[str, jobs.NewJob] = field(default_factory=dict)  # type: ignore[name-defined]
    keys: dict[str, str] = field(default_factory=dict)
    queries: list[jobs.JobQuery] = field(default_factory=list)  # type: ignore[name-defined]
    results: dict[str, bytes] = field(default_factory=dict)
    result_name: str = "out-bbb_3.mp4"
    result_url: str = ""
    details: dict[str, jobs.JobDetails] = field(default_factory=dict)  # type: ignore[name-defined]
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
        self.begin("submit_request", context)
        if self.script.refusal is not None:
            message, reason = self.script.refusal
            if reason:
                context.set_trailing_metadata((("dacirco-reason", reason),))
            return pb.TCRequestReply(success=False, error_message=message)
        job_id = f"job-{len(self.script.jobs) + 1}"
        self.script.jobs[job_id] = request
        return pb.TCRequestReply(success=True, request_id=job_id)

    def get_requests(self, request: pb.Empty, context: grpc.ServicerContext) -> pb.RequestIDList:
        self.begin("get_requests", context)
        return pb.RequestIDList(request_ids=list(self.script.jobs))

    def get_request(self, request: pb.RequestID, context: grpc.ServicerContext) -> pb.TCRequest:
        self.begin("get_request", context)
        return self.script.jobs.get(request.request_id, pb.TCRequest())

    def get_request_status(
        self, request: pb.RequestID, context: grpc.ServicerContext
    ) -> pb.TCRequestStatus:
        self.begin("get_request_status", context)
        if request.request_id not in self.script.jobs:
            return pb.TCRequestStatus(request_status=pb.REQUEST_STATUS_NOT_FOUND)
        state = self.script.job_states.get(request.request_id, pb.REQUEST_STATUS_WAITING)
        return pb.TCRequestStatus(request_status=state)  # type: ignore[arg-type]

    def get_workers(self, request: pb.Empty, context: grpc.ServicerContext) -> pb.WorkerIDList:
        self.begin("get_workers", context)
        return pb.WorkerIDList(worker_ids=list(self.script.workers))

    def get_worker(self, request: pb.WorkerID, context: grpc.ServicerContext) -> pb.WorkerFullDesc:
        self.begin("get_worker", context)
        return self.script.workers.get(request.worker_id, pb.WorkerFullDesc())

    def get_worker_status(
        self, request: pb.WorkerID, context: grpc.ServicerContext
    ) -> pb.WorkerGrpcState:
        self.begin("get_worker_status", context)
        state = self.script.worker_states.get(request.worker_id, pb.WORKER_STATUS_NOT_FOUND)
        return pb.WorkerGrpcState(worker_status=state)  # type: ignore[arg-type]

    def begin(self, name: str, context: grpc.ServicerContext) -> None:
        self.script.calls.append(name)
        if self.script.silent.is_set():
            self.released.wait()
        failing = self.script.failures_left is None or self.script.failures_left > 0
        if self.script.status is not None and failing:
            if self.script.failures_left is not None:
                self.script.failures_left -= 1
            context.abort(self.script.status, "as the script says")


class ScriptedJobs(DaCircoJobsServicer):
    """The calls beyond the contract."""

    def __init__(self, servicer: ScriptedController) -> None:
        self._servicer = servicer
        self.script = servicer.script

    def submit_job(self, request: jobs.NewJob, context: grpc.ServicerContext) -> jobs.SubmittedJob:
        self._servicer.begin("submit_job", context)
        if self.script.refusal is not None:
            message, reason = self.script.refusal
            self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, reason, message)
        known = self.script.keys.get(request.idempotency_key)
        if known is not None:
            return jobs.SubmittedJob(job_id=known, known_before=True)
        job_id = f"job-{len(self.script.jobs) + 1}"
        self.script.jobs[job_id] = pb.TCRequest(
            input_video=request.input_video,
            output_video=request.output_video,
            bitrate=request.bitrate,
            speed=request.speed,
        )
        self.script.new_jobs[job_id] = request
        if request.idempotency_key:
            self.script.keys[request.idempotency_key] = job_id
        return jobs.SubmittedJob(job_id=job_id)

    def find_jobs(self, request: jobs.JobQuery, context: grpc.ServicerContext) -> jobs.JobPage:
        self._servicer.begin("find_jobs", context)
        self.script.queries.append(request)
        ids = list(self.script.jobs)
        if request.after:
            if request.after not in ids:
                self._refuse(context, grpc.StatusCode.NOT_FOUND, "not-found", "no such id")
            ids = ids[ids.index(request.after) + 1 :]
        ids = ids[request.offset :]
        page, more = ids[: request.limit or None], bool(request.limit) and len(ids) > request.limit
        if not request.with_details:
            return jobs.JobPage(job_ids=page, has_more=more)
        found = [self._details(jobs.JobName(job_id=each), context) for each in page]
        return jobs.JobPage(jobs=found, has_more=more)

    def find_result(self, request: jobs.JobName, context: grpc.ServicerContext) -> jobs.ResultPlace:
        self._servicer.begin("find_result", context)
        content = self.script.results.get(request.job_id)
        if content is None:
            self._details(request, context)
            self._refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "conflict", "no result")
            raise AssertionError
        return jobs.ResultPlace(
            name=self.script.result_name,
            size=len(content),
            etag="e1",
            modified=1_700_000_000.0,
            url=self.script.result_url,
        )

    def read_result(
        self, request: jobs.ResultRange, context: grpc.ServicerContext
    ) -> Iterator[jobs.ResultPart]:
        self._servicer.begin("read_result", context)
        content = self.script.results[request.job_id]
        part = content[request.first : request.first + request.length]
        for begin in range(0, len(part), 1000):
            yield jobs.ResultPart(content=part[begin : begin + 1000])

    def describe_job(self, request: jobs.JobName, context: grpc.ServicerContext) -> jobs.JobDetails:
        self._servicer.begin("describe_job", context)
        return self._details(request, context)

    def cancel_job(self, request: jobs.JobName, context: grpc.ServicerContext) -> jobs.JobDetails:
        self._servicer.begin("cancel_job", context)
        details = self._details(request, context)
        if details.state not in ("Waiting", "Started"):
            self._refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "conflict", "it has ended")
        details.state = "Cancelled"
        self.script.details[request.job_id] = details
        return details

    def retry_job(self, request: jobs.JobName, context: grpc.ServicerContext) -> jobs.JobDetails:
        self._servicer.begin("retry_job", context)
        details = self._details(request, context)
        if details.state not in ("Error", "Cancelled"):
            self._refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "conflict", "not ended so")
        details.state = "Waiting"
        self.script.details[request.job_id] = details
        return details

    def _details(self, request: jobs.JobName, context: grpc.ServicerContext) -> jobs.JobDetails:
        job_id = request.job_id
        if job_id in self.script.details:
            return self.script.details[job_id]
        if job_id not in self.script.jobs:
            self._refuse(context, grpc.StatusCode.NOT_FOUND, "not-found", "there is no such job")
        asked = self.script.jobs[job_id]
        return jobs.JobDetails(
            job_id=job_id,
            input_video=asked.input_video,
            output_video=asked.output_video,
            bitrate=asked.bitrate,
            speed=asked.speed,
            state="Waiting",
            times=jobs.JobTimes(received=1_700_000_000.25),
        )

    @staticmethod
    def _refuse(
        context: grpc.ServicerContext, status: grpc.StatusCode, reason: str, words: str
    ) -> None:
        context.set_trailing_metadata((("dacirco-reason", reason),))
        context.abort(status, words)


class ScriptedPage(DaCircoPageServicer):
    """A controller's page without a cluster."""

    def read_cluster(self, request: object, context: object) -> page_pb2.PageAnswer:
        return page_pb2.PageAnswer(json="{}")

    def compare_dials(self, request: object, context: object) -> page_pb2.PageAnswer:
        return page_pb2.PageAnswer(json="{}")

    def turn_dial(self, request: page_pb2.Dial, context: object) -> page_pb2.Dial:
        return request


@contextmanager
def controller_running(
    script: Script, address: str = "127.0.0.1:0", *, of_contract: bool = False
) -> Iterator[str]:
    """A controller that follows the script, at the address that is given out.

    Args:
        script: what it knows and does.
        address: where to listen.
        of_contract: it knows only the contract's calls.
    """
    server = grpc.server(ThreadPoolExecutor(8))
    servicer = ScriptedController(script)
    add_DaCircogRPCServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    if not of_contract:
        add_DaCircoJobsServicer_to_server(ScriptedJobs(servicer), server)  # type: ignore[no-untyped-call]
        add_DaCircoPageServicer_to_server(ScriptedPage(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        servicer.released.set()
        server.stop(None).wait()
