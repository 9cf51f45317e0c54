"""The cluster's configuration as Kubernetes tells it."""

from __future__ import annotations

from deploy.managers.base import ManagerError
from deploy.managers.pod.settings import PodSettings
from env.config import ClusterConfig, NodeConfig


def cluster_of(nodes: tuple[NodeConfig, ...], settings: PodSettings) -> ClusterConfig:
    """Nodes and flavors, with the limits that required (anti-)affinities set.

    Raises:
        ManagerError: no node is there, or a flavor fits on none.
    """
    if not nodes:
        asked = {str(settings.selector_of(flavor.name)) for flavor in settings.flavors} - {""}
        selected = f" with {', or '.join(sorted(asked))}" if asked else ""
        raise ManagerError(f"no node takes pods: none is ready and schedulable{selected}")
    required = "" if settings.preferred else settings.placement
    spread, concentrate = required == "spread", required == "concentrate"
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
