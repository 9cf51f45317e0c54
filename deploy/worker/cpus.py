"""How many CPUs this process may use: of the machine, and of its container's quota."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUPS: Final = Path("/proc/self/cgroup")


def usable_cpus(groups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """CPUs, at least 1; a quota of one and a half counts as two.

    Args:
        groups: where control groups are mounted.
        own_groups: lists the groups of this process.
    """
    cpus = float(len(os.sched_getaffinity(0)))
    try:
        lines = own_groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root = groups if not controllers else groups / controllers
        if controllers and "cpu" not in controllers.split(","):
            continue
        # A limit of any group above holds as well; in a container the path may not be mounted.
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            if group.is_relative_to(root):
                cpus = min(cpus, _quota(group))
    return max(1, math.ceil(cpus))


def _quota(group: Path) -> float:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (group / "cpu.cfs_period_us").read_text(encoding="utf-8")
        return math.inf if quota == "max" or int(quota) <= 0 else int(quota) / int(period)
    except (OSError, ValueError):
        return math.inf
