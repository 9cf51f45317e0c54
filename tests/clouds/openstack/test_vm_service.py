"""The whole service on VMs of a real OpenStack: real controller, real workers, real ffmpeg."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clouds.live import LiveController, living
from tests.clouds.openstack.cloud import OpenStackCloud
from tests.clouds.openstack.layout import COMPUTES
from tests.clouds.waiting import wait_for

FROZEN = Path(__file__).parents[3] / "models" / "dacirco"
QUICK = ("--keepalive-timeout", "25", "--max-attempts", "5", "--stop-workers")
WORKERS_ON_EACH_NODE = (
    *("--scheduler", "minimize-workers:flavor=s10.tiny", "--flavors"),
    *("s10.tiny,s10.small,s10.medium", "--max-workers", "6"),
)


@pytest.fixture
def cloud(openstack_cloud: OpenStackCloud) -> OpenStackCloud:
    return openstack_cloud


class Site:
    """Controllers of one test, in folders of their own, and the cloud below them."""

    def __init__(self, cloud: OpenStackCloud, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self._count = 0

    def controller(self, *options: str) -> LiveController:
        """A controller that is not started; its storage is its own."""
        self._count += 1
        folder = self.folder / f"controller{self._count}"
        folder.mkdir()
        environment = {"OS_CLIENT_CONFIG_FILE": str(self.cloud.clouds_file)}
        return LiveController(
            folder, ("--runner-type", "vm", *QUICK, *options), environment, folder / "storage"
        )


@pytest.fixture
def site(cloud: OpenStackCloud, tmp_path: Path) -> Iterator[Site]:
    yield Site(cloud, tmp_path)
    # Every controller was ended with its workers: nothing of theirs is left.
    wait_for(lambda: cloud.servers() == [], "an empty project", timeout_s=60)


def test_ten_jobs_under_the_frozen_policy(site: Site) -> None:
    controller = site.controller("--scheduler", str(FROZEN), "--max-workers", "18")
    with living(controller):
        ids = controller.submit(10)
        controller.await_completed(ids)
        controller.check_each_job_ended_once(ids)
        sources = {e["source"] for e in controller.events() if e["code"] == "EV20"}
        assert "policy" in sources
        nodes = {e["node"] for e in controller.events() if e["code"] == "EV11"}
        assert nodes <= set(COMPUTES)


def test_a_guest_that_dies_while_transcoding_costs_no_job(site: Site) -> None:
    controller = site.controller(*WORKERS_ON_EACH_NODE)
    with living(controller):
        ids = controller.submit(8)
        controller.await_event("EV5")
        running = [guest for guest in site.cloud.guests().values() if guest.alive]
        running[0].kill()
        controller.await_completed(ids)
        controller.check_each_job_ended_once(ids)
        controller.await_event("EV23")


def test_a_node_that_goes_down_costs_no_job(site: Site) -> None:
    controller = site.controller(*WORKERS_ON_EACH_NODE, "--os-placement", "spread")
    with living(controller):
        ids = controller.submit(8)
        controller.await_event("EV11", 3)
        site.cloud.stop_compute("compute2")
        try:
            controller.await_completed(ids)
        finally:
            site.cloud.start_compute("compute2")
            site.cloud.await_compute("compute2", state="up")
        controller.check_each_job_ended_once(ids)


def test_a_vm_that_never_registers_is_a_failed_spawn(site: Site) -> None:
    site.cloud.set_behaviour(guest=False)
    controller = site.controller(*WORKERS_ON_EACH_NODE, "--boot-timeout", "15")
    with living(controller):
        ids = controller.submit(1)
        controller.await_event("EV22")
        site.cloud.reset_behaviour()
        controller.await_completed(ids)
        wait_for(lambda: len(site.cloud.servers()) <= 2, "no leaked server", timeout_s=60)


def test_an_api_that_is_away_for_half_a_minute_costs_no_job(site: Site) -> None:
    controller = site.controller(*WORKERS_ON_EACH_NODE)
    with living(controller):
        ids = controller.submit(3)
        controller.await_event("EV3")
        with site.cloud.api_down("nova"):
            ids += controller.submit(5, first=3)  # accepted while the cloud is away
            time.sleep(30)
        controller.await_completed(ids)
        controller.check_each_job_ended_once(ids)


def test_a_killed_controller_goes_on_with_its_vms(site: Site) -> None:
    site.cloud.set_behaviour(boot_delay_s=(3.0, 6.0))
    controller = site.controller(*WORKERS_ON_EACH_NODE)
    with living(controller):
        ids = controller.submit(6)
        controller.await_event("EV2", 2)
        controller.kill()  # servers are building
        controller.start()
        controller.await_event("EV5")
        controller.kill()  # and now transcoding
        controller.start()
        ids += controller.submit(4, first=6)
        controller.await_completed(ids)
        controller.check_each_job_ended_once(ids)
        adopted = [e["worker_id"] for e in controller.events() if e["code"] == "EV27"]
        assert adopted
        lives = [e["controller_id"] for e in controller.events() if e["code"] == "EV26"]
        assert len(lives) == 3
        assert len(set(lives)) == 1
        created = [e["worker_id"] for e in controller.events() if e["code"] == "EV2"]
        assert len(created) == len(set(created))
        # What runs is what the controller knows: no server of a forgotten order.
        names = {e["name"] for e in controller.events() if e["code"] == "EV2"}
        assert {server.name for server in site.cloud.servers()} <= names


def test_two_controllers_share_a_project(site: Site) -> None:
    one = site.controller(*WORKERS_ON_EACH_NODE)
    other = site.controller(*WORKERS_ON_EACH_NODE)
    with living(one), living(other):
        mine, theirs = one.submit(5), other.submit(5)
        one.await_completed(mine)
        other.await_completed(theirs)
        one.check_each_job_ended_once(mine)
        other.check_each_job_ended_once(theirs)
        assert not {"EV23", "EV28"} & (set(one.codes()) | set(other.codes()))
