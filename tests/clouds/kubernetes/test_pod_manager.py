"""The pod manager against a real API server, without the controller above it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, utils

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
from deploy.managers.pod.manager import PodManager
from deploy.managers.pod.settings import PodSettings, PodType
from env.config import ClusterConfig, FlavorConfig
from tests.clouds.kubernetes.cluster import NODES, KubernetesCluster, Pod

FLAVORS = (FlavorConfig("s10.tiny", 1, 2.0), FlavorConfig("s10.medium", 4, 8.0))
NOBODY = WorkerLink(
    "127.0.0.1", 1, minio_server="10.9.9.9", minio_access_key="s3-user", minio_secret_key="s3-key"
)
"""No controller listens there: these tests are about pods, not about workers."""
MANIFESTS = Path(__file__).parents[3] / "deploy" / "manifests"


@pytest.fixture
def cluster(kubernetes_cluster: KubernetesCluster, tmp_path: Path) -> KubernetesCluster:
    worker = tmp_path / "worker"
    worker.write_text("#!/bin/sh\nexec sleep 600\n")
    worker.chmod(0o755)
    kubernetes_cluster.set_behaviour(worker=worker)
    return kubernetes_cluster


class Watched:
    """A started manager and what it told."""

    def __init__(self, manager: PodManager, cluster: KubernetesCluster) -> None:
        self.manager, self.cluster = manager, cluster
        self.events: list[ManagerEvent] = []
        self.secrets: dict[str, str] = {}
        self.config: ClusterConfig

    async def spawn(self, flavor: FlavorConfig = FLAVORS[0]) -> str:
        """Order a worker and return its id."""
        worker_id = str(uuid.uuid4())
        self.secrets[worker_id] = secret = str(uuid.uuid4())
        order = SpawnOrder(worker_id, f"tc-{worker_id[:8]}", flavor, secret=secret)
        await self.manager.spawn(order)
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

    async def gone(self, worker_id: str) -> str:
        """Why a worker is gone."""
        event = await self.event(worker_id)
        assert isinstance(event, WorkerGone), event
        return event.reason

    async def pod(self, worker_id: str) -> Pod:
        """The worker's running pod."""
        name = f"tc-{worker_id[:8]}"

        def uid() -> str | None:
            for pod in self.cluster.pods():
                if pod.metadata.name == name and pod.status.phase == "Running":
                    return str(pod.metadata.uid)
            return None

        await until(lambda: uid() is not None)
        return await asyncio.to_thread(lambda: self.cluster.pod(uid() or ""))


@asynccontextmanager
async def started(cluster: KubernetesCluster, **changes: Any) -> AsyncIterator[Watched]:
    settings = PodSettings(
        str(uuid.uuid4()),
        flavors=FLAVORS,
        kubeconfig=str(cluster.kubeconfig),
        unschedulable_s=1.0,
        grace_s=2,
        stop_timeout_s=20.0,
    )
    watched = Watched(PodManager(replace(settings, **changes), NOBODY), cluster)
    watched.config = await watched.manager.start(watched.events.append)
    try:
        yield watched
    finally:
        await watched.manager.close()


async def until(holds: Callable[[], bool], timeout_s: float = 180.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.2)


def test_the_namespace_is_made_and_the_nodes_are_read(cluster: KubernetesCluster) -> None:
    async def scene() -> None:
        async with started(cluster) as watched:
            assert [node.name for node in watched.config.nodes] == list(NODES)
            assert {(node.cores, node.ram_gib) for node in watched.config.nodes} == {(6, 16.0)}
        spaces = {space.metadata.name for space in cluster.core().list_namespace().items}
        assert "dacirco" in spaces
        with pytest.raises(ManagerError, match="disk"):
            async with started(cluster, node_selector={"disk": "none"}):
                pass

    asyncio.run(scene())


def test_workers_run_and_stop_and_leave_nothing(cluster: KubernetesCluster) -> None:
    async def scene() -> None:
        async with started(cluster, placement="spread") as watched:
            workers = [await watched.spawn() for _ in range(3)]
            assert {await watched.placed(worker) for worker in workers} == set(NODES)
            found = await watched.manager.find()
            assert {(w.worker_id, w.flavor) for w in found} == {(w, "s10.tiny") for w in workers}
            one_more = await watched.spawn()
            event = await watched.event(one_more)
            assert isinstance(event, SpawnFailed)
            assert "Unschedulable" in event.reason
            await asyncio.gather(*(watched.manager.stop(worker) for worker in workers))
            await watched.manager.stop(workers[0])  # once more is no error
            assert await watched.manager.find() == []
            await until(lambda: cluster.leaks() == [])
            assert watched.events == []

    asyncio.run(scene())


