"""The contract's gRPC service: checks what comes in, and translates.

Never trust a client or a worker: whatever they send, they get an answer of the contract, and
nothing changes unless the scheduler allows it.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Awaitable, Callable, MutableSequence
from typing import Any, Final, TypeVar

import grpc
import grpc.aio

from deploy.controller.admission import RejectedError
from deploy.controller.identities import alias_of
from deploy.controller.job_servicer import JobServicer
from deploy.controller.results import Told
from deploy.controller.service import Service
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import dacirco_pb2_grpc as rpc
from deploy.grpc_api import jobs_pb2_grpc as jobs_rpc
from deploy.grpc_api.dialect import DEFAULT_DIALECT, DIALECTS, Dialect
from deploy.grpc_api.door import Door
from deploy.grpc_api.reasons import FRONT_END_KEY, REASON_KEY, STRICT
from deploy.store.records import JobState, Page, WorkerStatus
from deploy.store.store import UnknownIdError
from deploy.tasks import Fault, Progress, TaskError
from env.errors import IllegalEventError

UNKNOWN: Final = "the worker is unknown"
MOST_ID: Final = 64
MOST_RECEIVED: Final = 64 * 1024
MOST_SENT: Final = 64 * 1024 * 1024
MOST_IDS_A_PAGE: Final = 10_000
_OVERHEAD: Final = 2
"""Bytes of an id in a message beside its characters."""
MOST_CALLS: Final = 5000
"""At once; each worker keeps one open."""
MOST_CONNECTIONS: Final = 6000
SPARE_DESCRIPTORS: Final = 256

_LOGGER = logging.getLogger(__name__)

_JOB_STATES: Final = {
    JobState.WAITING: pb.REQUEST_STATUS_WAITING,
    JobState.STARTED: pb.REQUEST_STATUS_STARTED,
    JobState.COMPLETED: pb.REQUEST_STATUS_COMPLETED,
    JobState.ERROR: pb.REQUEST_STATUS_ERROR,
    JobState.CANCELLED: pb.REQUEST_STATUS_ERROR,  # the contract has no word for it
}
_PROGRESS: Final = {
    pb.EVENT_FILE_DOWNLOADED: Progress.DOWNLOADED,
    pb.EVENT_TRANSCODING_COMPLETED: Progress.TRANSCODED,
    pb.EVENT_FILE_UPLOADED: Progress.UPLOADED,
}
_ERRORS: Final = {
    pb.ERROR_TRANSCODING_FAILED: TaskError.TRANSCODING_FAILED,
    pb.ERROR_STORAGE_ERROR: TaskError.STORAGE_ERROR,
}

_FAULTS: Final = {
    pb.FAULT_JOB: Fault.JOB,
    pb.FAULT_WORKER: Fault.WORKER,
    pb.FAULT_STORAGE: Fault.STORAGE,
    pb.FAULT_NONE: Fault.NONE,
}

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]


class Servicer(rpc.DaCircogRPCServiceServicer):
    """Answers the contract's calls."""

    def __init__(self, service: Service, dialect: Dialect = DIALECTS[DEFAULT_DIALECT]) -> None:
        self._service, self._dialect = service, dialect
        self._whole_lists = asyncio.Semaphore(1)

    # -- the REST front end -----------------------------------------------------------

    async def submit_request(self, request: pb.TCRequest, context: Context) -> pb.TCRequestReply:
        """See the contract; the reason of a refusal goes into the trailing metadata too.

        Only a front end that asks for it is refused what cannot be done: see `STRICT`.
        """
        service = self._service
        try:
            job_id = await service.submit(
                request.input_video,
                request.output_video,
                request.bitrate,
                request.speed,
                strict=_is_strict(context),
            )
        except RejectedError as error:
            service.rejected(error.reason)
            context.set_trailing_metadata(((REASON_KEY, error.reason),))
            return pb.TCRequestReply(success=False, error_message=str(error))
        except Exception:
            _LOGGER.exception("submit_request failed")
            service.rejected("storage")
            context.set_trailing_metadata(((REASON_KEY, "storage"),))
            return pb.TCRequestReply(success=False, error_message="the controller failed")
        return pb.TCRequestReply(success=True, request_id=job_id)

    async def get_requests(self, request: pb.Empty, context: Context) -> pb.RequestIDList:
        """Ids of all jobs in the order of arrival, or of the part that is asked for."""
        reply = pb.RequestIDList()
        await self._list(request, reply, reply.request_ids, self._service.job_page, context)
        return reply

    async def get_request(self, request: pb.RequestID, context: Context) -> pb.TCRequest:
        """A job as it was asked for; empty if it is unknown."""
        if not _is_id(request.request_id):
            return pb.TCRequest()
        job = await _read(lambda: self._service.job(request.request_id), context)
        if job is None:
            return pb.TCRequest()
        return pb.TCRequest(
            input_video=job.input_video,
            output_video=job.output_video,
            bitrate=job.bitrate,
            speed=job.speed,
        )

    async def get_request_status(
        self, request: pb.RequestID, context: Context
    ) -> pb.TCRequestStatus:
        """How far a job has come."""
        state = None
        if _is_id(request.request_id):
            state = await _read(lambda: self._service.job_state(request.request_id), context)
        if state is None:
            return pb.TCRequestStatus(request_status=pb.REQUEST_STATUS_NOT_FOUND)
        reply = pb.TCRequestStatus(request_status=_JOB_STATES[state])
        if state in (JobState.ERROR, JobState.CANCELLED):
            job = await _read(lambda: self._service.job(request.request_id), context)
            reply.error_message = "" if job is None else job.error_message or ""
        return reply

    async def get_workers(self, request: pb.Empty, context: Context) -> pb.WorkerIDList:
        """Ids of all workers in the order of their spawns, stopped ones too; or a part of them."""
        reply = pb.WorkerIDList()
        await self._list(request, reply, reply.worker_ids, self._service.worker_page, context)
        return reply

    async def get_worker(self, request: pb.WorkerID, context: Context) -> pb.WorkerFullDesc:
        """A worker; empty if it is unknown."""
        if not _is_id(request.worker_id):
            return pb.WorkerFullDesc()
        worker = await _read(lambda: self._service.worker(request.worker_id), context)
        if worker is None:
            return pb.WorkerFullDesc()
        return pb.WorkerFullDesc(
            name=worker.name,
            id=worker.worker_id,
            cpus=str(worker.cpus),
            memory=self._service.memory_text(worker),
            node=worker.node,
        )

    async def get_worker_status(self, request: pb.WorkerID, context: Context) -> pb.WorkerGrpcState:
        """What a worker does."""
        state = None
        if _is_id(request.worker_id):
            state = await _read(lambda: self._service.worker_state(request.worker_id), context)
        if state is WorkerStatus.DRAINING:
            state = WorkerStatus.STOPPED
        dialect = self._dialect
        number = dialect.not_found if state is None else dialect.number_of(state)
        return pb.WorkerGrpcState(worker_status=number)  # type: ignore[arg-type]  # of any dialect

    async def _list(
        self,
        asked: pb.Empty,
        reply: pb.RequestIDList | pb.WorkerIDList,
        ids: MutableSequence[str],
        page_of: Callable[[int, str, int], Awaitable[Page]],
        context: Context,
    ) -> None:
        """Fill a reply with ids: with a page, or page by page with all of them."""
        if asked.limit > 0:
            page = await _page(page_of, min(asked.limit, MOST_IDS_A_PAGE), asked, context)
            ids.extend(page.ids)
            reply.is_page, reply.has_more = True, page.has_more
            return
        async with self._whole_lists:  # such a reply may take 100 MiB: one at a time
            after, size = pb.Empty(after=asked.after, offset=asked.offset), 0
            while True:
                page = await _page(page_of, MOST_IDS_A_PAGE, after, context)
                size += sum(len(each) + _OVERHEAD for each in page.ids)
                if size > MOST_SENT:
                    await context.abort(
                        grpc.StatusCode.RESOURCE_EXHAUSTED,
                        f"more than {len(ids)} ids do not go into one message: ask for pages, "
                        "with limit and after",
                    )
                ids.extend(page.ids)
                if not page.has_more:
                    return
                after = pb.Empty(after=page.ids[-1])

    # -- workers ----------------------------------------------------------------------
    # A worker presents its secret id; from here on it goes by its public one.

    async def register_worker(
        self, request: pb.WorkerDesc, context: Context
    ) -> pb.gRPCServiceReply:
        """A worker has booted."""
        worker_id = self._service.public_id(request.id)
        if worker_id is None:
            return self._stranger("register_worker", request.id, "")
        return await _reply(self._service.register(worker_id), context)

    async def get_tasks(self, request: pb.WorkerDesc, context: Context) -> None:
        """The tasks of a worker, until it is stopped or opens another stream."""
        worker_id = self._service.public_id(request.id)
        if worker_id is None:
            why = self._stranger("get_tasks", request.id, "").error_message
            await context.abort(grpc.StatusCode.NOT_FOUND, why)
            return
        try:
            stream = self._service.open_stream(
                worker_id,
                takes_cancels=request.takes_cancels,
                doing=request.task_id if _is_id(request.task_id) else "",
            )
        except IllegalEventError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, error.state)
        try:
            async for task in stream:
                self._service.task_sent(task)
                # The worker knows itself by its secret id only.
                to_worker = pb.TCTask()
                to_worker.CopyFrom(task)
                to_worker.worker_id = request.id
                await context.write(to_worker)
        finally:
            self._service.left_stream(worker_id, stream)

    async def submit_event(self, request: pb.GrpcEvent, context: Context) -> pb.gRPCServiceReply:
        """A worker tells how far its task has come, or that it is alive."""
        worker_id, task_id = self._service.public_id(request.worker_id), request.task_id
        if worker_id is None:
            return self._stranger("submit_event", request.worker_id, task_id)
        if request.event_type == pb.EVENT_KEEPALIVE:
            try:
                self._service.keepalive(
                    worker_id,
                    request.progress_task_id,
                    request.done_percent if request.HasField("done_percent") else None,
                    request.encoding_speed if request.HasField("encoding_speed") else None,
                )
            except IllegalEventError as error:
                return _failure(error.state)
            return pb.gRPCServiceReply(success=True)
        progress = _PROGRESS.get(request.event_type)
        if progress is None:
            return self._refused("submit_event", worker_id, task_id, "there is no such event type")
        if not _is_id(task_id):
            return self._refused("submit_event", worker_id, task_id, "the task's id is not one")
        told = Told(max(0, request.output_size), request.output_sha256)
        return await _reply(self._service.progress(worker_id, task_id, progress, told), context)

    async def submit_error(
        self, request: pb.GrpcErrorEvent, context: Context
    ) -> pb.gRPCServiceReply:
        """A worker gives its task up."""
        worker_id, task_id = self._service.public_id(request.worker_id), request.task_id
        if worker_id is None:
            return self._stranger("submit_error", request.worker_id, task_id)
        error = _ERRORS.get(request.error_type)
        if not _is_id(task_id):
            return self._refused("submit_error", worker_id, task_id, "the task's id is not one")
        if error is None:
            return self._refused("submit_error", worker_id, task_id, "there is no such error type")
        fault = _FAULTS.get(request.fault, Fault.UNKNOWN)
        failure = self._service.failure(worker_id, task_id, error, request.error_message, fault)
        return await _reply(failure, context)

    def _refused(self, event: str, worker_id: str, task_id: str, why: str) -> pb.gRPCServiceReply:
        self._service.refuse(event, worker_id, task_id, why)
        return _failure(why)

    def _stranger(self, event: str, presented: str, task_id: str) -> pb.gRPCServiceReply:
        """Nobody's secret id: a worker that is gone, a stranger, or one who knows a public id."""
        self._service.refuse_stranger(event, alias_of(presented), task_id, UNKNOWN)
        return _failure(UNKNOWN)


