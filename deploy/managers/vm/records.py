"""What the cloud tells of itself, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """One of this controller's servers.

    Attributes:
        server_id: Nova's id.
        worker_id: of its order.
        name: of its order.
        flavor: name of its flavor.
        status: Nova's, e.g. BUILD, ACTIVE, ERROR, SHUTOFF.
        fault: why it is in ERROR.
    """

    server_id: str
    worker_id: str
    name: str
    flavor: str
    status: str
    fault: str


@dataclass(frozen=True, slots=True)
class FoundFlavor:
    """A flavor as the cloud has it; RAM in GiB."""

    name: str
    flavor_id: str
    vcpus: int
    ram_gib: float


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """A node's inventory: physical vCPUs and RAM (GiB), and what may be promised of them."""

    name: str
    vcpus: int
    ram_gib: float
    vcpu_ratio: float
    ram_ratio: float


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left to this controller in the project; none means no limit."""

    instances: int | None
    vcpus: int | None
    ram_gib: float | None
