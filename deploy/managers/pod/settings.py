"""What the pod manager is told by the controller's options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from deploy.managers.base import ManagerError
from env.config import FlavorConfig, PlacementName

_NODE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""A DNS subdomain, as Kubernetes names nodes."""


def placement(*, spread: bool, concentrate: bool) -> PlacementName:
    """The placement that ``--spread-pods`` or ``--concentrate-pods`` asks for."""
    if spread:
        return "spread"
    return "concentrate" if concentrate else "least-loaded"


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """Which nodes may take a pod.

    Attributes:
        labels: that a node must carry.
        name: of the only node, empty for any.
    """

    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    name: str = ""

    def __str__(self) -> str:
        """What is asked for, for people."""
        wanted = [f"the name {self.name!r}"] if self.name else []
        if self.labels:
            wanted.append(f"the labels {dict(self.labels)}")
        return " and ".join(wanted)


def read_selector(text: str | None) -> NodeSelector:
    """``NODE`` (the name of one) or ``KEY=VALUE[,KEY=VALUE]`` (labels).

    Raises:
        ManagerError: it is neither.
    """
    labels: dict[str, str] = {}
    if text and _NODE_NAME.fullmatch(text.strip()):
        return NodeSelector(name=text.strip())
    for part in (text or "").split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key or not equals:
            raise ManagerError(
                f"node selector {text!r} is neither a node's name nor KEY=VALUE[,KEY=VALUE]"
            )
        labels[key] = value
    return NodeSelector(labels)


@dataclass(frozen=True, slots=True)
class PodType:
    """What the pods of one flavor are: quantities as Kubernetes writes them, empty for none.

    Attributes:
        image: the container image; empty: that of all.
        cpu_request, memory_request: what is reserved on the node.
        cpu_limit, memory_limit: what the container may use at most.
        node_selector: see `read_selector`; empty: that of all.
    """

    image: str = ""
    cpu_request: str = ""
    memory_request: str = ""
    cpu_limit: str = ""
    memory_limit: str = ""
    node_selector: str = ""


@dataclass(frozen=True, slots=True)
class PodSettings:
    """Names in the cluster, and patience.

    Attributes:
        controller_id: labels every pod, so that a restarted controller knows its own.
        image: the worker's container image.
        flavors: sizes of pods, as they are counted.
        types: what the pods of a flavor are, by its name; of a flavor that is not named here,
            requests and limits are both what it says.
        namespace: where the pods live; made when missing.
        node_selector: labels that a node must carry, for the pods whose type does not say it.
        node_name: the only node, likewise; empty for any.
        placement: ``spread`` and ``concentrate`` are (anti-)affinities between pods.
        preferred: of which Kubernetes does without what it cannot have; else they are required.
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
    types: Mapping[str, PodType] = field(default_factory=dict)
    namespace: str = "dacirco"
    node_selector: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    node_name: str = ""
    placement: PlacementName = "least-loaded"
    preferred: bool = False
    security: Literal["restricted", "baseline", "image"] = "baseline"
    kubeconfig: str | None = None
    context: str | None = None
    api_timeout_s: float = 30.0
    unschedulable_s: float = 10.0
    grace_s: int = 30
    stop_timeout_s: float = 90.0

    def selector_of(self, flavor: str) -> NodeSelector:
        """Which nodes take the pods of a flavor."""
        own = self.types.get(flavor)
        if own is not None and own.node_selector:
            return read_selector(own.node_selector)
        return NodeSelector(self.node_selector, self.node_name)
