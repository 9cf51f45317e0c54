import json
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from deploy.managers.base import ManagerError, SpawnOrder
from deploy.managers.environment import WorkerLink
from deploy.managers.pod.body import pod_body, secret_body, selector
from deploy.managers.pod.capacity import cluster_of
from deploy.managers.pod.quantity import cpus, gib, memory
from deploy.managers.pod.settings import PodSettings
from deploy.managers.pod.status import ended, never_starts, unschedulable
from env.config import FlavorConfig, NodeConfig, PlacementName

TINY = FlavorConfig("s10.tiny", 1, 2.0)
MEDIUM = FlavorConfig("s10.medium", 4, 8.0)
SECRET_ID = "9b1c0c5e-the-worker-s-own"
ORDER = SpawnOrder("5f0c", "tc-worker-5f0c", MEDIUM, secret=SECRET_ID)
LINK = WorkerLink(
    "10.0.0.1", minio_server="10.0.0.3", minio_access_key="user-s3", minio_secret_key="key-of-s3"
)
NODES = (NodeConfig("compute1", 6, 16.0), NodeConfig("compute2", 4, 8.0))


def make(placement: PlacementName = "least-loaded") -> dict[str, Any]:
    settings = PodSettings("me", placement=placement, node_selector={"disk": "ssd"})
    return pod_body(ORDER, settings, LINK.environment(ORDER))


def secret_of(uid: str = "u") -> dict[str, Any]:
    return secret_body(ORDER, PodSettings("me"), LINK.environment(ORDER), uid)


def environment_of(pod: dict[str, Any], secrets: list[dict[str, Any]]) -> dict[str, str]:
    """What the container sees, as the kubelet puts it together."""
    (container,) = pod["spec"]["containers"]
    there = {secret["metadata"]["name"]: secret["stringData"] for secret in secrets}
    found = {}
    for variable in container["env"]:
        source = variable.get("valueFrom")
        if source is None:
            found[variable["name"]] = variable["value"]
        else:
            key = source["secretKeyRef"]
            found[variable["name"]] = there[key["name"]][key["key"]]
    return found


def test_a_pod_gets_what_its_flavor_says() -> None:
    pod = make()
    (container,) = pod["spec"]["containers"]
    size = {"cpu": "4", "memory": "8192Mi"}
    assert container["resources"] == {"requests": size, "limits": size}
    assert environment_of(pod, [secret_of()])["TCWORKER_ID"] == SECRET_ID
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert "affinity" not in pod["spec"]


def test_an_image_sees_the_contracts_variables_wherever_they_are_kept() -> None:
    assert environment_of(make(), [secret_of()]) == LINK.environment(ORDER)


def test_no_secret_is_in_the_pod_and_the_secret_goes_with_it() -> None:
    pod, secret = json.dumps(make()), secret_of("uid-of-the-pod")
    for hidden in (SECRET_ID, "user-s3", "key-of-s3"):
        assert hidden not in pod
        assert hidden in secret["stringData"].values()
        assert hidden not in json.dumps(secret["metadata"])
    (owner,) = secret["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "tc-worker-5f0c",
        "uid": "uid-of-the-pod",
    }


@pytest.mark.parametrize("security", ["restricted", "baseline", "image"])
def test_what_a_container_may_not_do(
    security: Literal["restricted", "baseline", "image"],
) -> None:
    pod = pod_body(ORDER, PodSettings("me", security=security), LINK.environment(ORDER))
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["enableServiceLinks"] is False
    (container,) = pod["spec"]["containers"]
    context = container.get("securityContext", {})
    if security == "image":
        assert context == {}
        return
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    # An image of the existing system may start as root: only who asks for it forbids that.
    assert context.get("runAsNonRoot", False) is (security == "restricted")


def test_the_selector_finds_the_pod() -> None:
    labels = make()["metadata"]["labels"]
    for pair in selector("me").split(","):
        key, value = pair.split("=")
        assert labels[key] == value


@pytest.mark.parametrize(
    ("placement", "kind"), [("spread", "podAntiAffinity"), ("concentrate", "podAffinity")]
)
def test_affinities_are_required_on_the_host_name(placement: PlacementName, kind: str) -> None:
    (term,) = make(placement)["spec"]["affinity"][kind][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term == {
        "labelSelector": {"matchLabels": {"app": "tc-worker"}},
        "topologyKey": "kubernetes.io/hostname",
    }


def test_quantities() -> None:
    assert cpus("500m") == 0.5
    assert gib("1536Mi") == 1.5
    assert gib(memory(1.4)) == pytest.approx(1.4, abs=1 / 1024)
    with pytest.raises(ManagerError, match="'lots'"):
        cpus("lots")


def test_limits_follow_from_the_affinities() -> None:
    flavors = (TINY, MEDIUM)
    assert cluster_of(NODES, PodSettings("me", flavors=flavors)).max_workers is None
    spread = cluster_of(NODES, PodSettings("me", flavors=flavors, placement="spread"))
    assert spread.max_workers == 2
    together = cluster_of(NODES, PodSettings("me", flavors=flavors, placement="concentrate"))
    assert (together.max_vcpus, together.max_ram_gib) == (6.0, 16.0)


def test_no_node_and_too_large_a_flavor_are_named() -> None:
    with pytest.raises(ManagerError, match="none is ready"):
        cluster_of((), PodSettings("me", flavors=(TINY,)))
    huge = FlavorConfig("huge", 64, 2.0)
    with pytest.raises(ManagerError, match="huge"):
        cluster_of(NODES, PodSettings("me", flavors=(huge,)))


def pod_with(phase: str, **state: Any) -> Any:
    container = SimpleNamespace(
        state=SimpleNamespace(waiting=state.get("waiting"), terminated=state.get("terminated"))
    )
    return SimpleNamespace(
        status=SimpleNamespace(
            phase=phase,
            reason=state.get("reason"),
            message=state.get("message"),
            conditions=state.get("conditions"),
            container_statuses=[container] if state.get("started", True) else None,
        )
    )


def test_what_a_status_means() -> None:
    assert ended(pod_with("Running")) is None
    killed = SimpleNamespace(reason="OOMKilled", exit_code=137)
    assert ended(pod_with("Failed", terminated=killed)) == "OOMKilled (exit code 137)"
    evicted = pod_with("Failed", started=False, reason="Evicted", message="low on memory")
    assert ended(evicted) == "Evicted: low on memory"
    pull = SimpleNamespace(reason="ImagePullBackOff", message="no such image")
    assert never_starts(pod_with("Pending", waiting=pull)) == "ImagePullBackOff: no such image"
    early = SimpleNamespace(
        reason="CreateContainerConfigError", message='secret "tc-worker-5f0c" not found'
    )
    assert never_starts(pod_with("Pending", waiting=early)) is None  # made a moment later
    root = SimpleNamespace(
        reason="CreateContainerConfigError",
        message="container has runAsNonRoot and image will run as root",
    )
    assert "run as root" in (never_starts(pod_with("Pending", waiting=root)) or "")
    creating = SimpleNamespace(reason="ContainerCreating", message=None)
    assert never_starts(pod_with("Pending", waiting=creating)) is None
    condition = SimpleNamespace(
        type="PodScheduled", status="False", reason="Unschedulable", message="Insufficient cpu"
    )
    assert (
        unschedulable(pod_with("Pending", conditions=[condition]))
        == "Unschedulable: Insufficient cpu"
    )
    assert unschedulable(pod_with("Pending")) is None
