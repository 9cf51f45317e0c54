"""Workers that are processes of this machine, each confined to its flavor.

A worker runs in a session of its own and outlives the controller, whose next life finds it by what
it carries in its environment (`deploy.managers.tagged`). Whether a worker has registered is not
known here: one that ends though nobody stopped it is reported as gone, and the scheduler, which
knows, counts one that was still booting as a failed spawn.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import psutil

from deploy.managers.base import (
    FoundWorker,
    Listener,
    ManagerError,
    SpawnError,
    SpawnOrder,
    WorkerGone,
    WorkerManager,
)
from deploy.managers.confinement import Confinement, choose_confinement
from deploy.managers.environment import WorkerLink
from deploy.managers.machine import machine_cluster
from deploy.managers.tagged import command_line, has_ended, kill_all, tagged, variables_of
from env.config import ClusterConfig, FlavorConfig

CONTROLLER_VARIABLE: Final = "DACIRCO_CONTROLLER_ID"
_FLAVOR_VARIABLE: Final = "DACIRCO_FLAVOR"
WORKER_VARIABLE: Final = "DACIRCO_WORKER_ID"
"""The public id; TCWORKER_ID is the secret one."""
_NAME_VARIABLE: Final = "TCWORKER_NAME"
_MODULE: Final = "deploy.worker.command"
_POLL_S: Final = 0.25

_LOGGER = logging.getLogger(__name__)

_INHERITED: Final = (
    "PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SYSTEMROOT",
    "DACIRCO_FFMPEG",
    "IMAGEIO_FFMPEG_EXE",
    "DACIRCO_SERVICE",
)
"""What a worker gets of the controller's environment, beside TCWORKER_ variables: no secrets."""


@dataclass(slots=True)
class _Worker:
    process: psutil.Process
    name: str
    flavor: FlavorConfig
    stopping: bool = False


