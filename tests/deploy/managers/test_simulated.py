from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from deploy.clock import Clock
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.managers.base import (
    ManagerEvent,
    SpawnError,
    SpawnFailed,
    SpawnOrder,
    WorkerGone,
)
from deploy.managers.environment import WorkerLink
from deploy.managers.simulated import SimulatedManager
from env.catalog import load_catalog
from env.config import FaultConfig, FlavorConfig, Profile, load_profile
from tests.deploy.recording_controller import RecordingController

PROFILE = load_profile("openstack")
SPEED_UP = 200.0


class World:
    def __init__(self, controller: RecordingController, profile: Profile, speed_up: float) -> None:
        self.controller = controller
        self.clock = Clock(speed_up)
        self.reports: list[ManagerEvent] = []
        link = WorkerLink("127.0.0.1", controller.port)
        self.manager = SimulatedManager(link, profile, load_catalog(), self.clock, seed=1)
        self._flavors = profile.cluster.flavors

    async def spawn(self, flavor: int = 0, node: str | None = "compute1") -> str:
        worker_id = str(uuid.uuid4())
        order = SpawnOrder(worker_id, f"tc-worker-{worker_id[:8]}", self._flavors[flavor], node)
        await self.manager.spawn(order)
        return worker_id

    def task(self, worker_id: str, video: str = "bbb_9.mp4", speed: str = "ultrafast") -> str:
        task_id = str(uuid.uuid4())
        self.controller.queue(worker_id).put_nowait(
            pb.TCTask(
                input_video=video,
                output_video=f"out-{video}",
                bitrate=2000,
                speed=speed,
                request_id=str(uuid.uuid4()),
                worker_id=worker_id,
                task_id=task_id,
            )
        )
        return task_id

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)


def live(
    scenario: Callable[[World], Awaitable[None]],
    profile: Profile = PROFILE,
    speed_up: float = SPEED_UP,
) -> None:
    async def run() -> None:
        async with RecordingController() as controller:
            world = World(controller, profile, speed_up)
            assert await world.manager.start(world.reports.append) == profile.cluster
            try:
                await scenario(world)
            finally:
                await world.manager.close()

    asyncio.run(run())


def test_a_worker_registers_works_and_keeps_alive_over_grpc() -> None:
    async def scenario(world: World) -> None:
        worker_id = await world.spawn()
        (found,) = await world.manager.find()
        assert (found.worker_id, found.flavor, found.node) == (worker_id, "s10.tiny", "compute1")
        ordered = world.clock.time()
        await world.controller.until(lambda: world.controller.registered == [worker_id])
        boot = PROFILE.timing.boot
        least = (boot.median_s + boot.first_on_node_s) * 0.6
        assert world.clock.time() - ordered > least
        task_id = world.task(worker_id)
        await world.controller.until(lambda: len(world.controller.events) == 3)
        assert world.controller.events == [
            (f"EVENT_{step}", worker_id, task_id)
            for step in ("FILE_DOWNLOADED", "TRANSCODING_COMPLETED", "FILE_UPLOADED")
        ]
        await world.controller.until(lambda: world.controller.keepalives >= 2)
        await world.manager.stop(worker_id)
        await world.manager.stop(worker_id)
        assert await world.manager.find() == []
        assert world.reports == []

    live(scenario)


def test_transcodes_on_a_crowded_node_take_longer() -> None:
    async def scenario(world: World) -> None:
        workers = [await world.spawn(2, "compute1") for _ in range(3)]
        alone = await world.spawn(2, "compute2")
        await world.controller.until(lambda: len(world.controller.registered) == 4)
        tasks = {world.task(worker_id, "bbb_0.mp4", "fast"): worker_id for worker_id in workers}
        first = world.task(alone, "bbb_0.mp4", "fast")

        def transcoded() -> list[str]:
            events = world.controller.events
            return [task for step, _, task in events if step == "EVENT_TRANSCODING_COMPLETED"]

        # Three transcodes that keep over two cores busy each share six, and the scatter is 11 %.
        await world.controller.until(transcoded)
        assert transcoded() == [first]
        await world.controller.until(lambda: set(transcoded()) == {first, *tasks})

    live(scenario, speed_up=200.0)


