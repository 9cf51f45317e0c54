"""A compute node's books: what is reserved and used on it, exactly and over time."""

from __future__ import annotations

from env.config import NodeConfig
from env.level import Level

MIB_PER_GIB = 1024
MILLI = 1000


def used_millicores(cores: float) -> int:
    """What is really used of the CPU, in whole thousandths."""
    return int(cores * MILLI + 0.5)


def used_mib(ram_gib: float) -> int:
    """What is really used of the RAM, in whole MiB."""
    return int(ram_gib * MIB_PER_GIB + 0.5)


class Node:
    """A compute node.

    Attributes:
        index: position in the cluster's nodes.
        capacity_millicores: schedulable vCPUs (after over-commit), in thousandths.
        capacity_mib: schedulable RAM (after over-commit), MiB.
        free_millicores: of these, not reserved.
        free_mib: of these, not reserved.
        n_workers: workers placed here, draining ones included.
        n_booting: of these, booting.
        image_cached: whether a worker has booted here before (the next boot is quicker).
        reserved_cpu, reserved_ram, used_cpu, used_ram: the levels over time
            (millicores and MiB).
    """

    __slots__ = (
        "capacity_mib",
        "capacity_millicores",
        "config",
        "free_mib",
        "free_millicores",
        "image_cached",
        "index",
        "n_booting",
        "n_workers",
        "reserved_cpu",
        "reserved_ram",
        "used_cpu",
        "used_ram",
    )

    def __init__(
        self, index: int, config: NodeConfig, vcpu_overcommit: float, ram_overcommit: float
    ) -> None:
        self.index = index
        self.config = config
        self.capacity_millicores = round(config.cores * vcpu_overcommit * MILLI)
        self.capacity_mib = round(config.ram_gib * ram_overcommit * MIB_PER_GIB)
        self.free_millicores = self.capacity_millicores
        self.free_mib = self.capacity_mib
        self.n_workers = 0
        self.n_booting = 0
        self.image_cached = False
        self.reserved_cpu = Level()
        self.reserved_ram = Level()
        self.used_cpu = Level()
        self.used_ram = Level()
