"""A gRPC server that hands out given tasks and writes down what workers tell it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import dacirco_pb2_grpc as rpc


class RecordingController(rpc.DaCircogRPCServiceServicer):
    """Serves on a free port of the loopback interface, as an asynchronous context manager."""

    def __init__(self) -> None:
        self.registered: list[str] = []
        self.events: list[tuple[str, str, str]] = []
        self.errors: list[tuple[str, str, str]] = []
        self.keepalives = 0
        self.tasks: dict[str, asyncio.Queue[pb.TCTask]] = {}
        self.port = 0
        self._changed = asyncio.Condition()
        self._server = grpc.aio.server()

    async def __aenter__(self) -> RecordingController:
        rpc.add_DaCircogRPCServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    def queue(self, worker_id: str) -> asyncio.Queue[pb.TCTask]:
        return self.tasks.setdefault(worker_id, asyncio.Queue())

    async def until(self, condition: Any, timeout_s: float = 60.0) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def register_worker(self, request: pb.WorkerDesc, context: object) -> pb.gRPCServiceReply:
        self.registered.append(request.id)
        return await self._noted()

    async def get_tasks(self, request: pb.WorkerDesc, context: object) -> AsyncIterator[pb.TCTask]:
        while True:
            yield await self.queue(request.id).get()

    async def submit_event(self, request: pb.GrpcEvent, context: object) -> pb.gRPCServiceReply:
        if request.event_type == pb.EVENT_KEEPALIVE:
            self.keepalives += 1
        else:
            name = pb.GrpcEventTypeEnum.Name(request.event_type)
            self.events.append((name, request.worker_id, request.task_id))
        return await self._noted()

    async def submit_error(
        self, request: pb.GrpcErrorEvent, context: object
    ) -> pb.gRPCServiceReply:
        self.errors.append((request.error_message, request.worker_id, request.task_id))
        return await self._noted()

    async def _noted(self) -> pb.gRPCServiceReply:
        async with self._changed:
            self._changed.notify_all()
        return pb.gRPCServiceReply(success=True)