def test_the_workers_secrets_are_in_a_secret_that_goes_with_its_pod(
    cluster: KubernetesCluster, tmp_path: Path
) -> None:
    worker = tmp_path / "telling-worker"
    worker.write_text(
        "#!/bin/sh\n"
        'echo "told $TCWORKER_ID $TCWORKER_MINIO_ACCESS_KEY $TCWORKER_MINIO_SECRET_KEY"\n'
        "exec sleep 600\n"
    )
    worker.chmod(0o755)
    cluster.set_behaviour(worker=worker)

    def secrets() -> list[Any]:
        found = cluster.core().list_namespaced_secret("dacirco", label_selector="app=tc-worker")
        return list(found.items)

    async def scene() -> None:
        async with started(cluster) as watched:
            stopped, killed, orphaned = [await watched.spawn() for _ in range(3)]
            for worker_id in (stopped, killed, orphaned):
                await watched.placed(worker_id)
                pod = await watched.pod(worker_id)
                told = f"told {watched.secrets[worker_id]} s3-user s3-key"
                await until(lambda pod=pod, told=told: told in pod.log)
            kept = str(cluster.pods()) + str([secret.metadata for secret in secrets()])
            for hidden in (*watched.secrets.values(), "s3-user", "s3-key"):
                assert hidden not in kept
            assert len(secrets()) == 3
            await watched.manager.stop(stopped)
            await asyncio.to_thread((await watched.pod(killed)).kill)
            await watched.gone(killed)
        # Without a controller, too: Kubernetes itself removes what a pod leaves behind.
        cluster.core().delete_namespaced_pod(f"tc-{orphaned[:8]}", "dacirco")
        await until(lambda: secrets() == [])

    asyncio.run(scene())


def test_workers_can_be_concentrated(cluster: KubernetesCluster) -> None:
    async def scene() -> None:
        async with started(cluster, placement="concentrate") as watched:
            workers = [await watched.spawn() for _ in range(3)]
            assert len({await watched.placed(worker) for worker in workers}) == 1

    asyncio.run(scene())


def test_preferences_bend_and_types_of_pod_are_what_they_say(cluster: KubernetesCluster) -> None:
    """With one node only for it, a preferred spread still places all; nothing is reserved."""
    types = {"s10.tiny": PodType(cpu_request="500m", node_selector=NODES[1])}

    async def scene() -> None:
        async with started(
            cluster, placement="spread", preferred=True, flavors=FLAVORS[:1], types=types
        ) as watched:
            assert [node.name for node in watched.config.nodes] == [NODES[1]]
            assert watched.config.max_workers is None
            workers = [await watched.spawn() for _ in range(2)]
            assert {await watched.placed(worker) for worker in workers} == {NODES[1]}
            for pod in cluster.pods():
                (container,) = pod.spec.containers
                assert container.resources.requests == {"cpu": "500m"}
                assert container.resources.limits is None

    asyncio.run(scene())


def test_a_full_cluster_is_a_failed_spawn(cluster: KubernetesCluster) -> None:
    async def scene() -> None:
        async with started(cluster) as watched:
            for _ in NODES:
                await watched.placed(await watched.spawn(FLAVORS[1]))
            event = await watched.event(await watched.spawn(FLAVORS[1]))
            assert isinstance(event, SpawnFailed)
            assert "Insufficient cpu" in event.reason
            await until(lambda: len(cluster.pods()) == len(NODES))

    asyncio.run(scene())


def test_an_image_that_cannot_be_pulled_is_a_failed_spawn(cluster: KubernetesCluster) -> None:
    async def scene() -> None:
        cluster.set_behaviour(image=False)
        async with started(cluster) as watched:
            worker = await watched.spawn()
            await watched.placed(worker)
            event = await watched.event(worker)
            assert isinstance(event, SpawnFailed)
            assert "ErrImagePull" in event.reason or "ImagePullBackOff" in event.reason
            await until(lambda: cluster.leaks() == [])

    asyncio.run(scene())


