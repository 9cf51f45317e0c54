"""Workers that a test's cloud starts: they speak the contract over real gRPC, well or badly."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc.aio

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.managers.base import SpawnOrder
from deploy.names import result_key
from tests.deploy.live_controller import Running, TestCloud

Behaviour = Callable[["Player", pb.TCTask], Awaitable[None]]
"""What a worker does with a task."""


class Player:
    """One worker.

    Attributes:
        number: the how-many-th it is that was started, from 0.
        tasks: how many it has been given.
    """

    def __init__(self, company: Company, order: SpawnOrder, number: int) -> None:
        self.company, self.worker_id, self.number = company, order.worker_id, number
        self.tasks = 0

    @property
    def running(self) -> Running:
        assert self.company.running is not None
        return self.company.running

    async def live(self) -> None:
        """Register and do tasks until the controller ends the stream."""
        try:
            await self.running.register(self.worker_id)
            async for task in self.running.tasks(self.worker_id):
                self.tasks += 1
                self.company.given[task.request_id] += 1
                await self.company.behave(self, task)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError):
            pass  # the controller has ended

    async def tell(self, task: pb.TCTask, kind: int, **told: object) -> pb.gRPCServiceReply:
        return await self.running.event(kind, self.worker_id, task.task_id, upload=False, **told)

    async def do(self, task: pb.TCTask) -> None:
        """As our workers do: the result under the job's own key, with its size and checksum."""
        await self.tell(task, pb.EVENT_FILE_DOWNLOADED)
        await self.tell(task, pb.EVENT_TRANSCODING_COMPLETED)
        content = f"{task.input_video} at {task.bitrate}".encode() * 10
        for key in (
            result_key(task.request_id, task.output_video),
            f"output-videos/{task.output_video}",
        ):
            put(self.running.folder / "storage" / key, content)
        sha256 = hashlib.sha256(content).hexdigest()
        reply = await self.tell(
            task, pb.EVENT_FILE_UPLOADED, output_size=len(content), output_sha256=sha256
        )
        assert reply.success, reply.error_message

    async def fail(
        self, task: pb.TCTask, message: str, fault: int, kind: int = pb.ERROR_STORAGE_ERROR
    ) -> None:
        await self.running.error(kind, self.worker_id, task.task_id, message, fault)


class Company:
    """All workers of a cloud.

    Args:
        behave: what each does with a task.

    Attributes:
        cloud: starts them.
        players: in the order of their starts.
        given: how often each job has been given to a worker.
    """

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.cloud = TestCloud()
        self.cloud.on_spawn = self._spawned
        self.running: Running | None = None
        self.players: list[Player] = []
        self.given: Counter[str] = Counter()
        self._lives: set[asyncio.Task[None]] = set()

    async def _spawned(self, order: SpawnOrder) -> None:
        player = Player(self, order, len(self.players))
        self.players.append(player)
        life = asyncio.create_task(player.live())
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def end(self) -> None:
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)


def put(path: Path, content: bytes) -> None:
    """An object appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    partial.write_bytes(content)
    partial.replace(path)
