"""The pod of a worker, as the API wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deploy.managers.base import SpawnOrder
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


def pod_body(
    order: SpawnOrder, settings: PodSettings, environment: Mapping[str, str]
) -> dict[str, Any]:
    """The pod: it never restarts, and gets what its flavor says, no more and no less."""
    size = {"cpu": str(order.flavor.vcpus), "memory": memory(order.flavor.ram_gib)}
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": settings.grace_s,
        "automountServiceAccountToken": False,  # a worker has no business with the API
        "containers": [
            {
                "name": APP,
                "image": settings.image,
                "env": [{"name": name, "value": value} for name, value in environment.items()],
                "resources": {"requests": size, "limits": dict(size)},
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
        "metadata": {
            "name": order.name,
            "labels": {
                APP_LABEL: APP,
                CONTROLLER_LABEL: settings.controller_id,
                WORKER_LABEL: order.worker_id,
                FLAVOR_LABEL: order.flavor.name,
            },
        },
        "spec": spec,
    }