def test_an_unknown_movie_ends_in_an_error_that_tells_why() -> None:
    async def scenario(world: World) -> None:
        worker_id = await world.spawn()
        task_id = world.task(worker_id, "cats.mp4")
        await world.controller.until(lambda: bool(world.controller.errors))
        ((message, worker, task),) = world.controller.errors
        assert "only the movies of the catalog 'bbb'" in message
        assert (worker, task) == (worker_id, task_id)

    live(scenario)


def test_a_stop_during_the_boot_frees_the_node() -> None:
    async def scenario(world: World) -> None:
        first = await world.spawn()
        await asyncio.sleep(0)
        await world.manager.stop(first)
        second = await world.spawn()
        await world.controller.until(lambda: world.controller.registered == [second])
        assert [found.worker_id for found in await world.manager.find()] == [second]

    live(scenario)


@pytest.mark.parametrize(
    ("faults", "kind", "reason"),
    [
        (FaultConfig(spawn_failure=1.0), SpawnFailed, "a spawn failed"),
        (FaultConfig(worker_loss_per_hour=1e6), WorkerGone, "a worker was lost"),
    ],
)
def test_the_profiles_faults_are_reported(
    faults: FaultConfig, kind: type[ManagerEvent], reason: str
) -> None:
    async def scenario(world: World) -> None:
        worker_id = await world.spawn()
        await world.until(lambda: bool(world.reports))
        (report,) = world.reports
        assert isinstance(report, SpawnFailed | WorkerGone)
        assert type(report) is kind
        assert report.worker_id == worker_id
        assert reason in report.reason
        assert await world.manager.find() == []

    live(scenario, replace(PROFILE, faults=faults))


def test_a_transcode_can_fail() -> None:
    async def scenario(world: World) -> None:
        worker_id = await world.spawn()
        world.task(worker_id)
        await world.controller.until(lambda: bool(world.controller.errors))
        assert "as the profile's faults have it" in world.controller.errors[0][0]
        assert [step for step, _, _ in world.controller.events] == ["EVENT_FILE_DOWNLOADED"]

    live(scenario, replace(PROFILE, faults=FaultConfig(transcode_error=1.0)))


def test_a_worker_that_cannot_reach_the_controller_is_gone() -> None:
    async def scenario() -> None:
        reports: list[ManagerEvent] = []
        async with RecordingController() as controller:
            closed_port = controller.port
        manager = SimulatedManager(
            WorkerLink("127.0.0.1", closed_port), PROFILE, load_catalog(), Clock(2000.0)
        )
        await manager.start(reports.append)
        worker_id = str(uuid.uuid4())
        await manager.spawn(SpawnOrder(worker_id, "lonely", PROFILE.cluster.flavors[0]))
        async with asyncio.timeout(60):
            while not reports:
                await asyncio.sleep(0.01)
        assert isinstance(reports[0], WorkerGone)
        assert "cannot talk to the controller" in reports[0].reason
        await manager.close()

    asyncio.run(scenario())


def test_bad_orders_are_refused() -> None:
    async def scenario(world: World) -> None:
        order = SpawnOrder(str(uuid.uuid4()), "w", PROFILE.cluster.flavors[0], "compute1")
        await world.manager.spawn(order)
        with pytest.raises(SpawnError, match="is there already"):
            await world.manager.spawn(order)
        with pytest.raises(SpawnError, match=r"has no flavor 'm1\.small'"):
            await world.manager.spawn(
                SpawnOrder(str(uuid.uuid4()), "w", FlavorConfig("m1.small", 1, 1.0))
            )

    live(scenario)
