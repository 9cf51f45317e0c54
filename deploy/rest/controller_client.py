"""The controller as the REST front end sees it: the contract's gRPC calls, and their failures."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from typing import Any, Final

import grpc
import grpc.aio

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import DaCircogRPCServiceStub
from deploy.grpc_api.reasons import FRONT_END_KEY, REASON_KEY, STRICT
from deploy.names import output_name
from deploy.rest.models import JobDescription, JobState, WorkerDescription, WorkerState

JOB_STATES: Final[Mapping[int, JobState]] = {
    pb.REQUEST_STATUS_WAITING: "Waiting",
    pb.REQUEST_STATUS_STARTED: "Started",
    pb.REQUEST_STATUS_COMPLETED: "Completed",
    pb.REQUEST_STATUS_ERROR: "Error",
}
WORKER_STATES: Final[Mapping[int, WorkerState]] = {
    pb.WORKER_STATUS_BOOTING: "Booting",
    pb.WORKER_STATUS_DOWNLOADING_FILE: "Downloading File",
    pb.WORKER_STATUS_TRANSCODING: "Transcoding",
    pb.WORKER_STATUS_UPLOADING_FILE: "Uploading File",
    pb.WORKER_STATUS_IDLE: "Idle",
    pb.WORKER_STATUS_STOPPED: "Stopped",
}

_READS: Final = (
    "get_requests",
    "get_request",
    "get_request_status",
    "get_workers",
    "get_worker",
    "get_worker_status",
)
_NOBODYS_JOB: Final = "00000000-0000-0000-0000-000000000000"
_SERVICE: Final = "dacirco_grpc_service.DaCircogRPCService"
_OPTIONS: Final = (
    # Only reads are tried again: a job that was submitted twice would be done twice.
    (
        "grpc.service_config",
        json.dumps(
            {
                "methodConfig": [
                    {
                        "name": [{"service": _SERVICE, "method": method} for method in _READS],
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
    ("grpc.max_receive_message_length", 64 * 2**20),  # a list of over a million ids
)


_REFUSALS: Final = {
    grpc.StatusCode.NOT_FOUND: "not-found",
    grpc.StatusCode.INVALID_ARGUMENT: "invalid",
}


class ControllerError(Exception):
    """The controller did not do what was asked."""


class ControllerAwayError(ControllerError):
    """It cannot be reached, or has no capacity for the call."""


class ControllerTimeoutError(ControllerError):
    """It has not answered in time: whether it did what was asked is not known."""


class ControllerFaultError(ControllerError):
    """It answered what the contract does not know."""


class RefusedError(ControllerError):
    """It refused a job.

    Attributes:
        reason: ``not-found``, ``invalid``, ``storage`` or ``overloaded``; empty if it did not
            tell, as the existing system's controller.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message or "the controller refused the job without a reason")
        self.reason = reason


class ControllerClient:
    """A channel to a controller; make it inside the event loop that uses it.

    Args:
        target: ``HOST:PORT``.
        timeout_s: after which a call is given up.
    """

    def __init__(self, target: str, timeout_s: float) -> None:
        self._target, self._timeout_s = target, timeout_s
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._stub: Any = DaCircogRPCServiceStub(self._channel)  # type: ignore[no-untyped-call]

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
        strict = ((FRONT_END_KEY, STRICT),)
        call = self._stub.submit_request(request, timeout=self._timeout_s, metadata=strict)
        reply: pb.TCRequestReply = await self._answer(call)
        if not reply.success:
            trailer = await call.trailing_metadata()
            raise RefusedError(reply.error_message, str(trailer.get(REASON_KEY, "")))
        if not reply.request_id:
            raise ControllerFaultError("the controller accepted the job but gave it no id")
        return reply.request_id

    async def job_ids(self) -> list[str]:
        """All jobs, in the controller's order."""
        reply: pb.RequestIDList = await self._read("get_requests", pb.Empty())
        return list(reply.request_ids)

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
        reply: pb.TCRequestStatus | None = await self._read(
            "get_request_status", pb.RequestID(request_id=job_id)
        )
        if reply is None or reply.request_status == pb.REQUEST_STATUS_NOT_FOUND:
            return None
        if reply.request_status not in JOB_STATES:
            raise ControllerFaultError(f"the controller gave the state {reply.request_status}")
        return JOB_STATES[reply.request_status]

    async def worker_ids(self) -> list[str]:
        """All workers, those that have stopped too, in the controller's order."""
        reply: pb.WorkerIDList = await self._read("get_workers", pb.Empty())
        return list(reply.worker_ids)

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
        if reply is None or reply.worker_status == pb.WORKER_STATUS_NOT_FOUND:
            return None
        if reply.worker_status not in WORKER_STATES:
            raise ControllerFaultError(f"the controller gave the state {reply.worker_status}")
        return WORKER_STATES[reply.worker_status]

    async def _read(self, method: str, request: object) -> Any:
        """The reply, or None where the controller says by its status that there is no such id."""
        try:
            return await self._answer(getattr(self._stub, method)(request, timeout=self._timeout_s))
        except RefusedError as error:
            if isinstance(request, pb.Empty):
                raise ControllerFaultError(f"the controller refused {method}: {error}") from None
            return None

    async def _answer(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            code, detail = error.code(), error.details() or ""
            if code in _REFUSALS:
                raise RefusedError(detail, _REFUSALS[code]) from None
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                raise ControllerAwayError(
                    f"the controller at {self._target} cannot be reached: try again"
                ) from error
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise ControllerTimeoutError(
                    f"the controller at {self._target} has not answered within "
                    f"{self._timeout_s:g} s"
                ) from error
            raise ControllerFaultError(
                f"the controller at {self._target} failed with {code.name}"
            ) from error
