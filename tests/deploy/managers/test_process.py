from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random

import psutil
import pytest

from deploy.chaos.clips import make_clips
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.managers.base import ManagerEvent, SpawnError, SpawnOrder, WorkerGone
from deploy.managers.confinement import (
    CgroupConfinement,
    Confinement,
    WatchedConfinement,
    choose_confinement,
)
from deploy.managers.environment import WorkerLink
from deploy.managers.process import CONTROLLER_VARIABLE, ProcessManager
from deploy.managers.tagged import command_line, has_ended, kill_all, tagged, variables_of
from env.config import FlavorConfig
from tests.deploy.recording_controller import RecordingController

TINY = FlavorConfig("s10.tiny", 1, 0.5)
SMALL = FlavorConfig("s10.small", 2, 1.0)


class World:
    """A controller that records, a storage, and the managers of its lives."""

    def __init__(self, folder: Path, controller: RecordingController) -> None:
        self.folder = folder
        self.controller = controller
        self.controller_id = str(uuid.uuid4())
        self.reports: list[ManagerEvent] = []

    async def manager(
        self, *, confinement: Confinement | None = None, boot_delay_s: float = 0.0
    ) -> ProcessManager:
        manager = ProcessManager(
            WorkerLink(
                "127.0.0.1", self.controller.port, storage=f"dir://{self.folder / 'storage'}"
            ),
            self.folder / "workers",
            self.controller_id,
            cores=2,
            boot_delay_s=boot_delay_s,
            stop_grace_s=5.0,
            confinement=confinement,
        )
        await manager.start(self.reports.append)
        return manager

    async def spawn(self, manager: ProcessManager, flavor: FlavorConfig = TINY) -> str:
        worker_id = str(uuid.uuid4())
        await manager.spawn(SpawnOrder(worker_id, f"tc-worker-{worker_id[:8]}", flavor))
        return worker_id

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.05)

    def processes(self, program: str = "") -> list[psutil.Process]:
        return [
            process
            for process in tagged(CONTROLLER_VARIABLE, self.controller_id)
            if not program or program in " ".join(command_line(process))
        ]

    def process_of(self, worker_id: str) -> psutil.Process:
        (process,) = (
            process
            for process in self.processes("deploy.worker.command")
            if variables_of(process)["TCWORKER_ID"] == worker_id
        )
        return process

    def task(self, worker_id: str, video: str) -> str:
        task_id = str(uuid.uuid4())
        self.controller.queue(worker_id).put_nowait(
            pb.TCTask(
                input_video=video,
                output_video=f"out-{video}",
                bitrate=1000,
                speed="ultrafast",
                request_id=str(uuid.uuid4()),
                worker_id=worker_id,
                task_id=task_id,
            )
        )
        return task_id


