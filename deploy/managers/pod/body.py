"""The pod of a worker and its Secret, as the API wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deploy.managers.base import SpawnOrder
from deploy.managers.environment import SECRET_VARIABLES
from deploy.managers.pod.quantity import cpus, memory
from deploy.managers.pod.settings import PodSettings, PodType
from env.config import FlavorConfig

APP_LABEL: Final = "app"
APP: Final = "tc-worker"
CONTROLLER_LABEL: Final = "dacirco/controller"
WORKER_LABEL: Final = "dacirco/worker"
FLAVOR_LABEL: Final = "dacirco/flavor"
_HOST: Final = "kubernetes.io/hostname"
_THREADS: Final = "TCWORKER_CPUS"
_MOST_WEIGHT: Final = 100


def selector(controller_id: str) -> str:
    """Label selector of one controller's pods."""
    return f"{APP_LABEL}={APP},{CONTROLLER_LABEL}={controller_id}"


def secret_name(order: SpawnOrder) -> str:
    """Name of the Secret of a worker's pod. The pod's own name may be used again too soon."""
    return f"{APP}-{order.worker_id}"


def secret_body(
    order: SpawnOrder, settings: PodSettings, environment: Mapping[str, str], pod_uid: str
) -> dict[str, Any]:
    """What of a worker's environment others must not read, as a Secret that its pod owns.

    Kubernetes removes it with the pod, however that ends, also while there is no controller.
    """
    owner = {"apiVersion": "v1", "kind": "Pod", "name": order.name, "uid": pod_uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {
            "name": secret_name(order),
            "labels": _labels(order, settings),
            "ownerReferences": [owner],
        },
        "stringData": {
            name: value for name, value in environment.items() if name in SECRET_VARIABLES
        },
    }


def pod_body(
    order: SpawnOrder, settings: PodSettings, environment: Mapping[str, str]
) -> dict[str, Any]:
    """The pod: it never restarts, and gets what its flavor's type says, no more and no less.

    Its container waits for the pod's Secret, see `secret_body`.
    """
    kind = type_of(order.flavor, settings)
    environment = _with_threads(environment, kind)
    variables: list[dict[str, Any]] = [
        {"name": name, "value": value}
        for name, value in environment.items()
        if name not in SECRET_VARIABLES
    ]
    variables += [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret_name(order), "key": name}}}
        for name in environment
        if name in SECRET_VARIABLES
    ]
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": settings.grace_s,
        "automountServiceAccountToken": False,  # a worker has no business with the API
        "enableServiceLinks": False,  # nor with the addresses of all services around it
        "containers": [
            {
                "name": APP,
                "image": kind.image or settings.image,
                "env": variables,
                "resources": _resources(kind),
                **_confined(settings),
            }
        ],
    }
    selected = settings.selector_of(order.flavor.name)
    if selected.labels:
        spec["nodeSelector"] = dict(selected.labels)
    affinity = _near_others(settings) | _on_node(selected.name)
    if affinity:
        spec["affinity"] = affinity
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": order.name, "labels": _labels(order, settings)},
        "spec": spec,
    }


def _labels(order: SpawnOrder, settings: PodSettings) -> dict[str, str]:
    return {
        APP_LABEL: APP,
        CONTROLLER_LABEL: settings.controller_id,
        WORKER_LABEL: order.worker_id,
        FLAVOR_LABEL: order.flavor.name,
    }


def _confined(settings: PodSettings) -> dict[str, Any]:
    """What the container may not do, in the words of Kubernetes' pod security standards."""
    if settings.security == "image":
        return {}
    context: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if settings.security == "restricted":
        context["runAsNonRoot"] = True  # images of the existing system may be root
    return {"securityContext": context}


def type_of(flavor: FlavorConfig, settings: PodSettings) -> PodType:
    """What the pods of a flavor are."""
    cpu, ram = str(flavor.vcpus), memory(flavor.ram_gib)
    return settings.types.get(flavor.name) or PodType("", cpu, ram, cpu, ram)


def _resources(kind: PodType) -> dict[str, dict[str, str]]:
    wanted = {
        "requests": {"cpu": kind.cpu_request, "memory": kind.memory_request},
        "limits": {"cpu": kind.cpu_limit, "memory": kind.memory_limit},
    }
    return {
        what: {name: quantity for name, quantity in sizes.items() if quantity}
        for what, sizes in wanted.items()
        if any(sizes.values())
    }


def _with_threads(environment: Mapping[str, str], kind: PodType) -> dict[str, str]:
    """As many threads as the pod may use cores; without a limit our workers look for themselves."""
    found = {name: value for name, value in environment.items() if name != _THREADS}
    if kind.cpu_limit:
        found[_THREADS] = str(max(1, int(cpus(kind.cpu_limit))))
    return found


def _near_others(settings: PodSettings) -> dict[str, Any]:
    """How the pods of workers lie to each other."""
    kind = {"spread": "podAntiAffinity", "concentrate": "podAffinity"}.get(settings.placement)
    if kind is None:
        return {}
    term = {"labelSelector": {"matchLabels": {APP_LABEL: APP}}, "topologyKey": _HOST}
    if settings.preferred:
        weighed = {"weight": _MOST_WEIGHT, "podAffinityTerm": term}
        return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [weighed]}}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _on_node(name: str) -> dict[str, Any]:
    """On the node of that name; its host name label may be another."""
    if not name:
        return {}
    field = {"key": "metadata.name", "operator": "In", "values": [name]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
