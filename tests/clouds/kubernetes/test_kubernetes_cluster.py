"""The Kubernetes that the tests set up behaves as the service will meet it, without the service."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from urllib3.exceptions import HTTPError

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.media.probe import probe
from tests.clouds.kubernetes.cluster import IMAGE, NODES, KubernetesCluster
from tests.clouds.kubernetes.pod import Pod
from tests.clouds.waiting import wait_for
from tests.deploy.scripted_controller import ScriptedController
from tests.deploy.worker_process import make_clip

NAMESPACE = "smoke"

# Stands in for dacirco_tc_worker: what it is started with is what these tests are about.
WORKER = """#!/bin/sh
trap 'echo told to end; exit 0' TERM
echo "worker $TCWORKER_NAME on $NODE with $SECRET"
sleep 600 &
wait
"""


@pytest.fixture
def cluster(kubernetes_cluster: KubernetesCluster, tmp_path: Path) -> KubernetesCluster:
    worker = tmp_path / "worker"
    worker.write_text(WORKER)
    worker.chmod(0o755)
    kubernetes_cluster.set_behaviour(worker=worker)
    core = kubernetes_cluster.core()
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    core.create_namespaced_secret(
        NAMESPACE, {"metadata": {"name": "keys"}, "stringData": {"key": "a secret"}}
    )
    # Without its token a pod is refused with 500 and asked to come again.
    wait_for(
        lambda: any(
            account.secrets for account in core.list_namespaced_service_account(NAMESPACE).items
        ),
        "the default account's token",
    )
    return kubernetes_cluster


@pytest.fixture
def core(cluster: KubernetesCluster) -> Iterator[Any]:
    api = cluster.core()
    yield api
    api.api_client.close()


def create(core: Any, name: str, cpu: str = "1", memory: str = "1Gi", **container: Any) -> str:
    """Create a pod; returns its uid."""
    variables = [
        {"name": "TCWORKER_NAME", "value": name},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
    ]
    amounts = {"cpu": cpu, "memory": memory}
    worker = {
        "name": "worker",
        "image": f"{IMAGE}:latest",
        "env": variables,
        "resources": {"requests": amounts, "limits": amounts},
        **container,
    }
    pod = {
        "metadata": {"name": name, "labels": {"app": "tc-worker"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "containers": [worker],
        },
    }
    return str(core.create_namespaced_pod(NAMESPACE, pod).metadata.uid)


def reach(core: Any, name: str, phase: str) -> Any:
    """Wait until the pod is in the phase."""

    def probe() -> Any:
        pod = core.read_namespaced_pod(name, NAMESPACE)
        return pod if pod.status.phase == phase else None

    return wait_for(probe, f"pod {name} {phase}")


def gone(core: Any, name: str) -> bool:
    return name not in {pod.metadata.name for pod in core.list_namespaced_pod(NAMESPACE).items}


def end_of(pod: Any) -> tuple[str, int]:
    state = pod.status.container_statuses[0].state.terminated
    return state.reason, state.exit_code


def started(cluster: KubernetesCluster, core: Any, name: str) -> Pod:
    pod = cluster.pod(create(core, name))
    reach(core, name, "Running")
    wait_for(lambda: "a secret" in pod.log, "the worker")
    return pod


def test_a_pod_runs_on_a_node_and_ends_when_deleted(cluster: KubernetesCluster, core: Any) -> None:
    pod = started(cluster, core, "one")
    node = core.read_namespaced_pod("one", NAMESPACE).spec.node_name
    assert node in NODES
    assert f"worker one on {node} with a secret" in pod.log

    core.delete_namespaced_pod("one", NAMESPACE)
    wait_for(lambda: gone(core, "one"), "the pod's end")
    assert "told to end" in pod.log
    assert not pod.container.alive


def test_our_worker_transcodes_in_a_pod(
    cluster: KubernetesCluster, core: Any, tmp_path: Path
) -> None:
    cluster.reset_behaviour()
    (tmp_path / "input-videos").mkdir()
    make_clip(tmp_path / "input-videos" / "clip.mp4")
    with ScriptedController() as controller:
        worker_id = str(uuid.uuid4())
        variables = {
            "TCWORKER_GRPC_SERVER": "127.0.0.1",
            "TCWORKER_GRPC_PORT": str(controller.port),
            "TCWORKER_NAME": "in-a-pod",
            "TCWORKER_ID": worker_id,
            "TCWORKER_STORAGE": f"dir://{tmp_path}",
        }
        environment = [{"name": key, "value": value} for key, value in variables.items()]
        pod = cluster.pod(create(core, "in-a-pod", env=environment))
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
        core.delete_namespaced_pod("in-a-pod", NAMESPACE)
        wait_for(lambda: not (pod.folder / "disk").exists(), "the disk's end")
    assert probe(tmp_path / "output-videos" / "out-clip.mp4").video == "hevc"


def test_a_pod_that_fits_nowhere_stays_pending(cluster: KubernetesCluster, core: Any) -> None:
    create(core, "large", cpu="7")

    def unschedulable() -> Any:
        conditions = core.read_namespaced_pod("large", NAMESPACE).status.conditions or []
        return next((c for c in conditions if c.reason == "Unschedulable"), None)

    assert "Insufficient cpu" in wait_for(unschedulable, "the scheduler's verdict").message
    assert core.read_namespaced_pod("large", NAMESPACE).status.phase == "Pending"


def test_an_image_that_no_node_has_and_a_secret_that_is_missing(
    cluster: KubernetesCluster, core: Any
) -> None:
    create(core, "no-image", image="example.org/other:1")
    missing = {"secretKeyRef": {"name": "none", "key": "key"}}
    create(core, "no-secret", env=[{"name": "KEY", "valueFrom": missing}])

    def waits(name: str, reason: str) -> bool:
        status = core.read_namespaced_pod(name, NAMESPACE).status
        states = [entry.state for entry in status.container_statuses or []]
        return any(state.waiting and state.waiting.reason == reason for state in states)

    wait_for(lambda: waits("no-image", "ErrImagePull"), "ErrImagePull")
    wait_for(lambda: waits("no-secret", "CreateContainerConfigError"), "the config error")


def test_a_killed_an_evicted_and_a_memory_hungry_pod(cluster: KubernetesCluster, core: Any) -> None:
    pods = {name: started(cluster, core, name) for name in ("killed", "evicted", "oom")}
    pods["killed"].kill()
    pods["evicted"].evict()
    pods["oom"].kill_for_memory()
    assert end_of(reach(core, "killed", "Failed")) == ("Error", 137)
    assert end_of(reach(core, "oom", "Failed")) == ("OOMKilled", 137)
    assert reach(core, "evicted", "Failed").status.reason == "Evicted"


def test_the_kernel_holds_a_pod_to_its_memory(cluster: KubernetesCluster, core: Any) -> None:
    hungry = ["python3", "-c", "x = bytearray(300 * 2**20); print(len(x))"]
    uid = create(core, "hungry", memory="64Mi", command=hungry)
    if not cluster.pod(uid).container.limits:
        pytest.skip("cgroups are not writable on this machine: pods run without limits")
    assert end_of(reach(core, "hungry", "Failed")) == ("OOMKilled", 137)


def test_exit_codes(cluster: KubernetesCluster, core: Any) -> None:
    create(core, "fine", command=["true"])
    create(core, "broken", command=["sh", "-c", "exit 3"])
    assert end_of(reach(core, "fine", "Succeeded")) == ("Completed", 0)
    assert end_of(reach(core, "broken", "Failed")) == ("Error", 3)


def test_bad_names_and_duplicates_are_refused(cluster: KubernetesCluster, core: Any) -> None:
    with pytest.raises(client.ApiException) as bad:
        create(core, "Bad_Name")
    assert bad.value.status == 422
    create(core, "twice")
    with pytest.raises(client.ApiException) as duplicate:
        create(core, "twice")
    assert duplicate.value.status == 409


def test_a_dead_node_loses_its_pods(cluster: KubernetesCluster, core: Any) -> None:
    pod = started(cluster, core, "lost")
    node = core.read_namespaced_pod("lost", NAMESPACE).spec.node_name
    cluster.stop_node(node)
    assert not pod.container.alive
    cluster.await_node(node, ready=False)

    def given_up() -> bool:
        return bool(core.read_namespaced_pod("lost", NAMESPACE).metadata.deletion_timestamp)

    wait_for(given_up, "the pod's deletion")
    cluster.start_node(node)
    cluster.await_node(node, ready=True)
    wait_for(lambda: gone(core, "lost"), "the pod's end")


def test_a_restarted_node_finds_its_pods(cluster: KubernetesCluster, core: Any) -> None:
    pod = started(cluster, core, "kept")
    node = core.read_namespaced_pod("kept", NAMESPACE).spec.node_name
    cluster.stop_node(node, pods=False)
    cluster.start_node(node)
    cluster.await_node(node, ready=True)
    assert pod.container.alive
    pod.kill()
    assert end_of(reach(core, "kept", "Failed")) == ("Error", 137)


def test_pods_survive_a_restart_and_a_pause_of_the_api(
    cluster: KubernetesCluster, core: Any
) -> None:
    pod = started(cluster, core, "steady")
    with cluster.api_down(), pytest.raises(HTTPError):
        core.list_namespaced_pod(NAMESPACE)
    with cluster.api_down(hang=True), pytest.raises(HTTPError):
        core.list_namespaced_pod(NAMESPACE, _request_timeout=1)
    assert pod.container.alive
    assert reach(core, "steady", "Running").metadata.uid == pod.uid
    create(core, "later")
    reach(core, "later", "Running")


def test_a_service_account_has_only_the_rights_it_was_given(
    cluster: KubernetesCluster, core: Any, tmp_path: Path
) -> None:
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "reader"}})
    path = cluster.account_kubeconfig("reader", NAMESPACE, tmp_path / "kubeconfig")
    with config.new_client_from_config(str(path)) as api:
        limited = client.CoreV1Api(api)
        with pytest.raises(client.ApiException) as forbidden:
            limited.list_namespaced_pod(NAMESPACE)
    assert forbidden.value.status == 403