def live(folder: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with RecordingController() as controller:
            world = World(folder, controller)
            (folder / "storage").mkdir()
            try:
                await scenario(world)
            finally:
                kill_all(world.processes)
                choose_confinement(world.controller_id).tidy()

    asyncio.run(run())


def test_a_worker_registers_transcodes_and_is_stopped_without_a_trace(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        (clip,) = make_clips(tmp_path / "storage/input-videos", 1, 0, Random(0))
        manager = await world.manager()
        worker_id = await world.spawn(manager)
        (found,) = await manager.find()
        assert (found.worker_id, found.flavor) == (worker_id, "s10.tiny")
        await world.controller.until(lambda: world.controller.registered == [worker_id])
        task_id = world.task(worker_id, clip.name)
        await world.controller.until(lambda: len(world.controller.events) == 3)
        assert {event[1:] for event in world.controller.events} == {(worker_id, task_id)}
        assert (tmp_path / "storage/output-videos" / f"out-{clip.name}").stat().st_size > 0
        await manager.stop(worker_id)
        await manager.stop(worker_id)
        assert await manager.find() == []
        assert world.processes() == []
        assert list((tmp_path / "workers/work").iterdir()) == []
        await manager.close()
        assert world.reports == []

    live(tmp_path, scenario)


@pytest.mark.slow
def test_a_killed_worker_is_reported_and_takes_its_ffmpeg_along(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        (clip,) = make_clips(tmp_path / "storage/input-videos", 1, 0, Random(0))
        manager = await world.manager()
        worker_id, other = await world.spawn(manager), await world.spawn(manager)
        await world.controller.until(lambda: len(world.controller.registered) == 2)
        world.task(worker_id, clip.name)
        await world.until(lambda: bool(world.processes("libx265")))
        world.process_of(worker_id).send_signal(signal.SIGKILL)
        await world.until(lambda: bool(world.reports))
        (report,) = world.reports
        assert isinstance(report, WorkerGone)
        assert report.worker_id == worker_id
        assert report.reason == "the worker's process is gone: it was ended by SIGKILL"
        assert world.processes("libx265") == []
        assert [found.worker_id for found in await manager.find()] == [other]
        await manager.stop(other)
        await manager.close()

    live(tmp_path, scenario)


@pytest.mark.slow
def test_the_next_life_adopts_what_lives_and_ends_what_is_left_of_the_rest(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        first = await world.manager()
        kept, lost = await world.spawn(first), await world.spawn(first, SMALL)
        await world.controller.until(lambda: len(world.controller.registered) == 2)
        await first.close()
        assert len(world.processes("deploy.worker.command")) == 2
        # A stray that a dead worker has left: it carries the tag and is no worker.
        lost_process = world.process_of(lost)
        stray = subprocess.Popen(["sleep", "300"], env=lost_process.environ())
        kill_all(lambda: [] if has_ended(lost_process) else [lost_process])

        second = await world.manager()
        assert [found.worker_id for found in await second.find()] == [kept]
        stray.wait(60)
        assert len(world.processes()) == 1
        world.process_of(kept).kill()
        await world.until(lambda: bool(world.reports))
        assert [report.worker_id for report in world.reports] == [kept]
        await second.close()
        assert world.processes() == []

    live(tmp_path, scenario)


def test_a_worker_that_still_boots_is_found_and_stopped(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        first = await world.manager(boot_delay_s=120.0)
        worker_id = await world.spawn(first)
        await first.close()
        second = await world.manager()
        assert [found.worker_id for found in await second.find()] == [worker_id]
        await second.stop(worker_id)
        assert world.processes() == []
        assert world.controller.registered == []
        await second.close()

    live(tmp_path, scenario)


def test_a_stop_finds_a_worker_whose_order_was_given_up(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        manager = await world.manager()
        order = SpawnOrder(str(uuid.uuid4()), "w", TINY)
        ordering = asyncio.create_task(manager.spawn(order))
        await asyncio.sleep(0)
        ordering.cancel()
        await asyncio.gather(ordering, return_exceptions=True)
        await manager.stop(order.worker_id)
        assert await manager.find() == []
        assert world.processes() == []
        await manager.close()

    live(tmp_path, scenario)


def test_a_worker_gets_no_secret_of_the_controllers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_PASSWORD", "hidden")
    monkeypatch.setenv("DACIRCO_MINIO_SECRET_KEY", "hidden")

    async def scenario(world: World) -> None:
        manager = await world.manager()
        worker_id = await world.spawn(manager)
        variables = variables_of(world.process_of(worker_id))
        assert "hidden" not in variables.values()
        assert variables["TCWORKER_CPUS"] == "1"
        await manager.stop(worker_id)
        await manager.close()

    live(tmp_path, scenario)


@pytest.mark.parametrize("worker_id", ["../escape", "no-uuid"])
def test_a_worker_id_that_is_no_uuid_becomes_no_path(tmp_path: Path, worker_id: str) -> None:
    async def scenario(world: World) -> None:
        manager = await world.manager()
        with pytest.raises(SpawnError, match="cannot be started"):
            await manager.spawn(SpawnOrder(worker_id, "w", TINY))
        assert await manager.find() == []
        await manager.close()

    live(tmp_path, scenario)


# -- confinement ----------------------------------------------------------------------


@pytest.fixture
def cgroups() -> Iterator[CgroupConfinement]:
    confinement = choose_confinement(f"test-{uuid.uuid4()}")
    if not isinstance(confinement, CgroupConfinement):
        pytest.skip("no control group may be written here")
    yield confinement
    confinement.tidy()


@pytest.fixture
def hungry() -> Iterator[subprocess.Popen[bytes]]:
    """A process that takes 200 MiB when it is told to."""
    program = "import sys; sys.stdin.read(1); x = b'x' * (200 << 20); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def test_a_control_group_ends_what_takes_too_much_memory(
    cgroups: CgroupConfinement, hungry: subprocess.Popen[bytes]
) -> None:
    cgroups.admit("w", hungry.pid, FlavorConfig("s10.tiny", 1, 0.1))
    assert cgroups.verdict("w") is None
    assert hungry.stdin is not None
    hungry.stdin.write(b"x")
    hungry.stdin.flush()
    assert hungry.wait(60) == -signal.SIGKILL
    assert cgroups.verdict("w") == "it needed more memory than its flavor gives"
    cgroups.release("w")
    assert cgroups.verdict("w") is None


def test_a_control_group_gives_a_worker_its_cores_and_no_more(cgroups: CgroupConfinement) -> None:
    spin = "import os, sys\nsys.stdin.read(1)\nfor _ in range(2): os.fork()\nwhile True: pass"
    child = subprocess.Popen(
        [sys.executable, "-c", spin], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        cgroups.admit("w", child.pid, TINY)
        assert child.stdin is not None
        start = time.monotonic()
        child.stdin.write(b"x")
        child.stdin.close()
        process = psutil.Process(child.pid)
        used = 0.0
        while used < 2.0:
            time.sleep(0.1)
            family = [process, *process.children(recursive=True)]
            used = sum(sum(member.cpu_times()[:2]) for member in family)
        # Three processes that never rest have had no more than one core. A busy machine may give
        # them less; only an idle one of two cores or more puts the limit to the test.
        assert used / (time.monotonic() - start) < 1.2
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_without_control_groups_a_worker_above_its_memory_is_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def scenario(world: World) -> None:
        manager = await world.manager(confinement=WatchedConfinement())
        assert "workers are held weakly" in caplog.text
        worker_id = await world.spawn(manager, FlavorConfig("s10.tiny", 1, 0.01))
        await world.until(lambda: bool(world.reports))
        (report,) = world.reports
        assert isinstance(report, WorkerGone)
        assert report.worker_id == worker_id
        assert "its flavor gives 0.01" in report.reason
        assert world.processes() == []
        await manager.close()

    live(tmp_path, scenario)


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="no CPU affinity here")
def test_without_control_groups_a_worker_runs_on_as_many_cpus_as_its_flavor_has() -> None:
    confinement = WatchedConfinement()
    usable = psutil.Process().cpu_affinity()
    children = [subprocess.Popen(["sleep", "300"]) for _ in usable]
    try:
        for number, child in enumerate(children):
            confinement.admit(str(number), child.pid, TINY)
        given = [psutil.Process(child.pid).cpu_affinity() for child in children]
        assert sorted(given) == [[cpu] for cpu in sorted(usable)]
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_a_process_that_has_ended_is_known_as_such() -> None:
    child = subprocess.Popen(["true"])
    process = psutil.Process(child.pid)
    child.wait()
    assert has_ended(process)
    assert variables_of(process) == {}
    assert not has_ended(psutil.Process())


def test_what_is_started_while_the_rest_is_killed_is_killed_too() -> None:
    processes: list[psutil.Process] = []

    def find() -> list[psutil.Process]:
        found = [process for process in processes if not has_ended(process)]
        if len(processes) < 2:
            processes.append(psutil.Popen(["sleep", "300"]))
            return processes[-1:]
        return found

    kill_all(find)
    assert len(processes) == 2
    assert all(has_ended(process) for process in processes)
