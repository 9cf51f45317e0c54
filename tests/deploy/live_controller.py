"""A real controller in the test's process: real gRPC, real SQLite, and a cloud that obeys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from deploy.controller.app import Controller, running_controller
from deploy.controller.settings import Patience, Settings
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import DaCircogRPCServiceStub
from deploy.managers.base import (
    FoundWorker,
    Listener,
    ManagerError,
    SpawnOrder,
    WorkerManager,
)
from env.config import ClusterConfig, load_profile
from env.event_log import Event, read_events

QUICK = Patience(call_interval_s=0.05, retry_s=0.05, longest_retry_s=0.2, storage_look_s=0.1)
PATIENCE_S = 60.0
"""How long a test waits for what must come; machines may be slow."""


class TestCloud(WorkerManager):
    """A cloud in memory that does what the test wants; it outlives controllers."""

    __test__ = False
    name = "test"

    def __init__(self) -> None:
        self.cluster: ClusterConfig = load_profile("openstack").cluster
        self.workers: dict[str, SpawnOrder] = {}
        self.nodes: dict[str, str] = {}
        self.spawns: list[SpawnOrder] = []
        self.stops: list[str] = []
        self.closed = 0
        self.tell: Listener = lambda _: None
        self.finds = 0
        self.find_fails = 0
        self.stop_fails = 0
        self.on_spawn: Callable[[SpawnOrder], Awaitable[None]] | None = None

    async def start(self, listener: Listener) -> ClusterConfig:
        self.tell = listener
        return self.cluster

    async def find(self) -> list[FoundWorker]:
        self.finds += 1
        if self.find_fails:
            self.find_fails -= 1
            raise ManagerError("the cloud is down")
        return [
            FoundWorker(key, order.name, order.flavor.name, self.nodes.get(key, order.node))
            for key, order in self.workers.items()
        ]

    async def spawn(self, order: SpawnOrder) -> None:
        self.spawns.append(order)
        if self.on_spawn is not None:
            await self.on_spawn(order)
        self.workers[order.worker_id] = order

    async def stop(self, worker_id: str) -> None:
        self.stops.append(worker_id)
        if self.stop_fails:
            self.stop_fails -= 1
            raise ManagerError("the cloud is down")
        self.workers.pop(worker_id, None)

    async def close(self) -> None:
        self.closed += 1


class TaskStream:
    """A worker's stream of tasks, read by someone who goes by the worker's public id."""

    def __init__(self, call: Any, secret: str, public: str) -> None:
        self._call, self._secret, self._public = call, secret, public

    async def read(self) -> Any:
        task = await self._call.read()
        if task is not grpc.aio.EOF:  # type: ignore[attr-defined]
            assert task.worker_id == self._secret
            task.worker_id = self._public
        return task

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (task := await self.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            yield task

    def cancel(self) -> None:
        self._call.cancel()


class Running:
    """A controller with a client's connection to it.

    Tests speak of workers by their public ids; what is sent for one shows its secret id.
    """

    def __init__(
        self, controller: Controller, channel: grpc.aio.Channel, folder: Path, cloud: TestCloud
    ) -> None:
        self.controller, self.channel, self.cloud = controller, channel, cloud
        self.stub: Any = DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
        self.folder = folder

    async def submit(self, video: str = "bbb_0.mp4", **fields: Any) -> str:
        request = pb.TCRequest(
            **{"input_video": video, "output_video": f"out-{video}"}
            | {"bitrate": 1000, "speed": "fast"}
            | fields
        )
        reply = await self.stub.submit_request(request)
        assert reply.success, reply.error_message
        return str(reply.request_id)

    async def job_state(self, job_id: str) -> int:
        reply = await self.stub.get_request_status(pb.RequestID(request_id=job_id))
        return int(reply.request_status)

    async def worker_state(self, worker_id: str) -> int:
        reply = await self.stub.get_worker_status(pb.WorkerID(worker_id=worker_id))
        return int(reply.worker_status)

    async def spawned(self, n: int = 1) -> SpawnOrder:
        """The n-th worker that was ordered."""
        await until(lambda: len(self.cloud.spawns) >= n)
        return self.cloud.spawns[n - 1]

    def secret(self, worker_id: str) -> str:
        """What a worker was given as its id; a name that is no worker's stands for itself."""
        for order in self.cloud.spawns:
            if order.worker_id == worker_id:
                return order.presented_id
        return worker_id

    async def register(self, worker_id: str) -> bool:
        desc = pb.WorkerDesc(name="w", id=self.secret(worker_id))
        return bool((await self.stub.register_worker(desc)).success)

    def tasks(self, worker_id: str) -> TaskStream:
        secret = self.secret(worker_id)
        return TaskStream(
            self.stub.get_tasks(pb.WorkerDesc(name="w", id=secret)), secret, worker_id
        )

    def upload(self, worker_id: str, content: bytes | None = None) -> Path:
        """Put the result of a worker's task into the storage, as an existing worker does."""
        conductor = self.controller.conductor
        job_id, task_id = conductor.scheduler.task_of(worker_id) or ("", "")
        job = conductor.jobs.get(job_id)
        folder = self.folder / "storage" / "output-videos"
        folder.mkdir(exist_ok=True)
        path = folder / ("nobodys" if job is None else job.output_video)
        path.write_bytes(content or f"result of {task_id}".encode() * 10)
        return path

    async def event(
        self, kind: int, worker_id: str, task_id: str = "", *, upload: bool = True, **told: Any
    ) -> pb.gRPCServiceReply:
        if kind == pb.EVENT_FILE_UPLOADED and upload:
            self.upload(worker_id)
        secret = self.secret(worker_id)
        event = pb.GrpcEvent(event_type=kind, worker_id=secret, task_id=task_id, **told)  # type: ignore[arg-type]
        reply: pb.gRPCServiceReply = await self.stub.submit_event(event)
        return reply

    async def error(
        self,
        kind: int,
        worker_id: str,
        task_id: str,
        message: str = "broken",
        fault: int = pb.FAULT_UNKNOWN,
    ) -> pb.gRPCServiceReply:
        event = pb.GrpcErrorEvent(
            error_type=kind,  # type: ignore[arg-type]
            worker_id=self.secret(worker_id),
            task_id=task_id,
            error_message=message,
            fault=fault,  # type: ignore[arg-type]
        )
        reply: pb.gRPCServiceReply = await self.stub.submit_error(event)
        return reply

    async def finish(self, worker_id: str, task_id: str) -> None:
        for kind in (
            pb.EVENT_FILE_DOWNLOADED,
            pb.EVENT_TRANSCODING_COMPLETED,
            pb.EVENT_FILE_UPLOADED,
        ):
            reply = await self.event(kind, worker_id, task_id)
            assert reply.success, reply.error_message

    def log(self) -> list[Event]:
        """The event log of this and earlier lives."""
        return [event for _, event in read_events(self.folder / "events.txt")]

    async def logged(self, code: str, **keys: str) -> Event:
        """An event that is in the log, or comes."""

        def found() -> list[Event]:
            return [
                event
                for event in self.log()
                if event["code"] == code and keys.items() <= event.items()
            ]

        await until(found)
        return found()[0]


async def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for something that must come."""
    async with asyncio.timeout(patience_s):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def controller_in(
    folder: Path, cloud: TestCloud | None = None, **changes: Any
) -> AsyncIterator[Running]:
    """A controller whose files are in a folder; run it there again for its next life."""
    manager = cloud or TestCloud()
    storage = folder / "storage"
    (storage / "input-videos").mkdir(parents=True, exist_ok=True)
    for name in ("bbb_0.mp4", "bbb_1.mp4"):
        (storage / "input-videos" / name).write_bytes(b"video")
    settings = replace(
        Settings(
            runner_type="process",
            port=0,
            http_port=0,
            store=f"sqlite:///{folder / 'store.db'}",
            storage=str(storage),
            catalog="bbb",
            profile="openstack",
            event_log_file=folder / "events.txt",
            patience=QUICK,
        ),
        **changes,
    )
    async with running_controller(settings, lambda *_: manager) as controller:
        # Where the main port speaks TLS, the client of the tests goes to the one that does not.
        target = f"127.0.0.1:{controller.ports.plaintext or controller.grpc_port}"
        async with grpc.aio.insecure_channel(target) as channel:
            yield Running(controller, channel, folder, manager)
