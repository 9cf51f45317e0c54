import json
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from deploy.managers.base import ManagerError, SpawnOrder
from deploy.managers.environment import WorkerLink
from deploy.managers.pod.body import pod_body, secret_body, selector
from deploy.managers.pod.capacity import cluster_of
from deploy.managers.pod.quantity import cpus, gib, memory
from deploy.managers.pod.settings import PodSettings, PodType, read_selector
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


def body(**changes: Any) -> dict[str, Any]:
    """The specification of a pod of flavor `ORDER.flavor`."""
    settings = PodSettings("me", image="all", **changes)
    spec: dict[str, Any] = pod_body(ORDER, settings, WorkerLink("10.0.0.1").environment(ORDER))[
        "spec"
    ]
    return spec


def threads(spec: dict[str, Any]) -> str | None:
    found: dict[str, str] = {
        each["name"]: each.get("value", "") for each in spec["containers"][0]["env"]
    }
    return found.get("TCWORKER_CPUS")


@pytest.mark.parametrize(
    ("kind", "resources", "cores"),
    [
        (
            PodType("", "1", "1.4Gi", "2500m", "2Gi"),
            {
                "requests": {"cpu": "1", "memory": "1.4Gi"},
                "limits": {"cpu": "2500m", "memory": "2Gi"},
            },
            "2",
        ),
        (PodType("", "500m"), {"requests": {"cpu": "500m"}}, None),
        (PodType("", "", "", "", "1Gi"), {"limits": {"memory": "1Gi"}}, None),
        (PodType("", "", "", "500m"), {"limits": {"cpu": "500m"}}, "1"),
        (PodType(), {}, None),
    ],
)
def test_a_pod_of_a_type_gets_its_quantities_and_no_others(
    kind: PodType, resources: dict[str, Any], cores: str | None
) -> None:
    spec = body(types={MEDIUM.name: kind})
    assert spec["containers"][0]["resources"] == resources
    assert spec["containers"][0]["image"] == "all"
    assert threads(spec) == cores


def test_a_type_may_have_its_own_image_and_node() -> None:
    types = {MEDIUM.name: PodType("its-own", node_selector="compute2")}
    spec = body(types=types, node_selector={"disk": "ssd"})
    assert spec["containers"][0]["image"] == "its-own"
    assert "nodeSelector" not in spec
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term == {
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["compute2"]}]
    }
    other = body(types={"s10.tiny": types[MEDIUM.name]}, node_selector={"disk": "ssd"})
    assert other["nodeSelector"] == {"disk": "ssd"}


@pytest.mark.parametrize(
    ("text", "labels", "name"),
    [
        (None, {}, ""),
        ("", {}, ""),
        ("compute3", {}, "compute3"),
        ("ip-10-0-0-1.ec2.internal", {}, "ip-10-0-0-1.ec2.internal"),
        ("disk=ssd", {"disk": "ssd"}, ""),
        ("kubernetes.io/arch=amd64, disk=", {"kubernetes.io/arch": "amd64", "disk": ""}, ""),
    ],
)
def test_selectors(text: str | None, labels: dict[str, str], name: str) -> None:
    found = read_selector(text)
    assert (dict(found.labels), found.name) == (labels, name)


@pytest.mark.parametrize("text", ["a,b", "Compute 1", "=x", "disk=ssd,b", "-a"])
def test_bad_selectors_are_told(text: str) -> None:
    with pytest.raises(ManagerError, match="neither a node's name nor KEY=VALUE"):
        read_selector(text)


@pytest.mark.parametrize(
    ("placement", "kind"), [("spread", "podAntiAffinity"), ("concentrate", "podAffinity")]
)
def test_a_preference_is_a_preferred_affinity_and_sets_no_limit(
    placement: PlacementName, kind: str
) -> None:
    affinity = body(placement=placement, preferred=True)["affinity"]
    (weighed,) = affinity[kind]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert list(affinity) == [kind]
    assert list(affinity[kind]) == ["preferredDuringSchedulingIgnoredDuringExecution"]
    assert 1 <= weighed["weight"] <= 100
    assert weighed["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    found = cluster_of(
        NODES, PodSettings("me", flavors=(TINY,), placement=placement, preferred=True)
    )
    assert (found.max_workers, found.max_vcpus, found.placement) == (None, None, placement)


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
    with pytest.raises(ManagerError, match="none is ready and schedulable with the name 'x'"):
        cluster_of((), PodSettings("me", flavors=(TINY,), node_name="x"))
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
