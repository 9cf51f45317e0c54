"""The cluster's configuration as Kubernetes tells it."""

from __future__ import annotations

from deploy.managers.base import ManagerError
from deploy.managers.pod.settings import PodSettings
from env.config import ClusterConfig, NodeConfig


def cluster_of(nodes: tuple[NodeConfig, ...], settings: PodSettings) -> ClusterConfig:
    """Nodes and flavors, with the limits that the required (anti-)affinities set.

    Raises:
        ManagerError: no node is there, or a flavor fits on none.
    """
    if not nodes:
        selected = f" with the labels {dict(settings.node_selector)}"
        raise ManagerError(
            "no node takes pods: none is ready and schedulable"
            + (selected if settings.node_selector else "")
        )
    spread = settings.placement == "spread"
    concentrate = settings.placement == "concentrate"
    try:
        return ClusterConfig(
            nodes=nodes,
            flavors=settings.flavors,
            placement=settings.placement,
            max_workers=len(nodes) if spread else None,
            max_vcpus=float(max(node.cores for node in nodes)) if concentrate else None,
            max_ram_gib=max(node.ram_gib for node in nodes) if concentrate else None,
        )
    except ValueError as error:
        raise ManagerError(f"the cluster's own figures make no cluster: {error}") from None