class ProcessManager(WorkerManager):
    """Starts, finds and stops local worker processes.

    Args:
        link: how workers reach the controller and the storage.
        folder: workers' logs and working directories go below it.
        controller_id: whose workers these are.
        cores: cores of this machine to offer; by default all that this process may use.
        boot_delay_s: a worker starts this much later, as a VM that boots would, seconds.
        stop_grace_s: how long a worker that is asked to end may take before it is killed, seconds.
        confinement: by default the strongest that this process may use.
    """

    name = "process"

    def __init__(
        self,
        link: WorkerLink,
        folder: Path,
        controller_id: str,
        *,
        cores: int | None = None,
        boot_delay_s: float = 0.0,
        stop_grace_s: float = 10.0,
        confinement: Confinement | None = None,
    ) -> None:
        self._link = link
        self._folder = folder.absolute()
        self._controller_id = controller_id
        self._cores = cores
        self._boot_delay_s = boot_delay_s
        self._stop_grace_s = stop_grace_s
        self._confinement = confinement
        self._flavors: dict[str, FlavorConfig] = {}
        self._node = ""
        self._workers: dict[str, _Worker] = {}
        self._launches: dict[str, asyncio.Task[None]] = {}
        self._listener: Listener | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self, listener: Listener) -> ClusterConfig:
        cluster = machine_cluster(self._cores)
        self._flavors = {flavor.name: flavor for flavor in cluster.flavors}
        self._node = cluster.nodes[0].name
        for folder in (self._logs, self._work):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ManagerError(f"cannot make the folder {folder}: {error.strerror}") from None
        if self._confinement is None:
            vcpus = round(cluster.nodes[0].cores * cluster.vcpu_overcommit)
            self._confinement = await asyncio.to_thread(
                choose_confinement, self._controller_id, vcpus
            )
        _LOGGER.info("local workers: %s", self._confinement.description)
        self._listener = listener
        await self._adopt()
        self._watch = asyncio.create_task(self._watch_ends(), name="worker-ends")
        return cluster

    async def find(self) -> list[FoundWorker]:
        return [
            FoundWorker(worker_id, worker.name, worker.flavor.name, self._node)
            for worker_id, worker in self._workers.items()
            if not has_ended(worker.process)
        ]

    async def spawn(self, order: SpawnOrder) -> None:
        worker_id = order.worker_id
        if worker_id in self._workers or worker_id in self._launches:
            raise SpawnError(f"worker {worker_id} is there already")
        launch = asyncio.create_task(self._launch(order))
        self._launches[worker_id] = launch
        launch.add_done_callback(lambda _: self._launches.pop(worker_id, None))
        # Whoever gives up waiting and then asks for a stop must still find the process.
        await asyncio.shield(launch)

    async def stop(self, worker_id: str) -> None:
        if worker_id in self._launches:
            await asyncio.gather(self._launches[worker_id], return_exceptions=True)
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        worker.stopping = True
        try:
            worker.process.terminate()
            await self._end(worker.process)
        except psutil.NoSuchProcess:
            pass
        await asyncio.to_thread(self._clean_up, worker_id)
        self._workers.pop(worker_id, None)

    async def close(self) -> None:
        self._listener = None
        await asyncio.gather(*self._launches.values(), return_exceptions=True)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        self._workers.clear()
        if self._confinement is not None:
            self._confinement.tidy()

    @property
    def _logs(self) -> Path:
        return self._folder / "logs"

    @property
    def _work(self) -> Path:
        return self._folder / "work"

    async def _launch(self, order: SpawnOrder) -> None:
        worker_id = order.worker_id
        try:
            process = await asyncio.to_thread(self._start_process, order)
        except (OSError, ValueError, psutil.Error) as error:
            await asyncio.to_thread(self._clean_up, worker_id)
            raise SpawnError(f"the worker's process cannot be started: {error}") from error
        self._workers[worker_id] = _Worker(process, order.name, order.flavor)

    def _start_process(self, order: SpawnOrder) -> psutil.Process:
        worker_id = str(UUID(order.worker_id))  # it becomes a path
        command = [sys.executable, "-m", _MODULE]
        if self._boot_delay_s:
            wait = ["sh", "-c", 'sleep "$1"; shift; exec "$@"', "boot", f"{self._boot_delay_s:g}"]
            command = [*wait, *command]
        work = self._work / worker_id
        work.mkdir()
        with (self._logs / f"worker-{worker_id}.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                env=self._environment(order, work),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = psutil.Process(child.pid)
        # It outlives this object: psutil collects its exit code, Popen must not warn.
        child.returncode = 0
        self._confine(worker_id, process, order.flavor)
        return process

    def _confine(self, worker_id: str, process: psutil.Process, flavor: FlavorConfig) -> None:
        assert self._confinement is not None
        try:
            self._confinement.admit(worker_id, process.pid, flavor)
        except (OSError, psutil.Error):
            if not has_ended(process):
                raise

    def _environment(self, order: SpawnOrder, work: Path) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if key in _INHERITED or key.startswith("TCWORKER_")
        }
        return {
            **kept,
            "PYTHONUNBUFFERED": "1",
            **self._link.environment(order),
            "TCWORKER_WORK_DIR": str(work),
            CONTROLLER_VARIABLE: self._controller_id,
            WORKER_VARIABLE: order.worker_id,
            _FLAVOR_VARIABLE: order.flavor.name,
        }

    async def _adopt(self) -> None:
        """Take over the workers of an earlier life; end what is left of those that are gone."""
        ours = await asyncio.to_thread(tagged, CONTROLLER_VARIABLE, self._controller_id)
        for process in ours:
            variables = variables_of(process)
            worker_id = worker_of(variables)
            flavor = self._flavors.get(variables.get(_FLAVOR_VARIABLE, ""))
            if flavor is not None and is_worker(process):
                self._confine(worker_id, process, flavor)
                name = variables.get(_NAME_VARIABLE, worker_id)
                self._workers[worker_id] = _Worker(process, name, flavor)
        alive = set(self._workers)
        await asyncio.to_thread(
            kill_all,
            lambda: [
                process
                for process in tagged(CONTROLLER_VARIABLE, self._controller_id)
                if worker_of(variables_of(process)) not in alive
            ],
        )
        for work in self._work.iterdir():
            if work.name not in alive:
                await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)

    async def _watch_ends(self) -> None:
        """Report workers that end by themselves, and end those that break their confinement."""
        assert self._confinement is not None
        while True:
            await asyncio.sleep(_POLL_S)
            for worker_id, worker in list(self._workers.items()):
                if worker.stopping:
                    continue
                reason = self._confinement.breach(worker_id, worker.flavor)
                if reason is None and not has_ended(worker.process):
                    continue
                worker.stopping = True
                reason = reason or self._confinement.verdict(worker_id) or _farewell(worker.process)
                await asyncio.to_thread(self._clean_up, worker_id)
                # Nothing to report where a stop has come in between and was the first to be done.
                if self._workers.pop(worker_id, None) is not None and self._listener is not None:
                    self._listener(WorkerGone(worker_id, f"the worker's process is gone: {reason}"))

    async def _end(self, process: psutil.Process) -> None:
        """Wait until it has ended or its time is over."""
        deadline = asyncio.get_running_loop().time() + self._stop_grace_s
        while not has_ended(process) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_S / 5)

    def _clean_up(self, worker_id: str) -> None:
        """End every process of a worker, its ffmpeg too, and remove what it leaves behind."""
        assert self._confinement is not None
        kill_all(
            lambda: [
                process
                for process in tagged(CONTROLLER_VARIABLE, self._controller_id)
                if worker_of(variables_of(process)) == worker_id
            ]
        )
        worker = self._workers.get(worker_id)
        if worker is not None:
            _exit_code(worker.process)
        self._confinement.release(worker_id)
        shutil.rmtree(self._work / worker_id, ignore_errors=True)


def worker_of(variables: Mapping[str, str]) -> str:
    """Whose process it is; those that were started before there were secret ids have one id."""
    return variables.get(WORKER_VARIABLE) or variables.get("TCWORKER_ID", "")


def is_worker(process: psutil.Process) -> bool:
    """Whether it is a worker itself, and not something that a worker has started."""
    try:
        leads = os.getsid(process.pid) == process.pid
    except OSError:
        return False
    return leads and _MODULE in command_line(process)


def _exit_code(process: psutil.Process) -> int | None:
    """Collect a process that has ended; its code, none if it was not a child of this process."""
    try:
        return process.wait(timeout=0)
    except (psutil.Error, ValueError):
        return None


def _farewell(process: psutil.Process) -> str:
    code = _exit_code(process)
    if code is None:
        return "it ended"
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with code {code}; see its log"