def test_each_way_of_dying_is_told_with_its_reason(cluster: KubernetesCluster) -> None:
    async def scene() -> None:
        async with started(cluster) as watched:
            ways: list[tuple[Callable[[Pod], None], str]] = [
                (Pod.kill, "Error"),
                (Pod.kill_for_memory, "OOMKilled"),
                (Pod.evict, "Evicted"),
            ]
            for die, reason in ways:
                worker = await watched.spawn()
                await watched.placed(worker)
                pod = await watched.pod(worker)
                await asyncio.to_thread(die, pod)
                assert reason in await watched.gone(worker)
            worker = await watched.spawn()
            await watched.placed(worker)
            await watched.pod(worker)
            cluster.core().delete_namespaced_pod(f"tc-{worker[:8]}", "dacirco")
            assert "somebody else" in await watched.gone(worker)
            await until(lambda: cluster.leaks() == [])

    asyncio.run(scene())


def test_an_api_server_that_restarts_loses_nothing(cluster: KubernetesCluster) -> None:
    async def scene() -> None:
        async with started(cluster) as watched:
            stays, dies = await watched.spawn(), await watched.spawn()
            await watched.placed(stays)
            await watched.placed(dies)
            pod = await watched.pod(dies)
            outage = cluster.api_down()
            await asyncio.to_thread(outage.__enter__)
            try:
                with pytest.raises(SpawnError):
                    await watched.spawn()
                await asyncio.to_thread(pod.kill)
            finally:
                await asyncio.to_thread(outage.__exit__, None, None, None)
            # What happened while nobody watched is found out.
            assert "Error" in await watched.gone(dies)
            await until(lambda: len(cluster.pods()) == 1)
            assert [w.worker_id for w in await watched.manager.find()] == [stays]

    asyncio.run(scene())


def test_a_node_that_is_down_does_not_keep_its_pod(cluster: KubernetesCluster) -> None:
    async def scene() -> None:
        async with started(cluster, stop_timeout_s=3.0) as watched:
            worker = await watched.spawn()
            node = await watched.placed(worker)
            await watched.pod(worker)
            await asyncio.to_thread(cluster.stop_node, node)
            await watched.manager.stop(worker)  # as the controller does once it is silent
            await until(lambda: cluster.leaks() == [])

    asyncio.run(scene())


def test_a_restarted_controller_finds_its_own_and_no_others(cluster: KubernetesCluster) -> None:
    async def scene() -> None:
        me = str(uuid.uuid4())
        async with started(cluster, controller_id=me) as first, started(cluster) as stranger:
            mine = await first.spawn(FLAVORS[1])
            theirs = await stranger.spawn()
            await first.placed(mine)
            await stranger.placed(theirs)
        async with started(cluster, controller_id=me) as second:
            (found,) = await second.manager.find()
            assert (found.worker_id, found.flavor) == (mine, "s10.medium")
            assert found.node in NODES
            await second.manager.stop(theirs)
            await second.manager.stop(mine)
            await until(lambda: len(cluster.pods()) == 1)

    asyncio.run(scene())


def test_the_manifests_rights_are_enough(cluster: KubernetesCluster, tmp_path: Path) -> None:
    """Everything above the namespace is applied for real; the manager runs with its rights."""
    api = config.new_client_from_config(str(cluster.kubeconfig))
    for name in ("namespace", "rbac", "controller", "rest-api", "network-policy"):
        for document in yaml.safe_load_all((MANIFESTS / f"{name}.yaml").read_text()):
            if document["kind"] == "Deployment":
                continue  # their image is not here: checked by the server without being kept
            document["metadata"]["namespace"] = "dacirco"
            utils.create_from_dict(api, document)
    apps = client.AppsV1Api(api)
    for name in ("controller", "rest-api"):
        for document in yaml.safe_load_all((MANIFESTS / f"{name}.yaml").read_text()):
            if document["kind"] == "Deployment":
                apps.create_namespaced_deployment("dacirco", document, dry_run="All")
    kubeconfig = cluster.account_kubeconfig("dacirco-controller", "dacirco", tmp_path / "config")

    async def scene() -> None:
        async with started(cluster, kubeconfig=str(kubeconfig)) as watched:
            worker = await watched.spawn()
            await watched.placed(worker)
            await watched.manager.stop(worker)

    asyncio.run(scene())
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    for forbidden in (
        lambda: core.list_namespaced_pod("kube-system"),
        lambda: core.list_namespaced_secret("dacirco"),
        lambda: core.delete_node(NODES[0]),
    ):
        with pytest.raises(client.ApiException) as caught:
            forbidden()
        assert caught.value.status == 403
