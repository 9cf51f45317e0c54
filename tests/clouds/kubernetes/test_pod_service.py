"""The whole service on pods of a real Kubernetes: real controller, real workers, real ffmpeg."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clouds.kubernetes.cluster import NODES, KubernetesCluster, Pod
from tests.clouds.live import LiveController, living
from tests.clouds.waiting import wait_for

FROZEN = Path(__file__).parents[3] / "models" / "dacirco"
QUICK = ("--keepalive-timeout", "25", "--max-attempts", "5", "--stop-workers")
SIX_TINY = (
    *("--scheduler", "minimize-workers:flavor=s10.tiny", "--flavors"),
    *("s10.tiny,s10.small,s10.medium", "--max-workers", "6"),
)


class Site:
    """Controllers of one test, in folders of their own, and the cluster below them."""

    def __init__(self, cluster: KubernetesCluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self._count = 0

    def controller(self, *options: str) -> LiveController:
        """A controller that is not started; its storage is its own."""
        self._count += 1
        folder = self.folder / f"controller{self._count}"
        folder.mkdir()
        return LiveController(
            folder,
            ("--runner-type", "pod", *QUICK, *options),
            {"KUBECONFIG": str(self.cluster.kubeconfig)},
            folder / "storage",
        )

    def running(self) -> list[Pod]:
        """The pods whose containers run."""
        return [
            self.cluster.pod(pod.metadata.uid)
            for pod in self.cluster.pods()
            if pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None
        ]


@pytest.fixture
def site(kubernetes_cluster: KubernetesCluster, tmp_path: Path) -> Iterator[Site]:
    yield Site(kubernetes_cluster, tmp_path)
    # Every controller was ended with its workers: nothing of theirs is left.
    wait_for(lambda: kubernetes_cluster.leaks() == [], "a cluster without pods", timeout_s=60)


def test_ten_jobs_under_the_frozen_policy(site: Site) -> None:
    controller = site.controller("--scheduler", str(FROZEN), "--max-workers", "18")
    with living(controller):
        ids = controller.submit(10)
        controller.await_completed(ids)
        controller.check_each_job_ended_once(ids)
        sources = {e["source"] for e in controller.events() if e["code"] == "EV20"}
        assert "policy" in sources
        nodes = {e["node"] for e in controller.events() if e["code"] == "EV11"}
        assert nodes <= set(NODES)


def test_the_old_options_still_work(site: Site) -> None:
    options = ("--algorithm", "grace-period", "--max-idle-time", "5", "--pod-cpus", "1")
    controller = site.controller(*options, "--pod-memory", "1Gi", "--spread-pods")
    with living(controller):
        ids = controller.submit(4)
        controller.await_completed(ids)
        registered = [e for e in controller.events() if e["code"] == "EV11"]
        assert {(e["cpus"], e["memory"]) for e in registered} == {("1", "1")}
        assert len({e["node"] for e in registered}) == 2  # two workers at most, spread
        controller.await_event("EV8", 2)  # and ended when idle for five seconds


def test_pods_that_die_cost_no_job(site: Site) -> None:
    controller = site.controller(*SIX_TINY)
    with living(controller):
        ids = controller.submit(8)
        controller.await_event("EV5", 3)
        for pod, die in zip(site.running(), (Pod.kill, Pod.evict), strict=False):
            die(pod)
        controller.await_completed(ids)
        controller.check_each_job_ended_once(ids)
        codes = controller.codes()
        assert codes["EV22"] + codes["EV23"] == 2  # a pod may die before it has registered


def test_a_node_that_goes_down_costs_no_job(site: Site) -> None:
    controller = site.controller(*SIX_TINY)
    with living(controller):
        ids = controller.submit(8)
        controller.await_event("EV11", 3)
        site.cluster.stop_node("compute2")
        try:
            controller.await_completed(ids)
        finally:
            site.cluster.start_node("compute2")
            site.cluster.await_node("compute2", ready=True)
        controller.check_each_job_ended_once(ids)


def test_an_api_server_that_is_away_for_half_a_minute_costs_no_job(site: Site) -> None:
    controller = site.controller(*SIX_TINY)
    with living(controller):
        ids = controller.submit(3)
        controller.await_event("EV3")
        with site.cluster.api_down():
            ids += controller.submit(5, first=3)  # accepted while the API server is away
            time.sleep(30)
        controller.await_completed(ids)
        controller.check_each_job_ended_once(ids)


def test_a_killed_controller_goes_on_with_its_pods(site: Site) -> None:
    site.cluster.set_behaviour(start_delay_s=(3.0, 6.0))
    controller = site.controller(*SIX_TINY)
    with living(controller):
        ids = controller.submit(6)
        controller.await_event("EV2", 2)
        controller.kill()  # containers are being made
        controller.start()
        controller.await_event("EV5")
        controller.kill()  # and now transcode
        controller.start()
        ids += controller.submit(4, first=6)
        controller.await_completed(ids)
        controller.check_each_job_ended_once(ids)
        assert controller.codes()["EV27"] > 0
        created = [e["worker_id"] for e in controller.events() if e["code"] == "EV2"]
        assert len(created) == len(set(created))
        names = {e["name"] for e in controller.events() if e["code"] == "EV2"}
        assert {pod.metadata.name for pod in site.cluster.pods()} <= names


def test_two_controllers_share_a_namespace(site: Site) -> None:
    one, other = site.controller(*SIX_TINY), site.controller(*SIX_TINY)
    with living(one), living(other):
        mine, theirs = one.submit(5), other.submit(5)
        one.await_completed(mine)
        other.await_completed(theirs)
        one.check_each_job_ended_once(mine)
        other.check_each_job_ended_once(theirs)
        assert not {"EV23", "EV28"} & (set(one.codes()) | set(other.codes()))
