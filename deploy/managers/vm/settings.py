"""What the VM manager is told by the controller's options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from env.config import NodeConfig, PlacementName

SERVER_GROUP_POLICIES: Final[dict[PlacementName, str]] = {
    "spread": "soft-anti-affinity",
    "concentrate": "affinity",
}
"""Nova's policy for each placement.

Spreading is soft: with more workers than nodes some share one. The soft form of affinity would do
nothing: Nova's other weights, which prefer empty nodes, outweigh it.
"""


@dataclass(frozen=True, slots=True)
class VmSettings:
    """Names in the cloud, and patience.

    Attributes:
        controller_id: tags every server, so that a restarted controller knows its own.
        image: name of the worker image.
        flavors: names of the flavors, any order.
        key: name of the key pair.
        security_group: name of the security group.
        network: name of the network.
        placement: how workers go to nodes; without a server group Nova decides.
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
    key: str = "mykey"
    security_group: str = "ssh"
    network: str = "external"
    placement: PlacementName = "least-loaded"
    nodes: tuple[NodeConfig, ...] = field(default_factory=tuple)
    service_user: str = "ubuntu"
    worker_log_file: str = "/home/ubuntu/dacirco_tc_worker.log"
    cloud: str = "openstack"
    admin_cloud: str = "openstack_admin"
    poll_s: float = 1.0
    idle_poll_s: float = 5.0
    api_timeout_s: float = 30.0
    stop_timeout_s: float = 120.0
