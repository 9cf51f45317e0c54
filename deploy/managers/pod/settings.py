"""What the pod manager is told by the controller's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from deploy.managers.base import ManagerError
from env.config import FlavorConfig, PlacementName


def placement(*, spread: bool, concentrate: bool) -> PlacementName:
    """The placement that ``--spread-pods`` or ``--concentrate-pods`` asks for."""
    if spread:
        return "spread"
    return "concentrate" if concentrate else "least-loaded"


def read_selector(text: str | None) -> Mapping[str, str]:
    """``--pod-node-selector KEY=VALUE[,KEY=VALUE]``.

    Raises:
        ManagerError: it is not of that form.
    """
    labels: dict[str, str] = {}
    for part in (text or "").split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key or not equals:
            raise ManagerError(f"--pod-node-selector {text!r} is not KEY=VALUE[,KEY=VALUE]")
        labels[key] = value
    return labels


@dataclass(frozen=True, slots=True)
class PodSettings:
    """Names in the cluster, and patience.

    Attributes:
        controller_id: labels every pod, so that a restarted controller knows its own.
        image: the worker's container image.
        flavors: sizes of pods; requests and limits are both what the flavor says.
        namespace: where the pods live; made when missing.
        node_selector: labels that a node must carry.
        placement: ``spread`` and ``concentrate`` are required (anti-)affinities between pods.
        security: what the workers' containers may not do, see `deploy.managers.pod.body`.
        kubeconfig: file with the credentials; none means in-cluster ones where there are,
            else ``~/.kube/config``.
        context: of the kubeconfig, none for its current one.
        api_timeout_s: longest wait for one answer of the API, seconds.
        unschedulable_s: how long a pod may be unschedulable before it is given up, seconds.
        grace_s: how long a pod may take to end, seconds.
        stop_timeout_s: after this long a pod is deleted by force (its node may be down).
    """

    controller_id: str
    image: str = "dacirco/tc-worker"
    flavors: tuple[FlavorConfig, ...] = ()
    namespace: str = "dacirco"
    node_selector: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    placement: PlacementName = "least-loaded"
    security: Literal["restricted", "baseline", "image"] = "baseline"
    kubeconfig: str | None = None
    context: str | None = None
    api_timeout_s: float = 30.0
    unschedulable_s: float = 10.0
    grace_s: int = 30
    stop_timeout_s: float = 90.0
