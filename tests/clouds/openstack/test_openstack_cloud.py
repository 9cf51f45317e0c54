"""The OpenStack that the tests set up behaves as the service will meet it, without the service."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest
from keystoneauth1.exceptions import ConnectFailure, ConnectTimeout
from openstack import exceptions

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.media.probe import probe
from tests.clouds.openstack.cloud import OWNER, Guest, OpenStackCloud
from tests.clouds.openstack.layout import COMPUTES
from tests.clouds.openstack.seed import FLAVORS, IMAGE, KEY_PAIR, NETWORK, SECURITY_GROUP
from tests.clouds.waiting import wait_for
from tests.deploy.scripted_controller import ScriptedController
from tests.deploy.worker_process import make_clip

USER_DATA = """#!/bin/bash
umask 077
cat > /etc/dacirco/environment <<'END'
TCWORKER_NAME=smoke
TCWORKER_ID="an id"
TCWORKER_LOG_FILE=/var/log/tc-worker.log
END
"""

# Stands in for dacirco_tc_worker: what it is started with is what these tests are about.
WORKER = """#!/bin/sh
echo "worker $TCWORKER_NAME with $TCWORKER_ID"
echo started > "$TCWORKER_LOG_FILE"
exec sleep 600
"""


def boot(owner: Any, name: str, flavor: str = "s10.tiny", user_data: str = USER_DATA) -> Any:
    return owner.compute.create_server(
        name=name,
        image_id=owner.image.find_image(IMAGE, ignore_missing=False).id,
        flavor_id=owner.compute.find_flavor(flavor, ignore_missing=False).id,
        networks=[{"uuid": owner.network.find_network(NETWORK, ignore_missing=False).id}],
        key_name=KEY_PAIR,
        security_groups=[{"name": SECURITY_GROUP}],
        user_data=base64.b64encode(user_data.encode()).decode(),
    )


def active(owner: Any, server: Any) -> Any:
    return owner.compute.wait_for_server(server, interval=0.3, wait=120)


@pytest.fixture
def cloud(openstack_cloud: OpenStackCloud, tmp_path: Path) -> OpenStackCloud:
    worker = tmp_path / "worker"
    worker.write_text(WORKER)
    worker.chmod(0o755)
    openstack_cloud.set_behaviour(worker=worker)
    return openstack_cloud


def guest_of(cloud: OpenStackCloud, server: Any) -> Guest:
    return wait_for(lambda: cloud.guests().get(server.id), f"the guest of {server.name}")


def test_a_server_of_each_flavor_runs_its_user_data_and_worker(cloud: OpenStackCloud) -> None:
    owner = cloud.connect(OWNER)
    servers = [active(owner, boot(owner, flavor, flavor)) for flavor in FLAVORS]

    hosts = {server.hypervisor_hostname for server in cloud.servers()}
    assert hosts == set(COMPUTES)
    for server in servers:
        guest = guest_of(cloud, server)
        wait_for(lambda guest=guest: "worker smoke with an id" in guest.log, "the worker")
        assert guest.alive
    assert owner.compute.get_server(servers[0].id).hypervisor_hostname is None
    assert not Path("/etc/dacirco").exists()  # the machine's own /etc is not the guest's
    assert not Path("/var/log/tc-worker.log").exists()

    processes = [
        process
        for server in servers
        for process in psutil.Process(guest_of(cloud, server).pid).children(recursive=True)
    ]
    for server in servers:
        owner.compute.delete_server(server)
    for server in servers:
        owner.compute.wait_for_delete(server, interval=0.3, wait=180)
    assert cloud.leaks() == []
    wait_for(lambda: not any(process.is_running() for process in processes), "the plug's pull")


def test_our_worker_transcodes_in_a_guest(openstack_cloud: OpenStackCloud, tmp_path: Path) -> None:
    (tmp_path / "input-videos").mkdir()
    make_clip(tmp_path / "input-videos" / "clip.mp4")
    with ScriptedController() as controller:
        worker_id = str(uuid.uuid4())
        variables = {
            "TCWORKER_GRPC_SERVER": "127.0.0.1",
            "TCWORKER_GRPC_PORT": str(controller.port),
            "TCWORKER_NAME": "in-a-guest",
            "TCWORKER_ID": worker_id,
            "TCWORKER_STORAGE": f"dir://{tmp_path}",
            "TCWORKER_LOG_FILE": "/var/log/tc-worker.log",
        }
        lines = "\n".join(f"{key}={value}" for key, value in variables.items())
        owner = openstack_cloud.connect(OWNER)
        script = f"#!/bin/bash\ncat > /etc/dacirco/environment <<'END'\n{lines}\nEND\n"
        server = active(owner, boot(owner, "in-a-guest", user_data=script))
        wait_for(lambda: controller.registered, "the worker")
        controller.send(
            pb.TCTask(
                input_video="clip.mp4",
                output_video="out-clip.mp4",
                bitrate=500,
                speed="ultrafast",
                request_id="request",
                worker_id=worker_id,
                task_id="task",
            )
        )
        controller.wait_for("task", "FILE_UPLOADED")
        guest = guest_of(openstack_cloud, server)
        owner.compute.delete_server(server)
        owner.compute.wait_for_delete(server, interval=0.3, wait=180)
        wait_for(lambda: not (guest.folder / "disk").exists(), "the disk's end")
    assert probe(tmp_path / "output-videos" / "out-clip.mp4").video == "hevc"


def test_a_full_cluster_finds_no_valid_host(cloud: OpenStackCloud) -> None:
    cloud.set_behaviour(guest=False)
    owner = cloud.connect(OWNER)
    plan = ["s10.medium"] * 3 + ["s10.small"] * 3
    for number, flavor in enumerate(plan):
        active(owner, boot(owner, f"full{number}", flavor))

    extra = boot(owner, "extra")
    with pytest.raises(exceptions.ResourceFailure):
        active(owner, extra)
    assert "No valid host" in owner.compute.get_server(extra.id).fault["message"]


def test_a_quota_refuses_with_403(cloud: OpenStackCloud) -> None:
    owner = cloud.connect(OWNER)
    with cloud.quota(cores=2):
        with pytest.raises(exceptions.ForbiddenException, match=r"[Qq]uota exceeded for cores"):
            boot(owner, "too-large", "s10.medium")
        limits = owner.compute.get("/limits").json()["limits"]["absolute"]
        assert limits["maxTotalCores"] == 2
    assert cloud.leaks() == []


def test_a_host_that_fails_builds(cloud: OpenStackCloud) -> None:
    cloud.set_behaviour(boot_delay_s=(0.1, 0.2), refuse="no power", guest=False)
    cloud.set_behaviour(["compute2"], guest=False)
    owner = cloud.connect(OWNER)
    server = active(owner, boot(owner, "elsewhere"))  # Nova tries the next host
    assert guest_of(cloud, server).host == "compute2"

    cloud.set_behaviour(refuse="no power")
    refused = boot(owner, "nowhere")
    with pytest.raises(exceptions.ResourceFailure):
        active(owner, refused)


def test_a_slow_boot_can_be_deleted_while_building(cloud: OpenStackCloud) -> None:
    cloud.set_behaviour(boot_delay_s=(5, 6))
    owner = cloud.connect(OWNER)
    server = boot(owner, "slow")
    wait_for(
        lambda: owner.compute.get_server(server.id).task_state == "spawning", "the host's build"
    )
    owner.compute.delete_server(server)
    owner.compute.wait_for_delete(server, interval=0.3, wait=180)
    wait_for(lambda: not cloud.leaks(), "an empty project")


def test_a_guest_that_dies_is_shut_off(cloud: OpenStackCloud) -> None:
    owner = cloud.connect(OWNER)
    server = active(owner, boot(owner, "mortal"))
    guest = guest_of(cloud, server)
    wait_for(lambda: "worker smoke" in guest.log, "the worker")

    guest.kill_worker()  # the VM runs on
    wait_for(lambda: "ended with -9" in guest.log, "the worker's end")
    assert cloud.guests()[server.id].alive

    guest.kill()
    wait_for(lambda: owner.compute.get_server(server.id).status == "SHUTOFF", "SHUTOFF")
    assert not cloud.guests()[server.id].alive


def test_a_compute_node_goes_down_and_comes_back(cloud: OpenStackCloud) -> None:
    owner = cloud.connect(OWNER)
    server = active(owner, boot(owner, "on-a-node"))
    host = guest_of(cloud, server).host
    cloud.stop_compute(host)
    assert not guest_of(cloud, server).alive
    cloud.await_compute(host, state="down")
    cloud.start_compute(host)
    cloud.await_compute(host, state="up")
    wait_for(lambda: owner.compute.get_server(server.id).status == "SHUTOFF", "SHUTOFF")
    owner.compute.delete_server(server)
    owner.compute.wait_for_delete(server, interval=0.3, wait=180)
    assert cloud.leaks() == []


def test_nova_is_away_and_hangs(cloud: OpenStackCloud) -> None:
    owner = cloud.connect(OWNER)
    assert list(owner.compute.servers()) == []
    with cloud.api_down(), pytest.raises(ConnectFailure):
        list(owner.compute.servers())
    with cloud.api_down(hang=True), pytest.raises(ConnectTimeout):
        owner.compute.get("/servers", timeout=2, connect_retries=0)
    assert list(owner.compute.servers()) == []