def _is_strict(context: Context) -> bool:
    return (FRONT_END_KEY, STRICT) in tuple(context.invocation_metadata() or ())


def _is_id(text: str) -> bool:
    return 0 < len(text) <= MOST_ID and text.isprintable()


def _failure(why: str) -> pb.gRPCServiceReply:
    return pb.gRPCServiceReply(success=False, error_message=why)


async def _reply(event: Awaitable[None], context: Context) -> pb.gRPCServiceReply:
    """Whether the event was taken; a failure of ours is no refusal: the worker tells it again."""
    try:
        await event
    except IllegalEventError as error:
        return _failure(error.state)
    except Exception:
        _LOGGER.exception("a worker's event failed")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the controller failed, try again")
    return pb.gRPCServiceReply(success=True)


async def _read(read: Callable[[], Awaitable[T]], context: Context) -> T:
    """What the store says; a client may try again later if it cannot be read."""
    try:
        return await read()
    except Exception:
        _LOGGER.exception("the store cannot be read")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the store cannot be read, try again")


async def _page(
    page_of: Callable[[int, str, int], Awaitable[Page]],
    limit: int,
    asked: pb.Empty,
    context: Context,
) -> Page:
    try:
        return await page_of(limit, asked.after, max(0, asked.offset))
    except UnknownIdError as error:
        await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
    except Exception:
        _LOGGER.exception("the store cannot be read")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the store cannot be read, try again")


