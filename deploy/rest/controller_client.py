"""The controller as the REST front end sees it: the contract's gRPC calls, and their failures."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc
import grpc.aio
from pydantic import SecretStr

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import DaCircogRPCServiceStub
from deploy.grpc_api.dialect import DEFAULT_DIALECT, DIALECTS, Dialect
from deploy.grpc_api.reasons import FRONT_END_KEY, REASON_KEY, STRICT
from deploy.grpc_api.tls import ClientTls, open_channel
from deploy.grpc_api.tokens import as_metadata
from deploy.names import output_name
from deploy.page.calls import PageCalls
from deploy.rest.job_calls import JobCalls
from deploy.rest.models import JobDescription, JobState, WorkerDescription, WorkerState

JOB_STATES: Final[Mapping[int, JobState]] = {
    pb.REQUEST_STATUS_WAITING: "Waiting",
    pb.REQUEST_STATUS_STARTED: "Started",
    pb.REQUEST_STATUS_COMPLETED: "Completed",
    pb.REQUEST_STATUS_ERROR: "Error",
}

_READS: Final = (
    "get_requests",
    "get_request",
    "get_request_status",
    "get_workers",
    "get_worker",
    "get_worker_status",
)
_PAGE_READS: Final = ("read_cluster", "compare_dials")
_JOB_READS: Final = ("describe_job", "find_jobs", "find_result")
PAGE: Final = 10_000
"""Ids that are read at once when a whole list is asked for."""
_NOBODYS_JOB: Final = "00000000-0000-0000-0000-000000000000"
_SERVICE: Final = "dacirco_grpc_service.DaCircogRPCService"
_JOB_SERVICE: Final = "dacirco_jobs.DaCircoJobs"
_PAGE_SERVICE: Final = "dacirco_page.DaCircoPage"
_OPTIONS: Final = (
    # Only reads are tried again: a job that was submitted twice would be done twice.
    (
        "grpc.service_config",
        json.dumps(
            {
                "methodConfig": [
                    {
                        "name": [
                            {"service": service, "method": method}
                            for service, methods in (
                                (_SERVICE, _READS),
                                (_JOB_SERVICE, _JOB_READS),
                                (_PAGE_SERVICE, _PAGE_READS),
                            )
                            for method in methods
                        ],
                        "retryPolicy": {
                            "maxAttempts": 4,
                            "initialBackoff": "0.1s",
                            "maxBackoff": "1s",
                            "backoffMultiplier": 2,
                            "retryableStatusCodes": ["UNAVAILABLE"],
                        },
                    }
                ]
            }
        ),
    ),
    # A controller that comes back is found within two seconds (by default gRPC waits up to 120).
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # The existing system's controller gives a list of over a million ids in one message.
    ("grpc.max_receive_message_length", 64 * 2**20),
)


_REFUSALS: Final = {
    grpc.StatusCode.NOT_FOUND: "not-found",
    grpc.StatusCode.INVALID_ARGUMENT: "invalid",
    grpc.StatusCode.FAILED_PRECONDITION: "conflict",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list of ids, and whether there is more of the list after it."""

    ids: list[str]
    has_more: bool


class ControllerError(Exception):
    """The controller did not do what was asked."""


class ControllerAwayError(ControllerError):
    """It cannot be reached, or has no capacity for the call."""


class ControllerTimeoutError(ControllerError):
    """It has not answered in time: whether it did what was asked is not known."""


class ControllerFaultError(ControllerError):
    """It answered what the contract does not know."""


class UnknownCallError(ControllerError):
    """It does not know the call: it is one of the existing system, or an older one of ours."""


class UnknownIdError(ControllerError):
    """A list cannot go on after an id that is not in it."""


