"""The pod of a worker and its Secret, as the API wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deploy.managers.base import SpawnOrder
from deploy.managers.environment import SECRET_VARIABLES
from deploy.managers.pod.quantity import memory
from deploy.managers.pod.settings import PodSettings

APP_LABEL: Final = "app"
APP: Final = "tc-worker"
CONTROLLER_LABEL: Final = "dacirco/controller"
WORKER_LABEL: Final = "dacirco/worker"
FLAVOR_LABEL: Final = "dacirco/flavor"
_HOST: Final = "kubernetes.io/hostname"


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
    """The pod: it never restarts, and gets what its flavor says, no more and no less.

    Its container waits for the pod's Secret, see `secret_body`.
    """
    size = {"cpu": str(order.flavor.vcpus), "memory": memory(order.flavor.ram_gib)}
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
                "image": settings.image,
                "env": variables,
                "resources": {"requests": size, "limits": dict(size)},
                **_confined(settings),
            }
        ],
    }
    if settings.node_selector:
        spec["nodeSelector"] = dict(settings.node_selector)
    kind = {"spread": "podAntiAffinity", "concentrate": "podAffinity"}.get(settings.placement)
    if kind is not None:
        term = {"labelSelector": {"matchLabels": {APP_LABEL: APP}}, "topologyKey": _HOST}
        spec["affinity"] = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
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
