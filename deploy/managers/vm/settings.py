"""What the VM manager is told by the controller's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from env.config import NodeConfig, PlacementName

_POLICIES: Final[dict[tuple[PlacementName, bool], str]] = {
    ("spread", False): "soft-anti-affinity",
    ("spread", True): "soft-anti-affinity",
    ("concentrate", False): "affinity",
    ("concentrate", True): "soft-affinity",
}


@dataclass(frozen=True, slots=True)
class VmType:
    """What the VMs of one flavor are made of: names in the cloud."""

    image: str = "dacirco"
    flavor: str = "m1.small"
    key: str = "mykey"
    security_group: str = "ssh"
    network: str = "external"


@dataclass(frozen=True, slots=True)
class VmSettings:
    """Names in the cloud, and patience.

    Attributes:
        controller_id: tags every server, so that a restarted controller knows its own.
        image: name of the worker image.
        flavors: names of the flavors, any order.
        types: what the VMs of a flavor are made of, by its name; a flavor that is not named here is
            the cloud's own of that name, with image, key, security group and network as below.
        key: name of the key pair.
        security_group: name of the security group.
        network: name of the network.
        placement: how workers go to nodes; without a server group Nova decides.
        preferred: the placement is a wish that Nova weighs against others; what it cannot have it
            does without.
        nodes: the data centre's nodes where no admin cloud tells them.
        service_user: whom the image's worker runs as.
        worker_log_file: where it writes its log, empty for standard error.
        cloud: entry of clouds.yaml that owns the servers.
        admin_cloud: entry that may read hypervisors; need not exist.
        poll_s: period of the look at the servers while something is building or ending, seconds.
        idle_poll_s: the same while nothing is, seconds.
        api_timeout_s: longest wait for one answer of the API, seconds.
        stop_timeout_s: longest wait for a deleted server to be gone, seconds.
    """

    controller_id: str
    image: str = "dacirco"
    flavors: tuple[str, ...] = ("s10.tiny", "s10.small", "s10.medium")
    types: Mapping[str, VmType] = field(default_factory=dict)
    key: str = "mykey"
    security_group: str = "ssh"
    network: str = "external"
    placement: PlacementName = "least-loaded"
    preferred: bool = False
    nodes: tuple[NodeConfig, ...] = field(default_factory=tuple)
    service_user: str = "ubuntu"
    worker_log_file: str = "/home/ubuntu/dacirco_tc_worker.log"
    cloud: str = "openstack"
    admin_cloud: str = "openstack_admin"
    poll_s: float = 1.0
    idle_poll_s: float = 5.0
    api_timeout_s: float = 30.0
    stop_timeout_s: float = 120.0

    @property
    def server_group_policy(self) -> str | None:
        """Nova's policy for the placement, none where it needs no server group.

        Spreading is always soft: with more workers than nodes some share one. The soft form of
        affinity counts for little under Nova's own weights, which prefer empty nodes.
        """
        return _POLICIES.get((self.placement, self.preferred))

    def type_of(self, flavor: str) -> VmType:
        """What the VMs of a flavor are made of."""
        return self.types.get(flavor) or VmType(
            self.image, flavor, self.key, self.security_group, self.network
        )