def make_server(door: Door) -> grpc.aio.Server:
    """A gRPC server with our limits; without ports, answering nothing yet."""
    return grpc.aio.server(
        interceptors=(door,),
        options=(
            ("grpc.max_receive_message_length", MOST_RECEIVED),
            ("grpc.max_send_message_length", MOST_SENT),
            ("grpc.so_reuseport", 0),  # two controllers on one port would share the workers
            # Peers that connect and say nothing go soon; dead ones are found out, and their
            # streams end.
            ("grpc.server_handshake_timeout_ms", 10_000),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Connections of which nothing comes are let go; a client makes a new one by itself.
            ("grpc.server_handshake_timeout_ms", 10_000),
            ("grpc.max_connection_idle_ms", 600_000),
            ("grpc.max_allowed_incoming_connections", most_connections()),
        ),
        maximum_concurrent_rpcs=MOST_CALLS,
    )


def most_connections() -> int:
    """How many connections the process can hold with descriptors to spare for files."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, allowed - SPARE_DESCRIPTORS))


def add_service(
    server: grpc.aio.Server, service: Service, dialect: Dialect = DIALECTS[DEFAULT_DIALECT]
) -> None:
    """Let a server that has not started answer for the service."""
    rpc.add_DaCircogRPCServiceServicer_to_server(Servicer(service, dialect), server)  # type: ignore[no-untyped-call]
    jobs_rpc.add_DaCircoJobsServicer_to_server(JobServicer(service.desk), server)  # type: ignore[no-untyped-call]
