"""The cluster's configuration as the cloud tells it: nodes, flavors, limits."""

from __future__ import annotations

from deploy.managers.base import ManagerError
from deploy.managers.vm.cloud import Cloud
from deploy.managers.vm.settings import VmSettings
from env.config import ClusterConfig, FlavorConfig, NodeConfig
from env.errors import DaCircoError


def read_capacity(cloud: Cloud, settings: VmSettings) -> ClusterConfig:
    """Ask the cloud; blocking.

    With an admin, nodes and over-commit are what Placement holds; without, the nodes are those
    of the settings. The over-commit of the cluster is the least of all nodes: what we believe
    must not be more than the cloud gives.

    Raises:
        ManagerError: the cloud does not answer, or leaves no room for any worker.
    """
    flavors = tuple(FlavorConfig(f.name, f.vcpus, f.ram_gib) for f in cloud.flavors)
    nodes, vcpu_ratio, ram_ratio = settings.nodes, 1.0, 1.0
    if cloud.has_admin:
        found = cloud.hypervisors()
        nodes = tuple(NodeConfig(node.name, node.vcpus, node.ram_gib) for node in found)
        vcpu_ratio = min((node.vcpu_ratio for node in found), default=1.0)
        ram_ratio = min((node.ram_ratio for node in found), default=1.0)
    if not nodes:
        raise ManagerError(
            f"no compute node is up, says {settings.admin_cloud!r}"
            if cloud.has_admin
            else f"the nodes are not known: add {settings.admin_cloud!r} to clouds.yaml, "
            "or give a --profile with them"
        )
    quota = cloud.quota()
    if quota.instances == 0 or quota.vcpus == 0 or quota.ram_gib == 0:
        raise ManagerError(
            f"the quota of cloud {settings.cloud!r} is used up: "
            f"left are {quota.instances} instances, {quota.vcpus} vCPUs, {quota.ram_gib} GiB"
        )
    max_vcpus: float | None = quota.vcpus
    max_ram = quota.ram_gib
    if settings.placement == "concentrate" and not settings.preferred:
        # All on one node, so no more than the largest holds.
        max_vcpus = _least(max_vcpus, max(node.cores for node in nodes) * vcpu_ratio)
        max_ram = _least(max_ram, max(node.ram_gib for node in nodes) * ram_ratio)
    try:
        return ClusterConfig(
            nodes=nodes,
            flavors=flavors,
            placement=settings.placement,
            vcpu_overcommit=vcpu_ratio,
            ram_overcommit=ram_ratio,
            max_workers=quota.instances,
            max_vcpus=max_vcpus,
            max_ram_gib=max_ram,
        )
    except (DaCircoError, ValueError) as error:
        raise ManagerError(f"the cloud's own figures make no cluster: {error}") from None


def _least(limit: float | None, other: float) -> float:
    return other if limit is None else min(limit, other)
