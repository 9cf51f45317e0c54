"""Virtual workers: they speak the gRPC interface as real ones do, but only their time passes.

For trying a scheduler live: boots, transfers, transcodes, contention on a node and faults follow
the profile's laws (`env.timing`, `env.contention`), on a clock that may run faster than the wall's.
They live in the controller's process, so none outlives it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import exp
from typing import Any, Final

import grpc
import numpy as np

from deploy.clock import Clock
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import dacirco_pb2_grpc as rpc
from deploy.grpc_api.tls import open_channel
from deploy.managers.base import (
    FoundWorker,
    Listener,
    ManagerEvent,
    SpawnError,
    SpawnFailed,
    SpawnOrder,
    WorkerGone,
    WorkerManager,
)
from deploy.managers.environment import WorkerLink
from deploy.managers.real_time import RealTime
from deploy.managers.virtual_node import VirtualNode
from env.catalog import Catalog
from env.config import ClusterConfig, Profile
from env.jobs import SPEEDS, Request
from env.timing import TimingModel

_HOUR_S: Final = 3600.0


@dataclass(slots=True, eq=False)
class _Worker:
    """A virtual worker: its order, its flavor's index in the profile, its node and what it does."""

    order: SpawnOrder
    flavor: int
    node: VirtualNode
    life: asyncio.Task[None] | None = None


class _SpawnFaultError(Exception):
    """The faults of the profile have hit a boot."""


