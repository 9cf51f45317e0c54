"""The whole service on pods of a real Kubernetes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.clouds.kubernetes.cluster import NODES, KubernetesCluster, Pod
from tests.clouds.live import living
from tests.clouds.service_scenes import ServiceScenes, Site


class PodSite(Site):
    """See `Site`."""

    runner = "pod"
    nodes = NODES

    def __init__(self, cluster: KubernetesCluster, folder: Path) -> None:
        super().__init__(folder)
        self.cluster = cluster
        self._idler = folder / "idler"
        self._idler.write_text("#!/bin/sh\nexec sleep 600\n")
        self._idler.chmod(0o755)

    def credentials(self) -> Mapping[str, str]:
        return {"KUBECONFIG": str(self.cluster.kubeconfig)}

    def workers(self) -> dict[str, str | None]:
        return {pod.metadata.name: pod.spec.node_name for pod in self.cluster.pods()}

    def deaths(self) -> tuple[Callable[[str], None], Callable[[str], None]]:
        return lambda name: self._pod(name).kill(), lambda name: self._pod(name).evict()

    def _pod(self, name: str) -> Pod:
        (found,) = (pod for pod in self.cluster.pods() if pod.metadata.name == name)
        return self.cluster.pod(found.metadata.uid)

    def slow_boots(self, least_s: float, most_s: float) -> None:
        self.cluster.set_behaviour(start_delay_s=(least_s, most_s))

    def silent_boots(self) -> None:
        self.cluster.set_behaviour(worker=self._idler)

    def good_boots(self) -> None:
        self.cluster.reset_behaviour()

    @contextmanager
    def node_down(self, node: str) -> Iterator[None]:
        self.cluster.stop_node(node)
        try:
            yield
        finally:
            self.cluster.start_node(node)
            self.cluster.await_node(node, ready=True)

    def api_down(self) -> AbstractContextManager[None]:
        return self.cluster.api_down()


class TestPodService(ServiceScenes):
    @pytest.fixture
    def bare_site(self, kubernetes_cluster: KubernetesCluster, tmp_path: Path) -> Site:
        return PodSite(kubernetes_cluster, tmp_path)

    def test_the_old_options_still_work(self, site: Site) -> None:
        options = ("--algorithm", "grace-period", "--max-idle-time", "5", "--pod-cpus", "1")
        controller = site.controller(*options, "--pod-memory", "1Gi", "--spread-pods")
        with living(controller):
            ids = controller.submit(4)
            controller.await_completed(ids)
            registered = [e for e in controller.events() if e["code"] == "EV11"]
            assert {(e["cpus"], e["memory"]) for e in registered} == {("1", "1")}
            assert len({e["node"] for e in registered}) == 2  # two workers at most, spread
            controller.await_event("EV8", 2)  # and ended when idle for five seconds