class RefusedError(ControllerError):
    """It refused what was asked for.

    Attributes:
        reason: ``not-found``, ``invalid``, ``storage``, ``overloaded`` or ``conflict``; empty if
            it did not tell, as the existing system's controller.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message or "the controller refused the job without a reason")
        self.reason = reason


class ControllerClient:
    """A channel to a controller; make it inside the event loop that uses it.

    Args:
        target: ``HOST:PORT``.
        timeout_s: after which a call is given up.
        dialect: how the controller numbers the states of workers.
        token: shown with each call; a controller on this machine needs none.
        tls: how to check the controller; none: it speaks no TLS.

    Attributes:
        jobs: the calls beyond the contract.
        page: the live page's calls.
    """

    def __init__(
        self,
        target: str,
        timeout_s: float,
        dialect: Dialect = DIALECTS[DEFAULT_DIALECT],
        *,
        token: SecretStr | None = None,
        tls: ClientTls | None = None,
    ) -> None:
        self._target, self._timeout_s, self._dialect = target, timeout_s, dialect
        self._metadata = () if token is None else (as_metadata(token),)
        self._channel = open_channel(target, tls, options=_OPTIONS)
        self._stub: Any = DaCircogRPCServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self.page = PageCalls(self._channel, self._ask)
        self.jobs = JobCalls(self._channel, self._ask, self._failure_beyond, self._metadata)

    async def close(self) -> None:
        """Close the channel; calls that are under way are cancelled."""
        await self._channel.close(None)

    async def ping(self) -> None:
        """See whether it answers, by asking for a job that nobody has.

        Raises:
            ControllerError: it does not.
        """
        await self.job_state(_NOBODYS_JOB)

    async def submit(self, video: str, bitrate: int, speed: str) -> str:
        """Hand over a job and return its id.

        Raises:
            RefusedError: the controller does not take it.
            ControllerError: it is not known whether it took it.
        """
        request = pb.TCRequest(
            input_video=video, output_video=output_name(video), bitrate=bitrate, speed=speed
        )
        call = self._stub.submit_request(
            request,
            timeout=self._timeout_s,
            metadata=(*self._metadata, (FRONT_END_KEY, STRICT)),
        )
        reply: pb.TCRequestReply = await self._answer(call)
        if not reply.success:
            trailer = await call.trailing_metadata()
            raise RefusedError(reply.error_message, str(trailer.get(REASON_KEY, "")))
        if not reply.request_id:
            raise ControllerFaultError("the controller accepted the job but gave it no id")
        return reply.request_id

    async def job_page(self, limit: int | None, after: str = "", offset: int = 0) -> Page:
        """A part of the jobs, in the controller's order.

        Args:
            limit: most ids; None: as many as the controller gives at once.
            after: the id before the first one; empty: from the start.
            offset: how many ids to pass over.

        Raises:
            UnknownIdError: there is no job `after`.
            ControllerError: the controller does not answer.
        """
        return await self._page("get_requests", "request_ids", limit, after, offset)

    async def job(self, job_id: str) -> JobDescription | None:
        """What a job was asked to do; None if there is no such job."""
        reply: pb.TCRequest | None = await self._read(
            "get_request", pb.RequestID(request_id=job_id)
        )
        if reply is None or not reply.input_video:
            return None
        return JobDescription(id_video=reply.input_video, bitrate=reply.bitrate, speed=reply.speed)

    async def job_state(self, job_id: str) -> JobState | None:
        """The state of a job; None if there is no such job."""
        status = await self.job_status(job_id)
        return None if status is None else status[0]

    async def job_status(self, job_id: str) -> tuple[JobState, str | None] | None:
        """The state of a job, and why it failed; None if there is no such job."""
        reply: pb.TCRequestStatus | None = await self._read(
            "get_request_status", pb.RequestID(request_id=job_id)
        )
        if reply is None or reply.request_status == pb.REQUEST_STATUS_NOT_FOUND:
            return None
        if reply.request_status not in JOB_STATES:
            raise ControllerFaultError(f"the controller gave the state {reply.request_status}")
        return JOB_STATES[reply.request_status], reply.error_message or None

    async def worker_page(self, limit: int | None, after: str = "", offset: int = 0) -> Page:
        """A part of the workers, those that have stopped too; see `job_page`."""
        return await self._page("get_workers", "worker_ids", limit, after, offset)

    async def worker(self, worker_id: str) -> WorkerDescription | None:
        """A worker; None if there is no such worker."""
        reply: pb.WorkerFullDesc | None = await self._read(
            "get_worker", pb.WorkerID(worker_id=worker_id)
        )
        if reply is None or not reply.id:
            return None
        return WorkerDescription(
            name=reply.name, id=reply.id, cpus=reply.cpus, memory=reply.memory, node=reply.node
        )

    async def worker_state(self, worker_id: str) -> WorkerState | None:
        """The state of a worker; None if there is no such worker."""
        reply: pb.WorkerGrpcState | None = await self._read(
            "get_worker_status", pb.WorkerID(worker_id=worker_id)
        )
        if reply is None or reply.worker_status == self._dialect.not_found:
            return None
        state = self._dialect.state_of.get(reply.worker_status)
        if state is None:
            raise ControllerFaultError(
                f"the controller gave the state {reply.worker_status} for a worker, which is none "
                "of this dialect: are --dialect here and there the same?"
            )
        return cast(WorkerState, state)

    async def _page(
        self, method: str, field: str, limit: int | None, after: str, offset: int
    ) -> Page:
        asked = pb.Empty(limit=limit or PAGE, after=after, offset=offset)
        ask = getattr(self._stub, method)
        call = ask(asked, timeout=self._timeout_s, metadata=self._metadata)
        try:
            reply = await self._answer(call)
        except RefusedError as error:
            if after and error.reason == "not-found":
                raise UnknownIdError(str(error)) from None
            raise ControllerFaultError(f"the controller refused {method}: {error}") from None
        ids = list(getattr(reply, field))
        if reply.is_page:
            return Page(ids, reply.has_more)
        # The existing system's controller knows no pages: it has given all there is.
        if after:
            if after not in ids:
                raise UnknownIdError(f"there is no {after!r} after which the list could go on")
            ids = ids[ids.index(after) + 1 :]
        ids = ids[offset:]
        return Page(ids if limit is None else ids[:limit], limit is not None and len(ids) > limit)

    async def _read(self, method: str, request: object) -> Any:
        """The reply, or None where the controller says by its status that there is no such id."""
        try:
            ask = getattr(self._stub, method)
            return await self._answer(
                ask(request, timeout=self._timeout_s, metadata=self._metadata)
            )
        except RefusedError:
            return None

    async def _ask(self, method: Any, request: object) -> Any:
        """Make a call beyond the contract."""
        try:
            return await method(request, timeout=self._timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._failure_beyond(error) from error

    def _failure_beyond(self, error: grpc.aio.AioRpcError) -> ControllerError:
        """What a failure of a call beyond the contract means."""
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return UnknownCallError(
                f"the controller at {self._target} cannot do this: it is of the existing "
                "system, or older than this front end"
            )
        metadata = cast("Any", error.trailing_metadata() or ())
        reason = next((value for key, value in metadata if key == REASON_KEY), None)
        if reason is not None:
            return RefusedError(error.details() or "", str(reason))
        return self._failure(error)

    async def _answer(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from error

    def _failure(self, error: grpc.aio.AioRpcError) -> ControllerError:
        code, detail, target = error.code(), error.details() or "", self._target
        if code in _REFUSALS:
            return RefusedError(detail, _REFUSALS[code])
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
            return ControllerAwayError(f"the controller at {target} cannot be reached: try again")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ControllerTimeoutError(
                f"the controller at {target} has not answered within {self._timeout_s:g} s"
            )
        if code is grpc.StatusCode.UNAUTHENTICATED:
            return ControllerFaultError(
                f"the controller at {target} does not know this front end: {detail}"
            )
        return ControllerFaultError(f"the controller at {target} failed with {code.name}")