class SimulatedManager(WorkerManager):
    """Imitates a data centre by the laws of a profile.

    Args:
        link: how workers reach the controller.
        profile: nodes, flavors, timing and rates of faults.
        catalog: the movies that workers can "transcode".
        clock: the controller's clock.
        seed: of all scatter and faults.
    """

    name = "simulated"

    def __init__(
        self,
        link: WorkerLink,
        profile: Profile,
        catalog: Catalog,
        clock: Clock,
        *,
        seed: int = 0,
    ) -> None:
        self._link = link
        self._profile = profile
        self._catalog = catalog
        self._clock = clock
        self._timing = TimingModel(profile)
        self._rng = np.random.default_rng(seed)
        self._flavors = [flavor.name for flavor in profile.cluster.flavors]
        self._workers: dict[str, _Worker] = {}
        self._nodes: dict[str, VirtualNode] = {}
        self._listener: Listener | None = None
        self._next_creation_s = 0.0

    async def start(self, listener: Listener) -> ClusterConfig:
        self._listener = listener
        self._world = RealTime(self._clock)
        nodes = self._profile.cluster.nodes
        self._nodes = {
            node.name: VirtualNode(self._world, self._profile, index)
            for index, node in enumerate(nodes)
        }
        address = f"{self._link.grpc_server}:{self._link.tls_port or self._link.grpc_port}"
        self._channel = open_channel(address, self._link.tls())
        self._stub = rpc.DaCircogRPCServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._running = asyncio.create_task(self._world.run(), name="simulated-world")
        return self._profile.cluster

    async def find(self) -> list[FoundWorker]:
        return [
            FoundWorker(worker_id, worker.order.name, worker.order.flavor.name, worker.node.name)
            for worker_id, worker in self._workers.items()
        ]

    async def spawn(self, order: SpawnOrder) -> None:
        if order.worker_id in self._workers:
            raise SpawnError(f"worker {order.worker_id} is there already")
        if order.flavor.name not in self._flavors:
            raise SpawnError(f"profile {self._profile.name!r} has no flavor {order.flavor.name!r}")
        node = self._nodes.get(order.node or "", next(iter(self._nodes.values())))
        worker = _Worker(order, self._flavors.index(order.flavor.name), node)
        self._workers[order.worker_id] = worker
        worker.life = asyncio.create_task(self._live(worker), name=f"simulated-{order.worker_id}")

    async def stop(self, worker_id: str) -> None:
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        await _end(worker)
        law = self._profile.timing.stop
        await self._world.sleep(law.median_s * self._scatter(law.sigma))
        self._workers.pop(worker_id, None)

    async def close(self) -> None:
        self._listener = None
        for worker in list(self._workers.values()):
            await _end(worker)
        self._workers.clear()
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._channel.close(None)

    def _scatter(self, sigma: float) -> float:
        return exp(sigma * self._rng.standard_normal())

    async def _live(self, worker: _Worker) -> None:
        """All that a worker does; ends early by a fault or without a controller."""
        worker_id = worker.order.worker_id
        rate = self._profile.faults.worker_loss_per_hour
        life_s = self._rng.exponential(_HOUR_S / rate) if rate else None
        event: ManagerEvent
        try:
            async with asyncio.timeout(life_s and life_s / self._clock.speed_up):
                await self._boot(worker)
                await self._serve(worker)
            event = WorkerGone(worker_id, "the controller has ended its stream of tasks")
        except _SpawnFaultError:
            event = SpawnFailed(worker_id, "a spawn failed, as the profile's faults have it")
        except TimeoutError:
            event = WorkerGone(worker_id, "a worker was lost, as the profile's faults have it")
        except grpc.aio.AioRpcError as error:
            event = WorkerGone(worker_id, f"it cannot talk to the controller: {error.details()}")
        if self._workers.pop(worker_id, None) is not None and self._listener is not None:
            self._listener(event)

    async def _boot(self, worker: _Worker) -> None:
        law, node = self._profile.timing.boot, worker.node
        copy = 0.0
        if not node.image_cached:
            copy = law.first_on_node_s
            if law.first_on_node_sigma:
                copy *= self._scatter(law.first_on_node_sigma)
        await self._wait_for_creation(law.spacing_s)
        await node.boot((law.median_s + copy) * self._scatter(law.sigma))
        if self._rng.random() < self._profile.faults.spawn_failure:
            raise _SpawnFaultError
        node.image_cached = True

    async def _wait_for_creation(self, spacing_s: float) -> None:
        """Workers that are ordered at once are created one after the other."""
        if not spacing_s:
            return
        now = self._clock.time()
        wait = max(0.0, self._next_creation_s - now)
        self._next_creation_s = now + wait + spacing_s
        await self._world.sleep(wait)

    async def _serve(self, worker: _Worker) -> None:
        description = pb.WorkerDesc(name=worker.order.name, id=worker.order.presented_id)
        await self._stub.register_worker(description)
        keeping_alive = asyncio.create_task(self._keep_alive(worker))
        try:
            async for task in self._stub.get_tasks(description):
                await self._work(worker, task)
        finally:
            keeping_alive.cancel()
            await asyncio.gather(keeping_alive, return_exceptions=True)

    async def _keep_alive(self, worker: _Worker) -> None:
        while True:
            await self._clock.sleep(self._link.keepalive_interval_s)
            await self._tell(worker, pb.EVENT_KEEPALIVE, "")

    async def _tell(self, worker: _Worker, kind: Any, task_id: str) -> None:
        await self._stub.submit_event(
            pb.GrpcEvent(event_type=kind, worker_id=worker.order.presented_id, task_id=task_id)
        )

    async def _tell_error(self, worker: _Worker, task: pb.TCTask, message: str) -> None:
        await self._stub.submit_error(
            pb.GrpcErrorEvent(
                error_type=pb.ERROR_TRANSCODING_FAILED,
                error_message=message,
                worker_id=worker.order.presented_id,
                task_id=task.task_id,
            )
        )

    async def _work(self, worker: _Worker, task: pb.TCTask) -> None:
        speed = next((speed for speed in SPEEDS if speed == task.speed), None)
        if speed is None or task.input_video not in self._catalog:
            known = f"simulated workers know only the movies of the catalog {self._catalog.name!r}"
            await self._tell_error(worker, task, known)
            return
        request = Request(0.0, task.input_video, task.bitrate, speed)
        timing, law = self._timing.describe([request], self._catalog), self._profile.timing
        await self._world.sleep(float(timing.download_s[0]) * self._scatter(law.download.sigma))
        await self._tell(worker, pb.EVENT_FILE_DOWNLOADED, task.task_id)
        work_s = float(timing.transcode_s[0, worker.flavor]) * self._scatter(law.transcode.sigma)
        load = float(timing.speedup[0, worker.flavor])
        # Below the error probability the draw also tells how far the transcode comes.
        luck, error = self._rng.random(), self._profile.faults.transcode_error
        if luck < error:
            await worker.node.transcode(work_s * luck / error, load)
            await self._tell_error(worker, task, "it failed, as the profile's faults have it")
            return
        await worker.node.transcode(work_s, load)
        await self._tell(worker, pb.EVENT_TRANSCODING_COMPLETED, task.task_id)
        await self._world.sleep(float(timing.upload_s[0]) * self._scatter(law.upload.sigma))
        await self._tell(worker, pb.EVENT_FILE_UPLOADED, task.task_id)


async def _end(worker: _Worker) -> None:
    if worker.life is not None:
        worker.life.cancel()
        await asyncio.gather(worker.life, return_exceptions=True)
