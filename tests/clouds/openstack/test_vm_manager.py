"""The VM manager against a real Nova, without the controller above it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from deploy.managers.base import (
    ManagerError,
    ManagerEvent,
    SpawnError,
    SpawnFailed,
    SpawnOrder,
    WorkerGone,
    WorkerPlaced,
)
from deploy.managers.environment import WorkerLink
from deploy.managers.vm.manager import VmManager
from deploy.managers.vm.settings import VmSettings, VmType
from env.config import ClusterConfig, FlavorConfig, NodeConfig
from tests.clouds.openstack.cloud import OWNER, OpenStackCloud
from tests.clouds.openstack.layout import COMPUTES

NOBODY = WorkerLink("127.0.0.1", 1)
"""No controller listens there: these tests are about servers, not about workers."""


@pytest.fixture
def cloud(openstack_cloud: OpenStackCloud, monkeypatch: pytest.MonkeyPatch) -> OpenStackCloud:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(openstack_cloud.clouds_file))
    openstack_cloud.set_behaviour(guest=False)
    return openstack_cloud


class Watched:
    """A started manager and what it told."""

    def __init__(self, manager: VmManager) -> None:
        self.manager = manager
        self.events: list[ManagerEvent] = []
        self.secrets: dict[str, str] = {}
        self.config: ClusterConfig

    async def spawn(self, flavor: str = "s10.tiny") -> str:
        """Order a worker and return its id."""
        worker_id = str(uuid.uuid4())
        sizes = {f.name: f for f in self.config.flavors}
        self.secrets[worker_id] = secret = str(uuid.uuid4())
        name = f"tc-{worker_id[:8]}"
        await self.manager.spawn(SpawnOrder(worker_id, name, sizes[flavor], secret=secret))
        return worker_id

    async def event(self, worker_id: str, timeout_s: float = 180.0) -> ManagerEvent:
        """The next event about a worker, taken from the list."""
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events:
                    if event.worker_id == worker_id:
                        self.events.remove(event)
                        return event
                await asyncio.sleep(0.1)

    async def placed(self, worker_id: str) -> str:
        """The node where a worker came to be."""
        event = await self.event(worker_id)
        assert isinstance(event, WorkerPlaced), event
        return event.node


@asynccontextmanager
async def started(**changes: Any) -> AsyncIterator[Watched]:
    settings = replace(VmSettings(str(uuid.uuid4()), poll_s=0.3, idle_poll_s=1.0), **changes)
    watched = Watched(VmManager(settings, NOBODY))
    watched.config = await watched.manager.start(watched.events.append)
    try:
        yield watched
    finally:
        await watched.manager.close()


async def until(holds: Callable[[], bool], timeout_s: float = 180.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.3)


def test_the_cluster_is_as_the_cloud_has_it(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        with cloud.quota(cores=7, instances=5, ram=20480):
            async with started() as watched:
                config = watched.config
        assert [node.name for node in config.nodes] == list(COMPUTES)
        assert {(node.cores, node.ram_gib) for node in config.nodes} == {(6, 16.0)}
        sizes = [(flavor.name, flavor.vcpus, flavor.ram_gib) for flavor in config.flavors]
        assert sizes == [("s10.tiny", 1, 2.0), ("s10.small", 2, 4.0), ("s10.medium", 4, 8.0)]
        assert (config.max_workers, config.max_vcpus, config.max_ram_gib) == (5, 7.0, 20.0)
        assert config.vcpu_overcommit == 1.0

    asyncio.run(scene())


def test_workers_spread_are_placed_stopped_and_leave_nothing(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        async with started(placement="spread") as watched:
            workers = [await watched.spawn() for _ in range(3)]
            assert {await watched.placed(worker) for worker in workers} == set(COMPUTES)
            found = await watched.manager.find()
            assert {worker.worker_id for worker in found} == set(workers)
            assert {worker.node for worker in found} == set(COMPUTES)
            assert {worker.flavor for worker in found} == {"s10.tiny"}
            await asyncio.gather(*(watched.manager.stop(worker) for worker in workers))
            await watched.manager.stop(workers[0])  # once more is no error
            assert await watched.manager.find() == []
            assert watched.events == []

    asyncio.run(scene())
    assert [leak for leak in cloud.leaks() if not leak.startswith("server group")] == []


def test_what_the_cloud_lists_of_a_worker_holds_its_public_id_only(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        async with started() as watched:
            worker = await watched.spawn()
            await watched.placed(worker)
            owner = cloud.connect(OWNER)
            (server,) = await asyncio.to_thread(lambda: list(owner.compute.servers(details=True)))
            assert worker in server.metadata.values()
            # The user data must hold it; the API shows that to nobody but the project.
            listed = {key: value for key, value in server.to_dict().items() if key != "user_data"}
            assert watched.secrets[worker] not in str(listed)

    asyncio.run(scene())


def test_workers_can_be_concentrated(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        async with started(placement="concentrate") as watched:
            # One after the other: Nova does not see what it is placing at the same time.
            nodes = {await watched.placed(await watched.spawn()) for _ in range(3)}
            assert len(nodes) == 1

    asyncio.run(scene())


def test_preferred_placements_and_types_of_vm(cloud: OpenStackCloud) -> None:
    """Nova takes the soft policies, and each type of VM is what its table names."""
    types = {"small": VmType(flavor="s10.tiny"), "large": VmType(flavor="s10.medium")}

    async def scene() -> None:
        for placement in ("concentrate", "spread"):
            async with started(
                placement=placement, preferred=True, flavors=tuple(types), types=types
            ) as watched:
                sizes = [(flavor.name, flavor.vcpus) for flavor in watched.config.flavors]
                assert sizes == [("small", 1), ("large", 4)]
                assert watched.config.max_vcpus is None or watched.config.max_vcpus > 6
                workers = [await watched.spawn(name) for name in types]
                for worker in workers:
                    assert await watched.placed(worker) in COMPUTES
                found = {each.flavor for each in await watched.manager.find()}
                assert found == set(types)
                await asyncio.gather(*(watched.manager.stop(worker) for worker in workers))

    asyncio.run(scene())


def test_a_full_cluster_and_a_failing_host_are_failed_spawns(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        async with started() as watched:
            workers = [await watched.spawn("s10.medium") for _ in COMPUTES]
            for worker in workers:
                await watched.placed(worker)
            too_many = await watched.spawn("s10.medium")
            event = await watched.event(too_many)
            assert isinstance(event, SpawnFailed)
            assert "No valid host" in event.reason
            cloud.set_behaviour(refuse="the disk is broken", guest=False)
            broken = await watched.spawn("s10.tiny")
            event = await watched.event(broken)
            assert isinstance(event, SpawnFailed)
            # What failed leaves nothing behind; what runs goes on.
            await until(lambda: len(cloud.servers()) == len(workers))
            assert {w.worker_id for w in await watched.manager.find()} == set(workers)

    asyncio.run(scene())


def test_a_quota_refuses_at_once(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        async with started() as watched:
            with cloud.quota(cores=1):
                await watched.spawn()
                with pytest.raises(SpawnError, match=r"[Qq]uota"):
                    await watched.spawn()
            assert len(cloud.servers()) == 1

    asyncio.run(scene())


def test_a_used_up_quota_stops_the_start(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        with cloud.quota(cores=0), pytest.raises(ManagerError, match="used up"):
            async with started():
                pass

    asyncio.run(scene())


def test_what_is_missing_is_named_with_what_there_is(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        with pytest.raises(ManagerError) as caught:
            async with started(image="decirco", flavors=("s10.tiny", "huge"), key="nokey"):
                pass
        for text in ("image 'decirco' (there is: dacirco)", "flavor 'huge'", "s10.medium", "nokey"):
            assert text in str(caught.value)
        with pytest.raises(ManagerError, match="nocloud"):
            async with started(cloud="nocloud"):
                pass

    asyncio.run(scene())


def test_a_worker_deleted_by_others_is_gone(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        async with started() as watched:
            worker = await watched.spawn()
            await watched.placed(worker)
            (server,) = cloud.servers()
            cloud.connect().compute.delete_server(server)
            event = await watched.event(worker)
            assert isinstance(event, WorkerGone)
            assert "somebody else" in event.reason

    asyncio.run(scene())


def test_a_worker_is_stopped_while_it_builds(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        cloud.set_behaviour(boot_delay_s=(20.0, 20.0), guest=False)
        async with started() as watched:
            worker = await watched.spawn()
            await watched.manager.stop(worker)
            assert await watched.manager.find() == []
            assert watched.events == []

    asyncio.run(scene())
    assert cloud.servers() == []


def test_two_controllers_in_one_project_leave_each_other_alone(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        async with started() as one, started() as other:
            mine, theirs = await one.spawn(), await other.spawn()
            await one.placed(mine)
            await other.placed(theirs)
            assert [worker.worker_id for worker in await one.manager.find()] == [mine]
            await one.manager.stop(theirs)
            await one.manager.stop(mine)
            assert [worker.worker_id for worker in await other.manager.find()] == [theirs]
            assert other.events == []

    asyncio.run(scene())


def test_a_restarted_controller_finds_its_own(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        me = str(uuid.uuid4())
        cloud.set_behaviour(boot_delay_s=(6.0, 6.0), guest=False)
        async with started(controller_id=me) as first:
            worker = await first.spawn("s10.small")
        async with started(controller_id=me) as second:
            (found,) = await second.manager.find()
            assert (found.worker_id, found.flavor) == (worker, "s10.small")
            assert (found.node or await second.placed(worker)) in COMPUTES
            await second.manager.stop(worker)

    asyncio.run(scene())
    assert cloud.servers() == []


def test_an_api_that_is_away_loses_nothing(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        async with started(api_timeout_s=3.0) as watched:
            worker = await watched.spawn()
            await watched.placed(worker)
            outage = cloud.api_down("nova")
            await asyncio.to_thread(outage.__enter__)
            try:
                with pytest.raises(SpawnError):
                    await watched.spawn()
                with pytest.raises(ManagerError):
                    await watched.manager.find()
                await asyncio.sleep(3.0)  # the watcher must fail at least once
                assert watched.events == []
            finally:
                await asyncio.to_thread(outage.__exit__, None, None, None)
            assert [w.worker_id for w in await watched.manager.find()] == [worker]
            await watched.manager.stop(worker)

    asyncio.run(scene())


def test_an_order_whose_answer_was_lost_leaves_no_server(cloud: OpenStackCloud) -> None:
    """The API hangs: the client gives up, the server is made all the same, and then deleted."""

    async def scene() -> None:
        async with started(api_timeout_s=3.0) as watched:
            outage = cloud.api_down("nova", hang=True)
            await asyncio.to_thread(outage.__enter__)
            try:
                with pytest.raises(SpawnError):
                    await watched.spawn()
            finally:
                await asyncio.to_thread(outage.__exit__, None, None, None)
            survivor = await watched.spawn()
            await watched.placed(survivor)
            await until(lambda: len(cloud.servers()) == 1)
            assert [w.worker_id for w in await watched.manager.find()] == [survivor]

    asyncio.run(scene())


def test_without_an_admin_the_nodes_come_from_the_settings(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        nodes = (NodeConfig("a", 6, 16.0),)
        async with started(admin_cloud="", nodes=nodes) as watched:
            assert watched.config.nodes == nodes
            worker = await watched.spawn()
            await until(lambda: [s.status for s in cloud.servers()] == ["ACTIVE"])
            (found,) = await watched.manager.find()
            assert (found.worker_id, found.node) == (worker, None)
        with pytest.raises(ManagerError, match="nodes are not known"):
            async with started(admin_cloud=""):
                pass

    asyncio.run(scene())


def test_an_unknown_flavor_is_refused_before_the_cloud_is_asked(cloud: OpenStackCloud) -> None:
    async def scene() -> None:
        async with started() as watched:
            order = SpawnOrder(str(uuid.uuid4()), "tc-x", FlavorConfig("huge", 64, 1.0))
            with pytest.raises(SpawnError, match="huge"):
                await watched.manager.spawn(order)

    asyncio.run(scene())
