"""This machine as a data centre of one node, for workers that are local processes."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import Final

import psutil

from deploy.managers.base import ManagerError
from env.config import ClusterConfig, FlavorConfig, NodeConfig, Profile

FLAVORS: Final = (
    FlavorConfig("s10.tiny", 1, 0.5),
    FlavorConfig("s10.small", 2, 1.0),
    FlavorConfig("s10.medium", 4, 2.0),
)
"""The data centre's flavors with RAM for the short clips of the local catalog."""

LEAST_VCPUS: Final = 6
"""VCPUs that a machine of few cores offers by over-commitment: as many as a node of the data
centre has, so that there is something to decide and the shipped policy has seen its like."""

RAM_PER_VCPU_GIB: Final = 2 / 3
"""RAM that is offered beside a vCPU. A flavor takes 0.5 GiB of it, three quarters: the same share
as on the nodes of the data centre (2 GiB of the 16 / 6 GiB beside a vCPU)."""

_USABLE_RAM: Final = 0.75
"""Share of the machine's RAM that workers may take; the rest is for all others."""

_GIB: Final = 2**30


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_cluster(cores: int | None = None, ram_gib: float | None = None) -> ClusterConfig:
    """The machine's node and flavors.

    Args:
        cores: cores to offer; by default those that this process may use.
        ram_gib: the machine's RAM, GiB; by default what it has.

    Raises:
        ManagerError: its RAM cannot hold one worker of the largest flavor.
    """
    cores = usable_cores() if cores is None else cores
    machine_gib = psutil.virtual_memory().total / _GIB if ram_gib is None else ram_gib
    vcpus = max(LEAST_VCPUS, cores)
    offered_gib = min(vcpus * RAM_PER_VCPU_GIB, machine_gib * _USABLE_RAM)
    largest = FLAVORS[-1]
    if offered_gib < largest.ram_gib:
        raise ManagerError(
            f"this machine has {machine_gib:.1f} GiB of RAM: a worker {largest.name} takes "
            f"{largest.ram_gib:g} GiB, and local workers get at most {_USABLE_RAM:.0%} of the RAM; "
            f"{largest.ram_gib / _USABLE_RAM:.1f} GiB are needed"
        )
    return ClusterConfig(
        nodes=(NodeConfig(socket.gethostname()[:100] or "localhost", cores, offered_gib),),
        flavors=FLAVORS,
        vcpu_overcommit=vcpus / cores,
    )


def with_boot_delay(profile: Profile, boot_delay_s: float) -> Profile:
    """The profile of workers that start this much later than it says, seconds.

    To wait takes no CPU time and neither scatters nor slows down on a crowded machine.
    """
    if not boot_delay_s:
        return profile
    timing = profile.timing
    boot = timing.boot
    median_s = boot.median_s + boot_delay_s
    at_work = boot.median_s / median_s
    return replace(
        profile,
        timing=replace(
            timing,
            boot=replace(boot, median_s=median_s, sigma=boot.sigma * at_work, crowd_slope=0.0),
            contention=replace(timing.contention, boot_load=timing.contention.boot_load * at_work),
            usage=replace(timing.usage, boot_cores=timing.usage.boot_cores * at_work),
        ),
    )
