"""Workers as VMs: orders go to Nova in threads, one task watches what became of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Final, TypeVar

from deploy.managers.base import (
    FoundWorker,
    Listener,
    ManagerError,
    SpawnError,
    SpawnFailed,
    SpawnOrder,
    WorkerGone,
    WorkerManager,
    WorkerPlaced,
)
from deploy.managers.environment import WorkerLink
from deploy.managers.vm.asking import RefusedError
from deploy.managers.vm.capacity import read_capacity
from deploy.managers.vm.cloud import Cloud
from deploy.managers.vm.records import Server
from deploy.managers.vm.settings import VmSettings
from deploy.managers.vm.user_data import user_data
from env.config import ClusterConfig

log = logging.getLogger(__name__)

_THREADS: Final = 4
"""Orders at the same time; Nova itself works on about as many."""
_LONGEST_BACKOFF_S: Final = 30.0
_DOOMED_S: Final = 600.0
"""How long an order whose answer was lost may still show an effect, seconds."""
_BUILDING: Final = frozenset({"BUILD", "REBUILD", "REBOOT", "HARD_REBOOT", "MIGRATING", "UNKNOWN"})
"""States that pass, or in which Nova itself does not know: no reason to give a worker up."""

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Vm:
    """A worker's server.

    Attributes:
        active: it has been running.
        placed: its node has been told.
        stopping: its end was ordered.
        gone: set once no server of it exists.
    """

    worker_id: str
    server_id: str
    active: bool = False
    placed: bool = False
    stopping: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class VmManager(WorkerManager):
    """See `WorkerManager`.

    Args:
        settings: names in the cloud.
        link: what the workers are told.
    """

    name = "vm"

    def __init__(self, settings: VmSettings, link: WorkerLink) -> None:
        self.settings = settings
        self._link = replace(link, log_file=settings.worker_log_file)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="openstack")
        self._cloud: Cloud | None = None
        self._listener: Listener = lambda event: None
        self._vms: dict[str, _Vm] = {}
        self._ordering: set[str] = set()
        # Worker ids whose order may still have an effect, or whose deletion may not: whatever
        # server of theirs shows up until the given time of the loop is deleted.
        self._doomed: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def start(self, listener: Listener) -> ClusterConfig:
        """See `WorkerManager.start`."""
        self._listener = listener
        self._cloud = cloud = await self._call(lambda: Cloud(self.settings))
        await self._call(cloud.check)
        config = await self._call(lambda: read_capacity(cloud, self.settings))
        self._watcher = asyncio.create_task(self._watch(cloud), name="vm-manager")
        return config

    async def find(self) -> list[FoundWorker]:
        """See `WorkerManager.find`."""
        cloud = self._connected()
        found = []
        for server in await self._call(cloud.servers):
            if server.worker_id in self._doomed:
                continue
            if server.worker_id not in self._vms:
                self._vms[server.worker_id] = _Vm(server.worker_id, server.server_id)
            node = await self._call(partial(cloud.node_of, server.server_id))
            self._vms[server.worker_id].placed = node is not None
            found.append(FoundWorker(server.worker_id, server.name, server.flavor, node))
        self._wake.set()
        return found

    async def spawn(self, order: SpawnOrder) -> None:
        """See `WorkerManager.spawn`."""
        cloud = self._connected()
        script = user_data(self._link.environment(order), self.settings.service_user)
        self._ordering.add(order.worker_id)
        try:
            server_id = await self._call(partial(cloud.create, order, script))
        except RefusedError as error:
            raise SpawnError(str(error)) from None
        except ManagerError as error:
            self._doom(order.worker_id)
            raise SpawnError(str(error)) from None
        except asyncio.CancelledError:
            # The thread cannot be called back: its server may appear at any time.
            self._doom(order.worker_id)
            raise
        finally:
            self._ordering.discard(order.worker_id)
        if order.worker_id in self._doomed:
            raise SpawnError("the worker was stopped while it was being ordered")
        self._vms[order.worker_id] = _Vm(order.worker_id, server_id)
        self._wake.set()

    async def stop(self, worker_id: str) -> None:
        """See `WorkerManager.stop`."""
        cloud = self._connected()
        if worker_id in self._ordering:
            self._doom(worker_id)
            return
        vm = self._vms.get(worker_id)
        if vm is None:
            for server in await self._call(cloud.servers):
                if server.worker_id == worker_id:
                    vm = self._vms[worker_id] = _Vm(worker_id, server.server_id)
        if vm is None:
            return
        vm.stopping = True
        await self._call(partial(cloud.delete, vm.server_id))
        self._wake.set()
        try:
            async with asyncio.timeout(self.settings.stop_timeout_s):
                await vm.gone.wait()
        except TimeoutError:
            raise ManagerError(
                f"server {vm.server_id} is not gone {self.settings.stop_timeout_s:g} s after "
                "its deletion was ordered"
            ) from None

    async def close(self) -> None:
        """See `WorkerManager.close`."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        if self._cloud is not None:
            await self._call(self._cloud.close)
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- watching ---------------------------------------------------------------------

    async def _watch(self, cloud: Cloud) -> None:
        backoff = 0.0
        while True:
            wait = backoff or (
                self.settings.poll_s if self._something_moves() else self.settings.idle_poll_s
            )
            self._wake.clear()
            try:
                # Not `wait_for`: before Python 3.12 it swallows a cancellation at times.
                async with asyncio.timeout(wait):
                    await self._wake.wait()
                # A burst of orders is looked at once, not once for each.
                await asyncio.sleep(min(self.settings.poll_s, wait))
            except TimeoutError:
                pass
            try:
                await self._look(cloud)
                backoff = 0.0
            except ManagerError as error:
                backoff = min(_LONGEST_BACKOFF_S, max(self.settings.poll_s, 2 * backoff))
                log.warning("%s; next try in %g s", error, backoff)

    def _something_moves(self) -> bool:
        return bool(self._doomed) or any(
            not vm.active or vm.stopping or not vm.placed for vm in self._vms.values()
        )

    async def _look(self, cloud: Cloud) -> None:
        # Servers ordered while the list is under way may be missing in it.
        expected = list(self._vms.values())
        servers = {server.worker_id: server for server in await self._call(cloud.servers)}
        for vm in expected:
            server = servers.get(vm.worker_id)
            if server is None:
                self._vanished(vm)
            elif not vm.stopping:
                await self._progress(cloud, vm, server)
        for worker_id, until in list(self._doomed.items()):
            if worker_id in servers:
                self._doomed[worker_id] = inf  # until it is gone
                await self._call(partial(cloud.delete, servers[worker_id].server_id))
            elif until == inf or until < asyncio.get_running_loop().time():
                del self._doomed[worker_id]

    def _vanished(self, vm: _Vm) -> None:
        self._vms.pop(vm.worker_id, None)
        vm.gone.set()
        if not vm.stopping:
            self._report_end(vm, "the server was deleted by somebody else")

    async def _progress(self, cloud: Cloud, vm: _Vm, server: Server) -> None:
        if server.status == "ACTIVE" or server.status in _BUILDING:
            vm.active = vm.active or server.status == "ACTIVE"
            if vm.active and not vm.placed:
                node = await self._call(lambda: cloud.node_of(server.server_id))
                vm.placed = True  # without an admin nobody will ever tell
                if node is not None and vm.worker_id in self._vms:
                    self._listener(WorkerPlaced(vm.worker_id, node))
            return
        reason = server.fault or f"the server is {server.status}"
        self._doom(vm.worker_id)
        self._vms.pop(vm.worker_id, None)
        vm.gone.set()
        self._report_end(vm, reason)

    def _report_end(self, vm: _Vm, reason: str) -> None:
        event = WorkerGone if vm.active else SpawnFailed
        self._listener(event(vm.worker_id, reason))

    def _doom(self, worker_id: str) -> None:
        self._doomed[worker_id] = asyncio.get_running_loop().time() + _DOOMED_S
        self._wake.set()

    # -- how --------------------------------------------------------------------------

    def _connected(self) -> Cloud:
        if self._cloud is None:
            raise ManagerError("the VM manager is not started")
        return self._cloud

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
