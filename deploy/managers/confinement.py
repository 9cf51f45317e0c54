"""Holding a local worker to its flavor's cores and memory.

Control groups (v2, or v1's ``cpu`` and ``memory``) do it where this process may write them, as root
or with a delegated group. Elsewhere what is left is weaker, and said so at start: the worker runs
on as many CPUs as it has vCPUs, and is ended when it is seen to use more memory than its flavor.
In both cases the worker also sizes ffmpeg's thread pools to its flavor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import psutil

from env.config import FlavorConfig

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")
_PERIOD_US: Final = 100_000
_GIB: Final = 2**30
_V1_QUOTA: Final = "cpu.cfs_quota_us"


class Confinement(ABC):
    """What keeps workers within their flavor."""

    description: str
    """For people, at start."""

    @abstractmethod
    def admit(self, worker_id: str, pid: int, flavor: FlavorConfig) -> None:
        """Confine a process that has just started, and with it all that it starts.

        Raises:
            OSError: it cannot be done.
        """

    def breach(self, worker_id: str, flavor: FlavorConfig) -> str | None:
        """Why the worker must be ended now, if it holds on to more than its flavor gives."""
        return None

    def verdict(self, worker_id: str) -> str | None:
        """Which limit has ended a process of the worker, if one has."""
        return None

    @abstractmethod
    def release(self, worker_id: str) -> None:
        """Forget a worker of which no process is left."""

    @abstractmethod
    def tidy(self) -> None:
        """Remove what no living worker needs."""


class CgroupConfinement(Confinement):
    """Control groups: one for each worker, all below one that carries the controller's id.

    Args:
        bases: the folder of that group in each hierarchy: one with v2, two with v1.
        unified: whether they are of v2.
        vcpus: all that workers may have together. Their group weighs as much beside the
            machine's other groups and programs, or it would count as a single program.
    """

    def __init__(self, bases: Sequence[Path], unified: bool, vcpus: int) -> None:
        self._bases = bases
        self._unified = unified
        self._vcpus = vcpus
        version = "v2" if unified else "v1"
        self.description = (
            f"cgroup {version}: each worker's CPU time and memory are limited to its flavor"
        )

    def admit(self, worker_id: str, pid: int, flavor: FlavorConfig) -> None:
        self.prepare(worker_id, flavor)
        for folder in self._folders(worker_id):
            (folder / "cgroup.procs").write_text(str(pid))

    def prepare(self, worker_id: str, flavor: FlavorConfig) -> None:
        """Make the groups of a worker, with their limits.

        Raises:
            OSError: they may not be written, or the kernel has no such limits.
        """
        for base in self._bases:
            folder = base / worker_id
            folder.mkdir(parents=True, exist_ok=True)
            self._limit(folder, flavor)
            self._weigh(base, self._vcpus)

    def verdict(self, worker_id: str) -> str | None:
        for folder in self._folders(worker_id):
            for name in ("memory.events", "memory.oom_control"):
                try:
                    lines = (folder / name).read_text().splitlines()
                except OSError:
                    continue
                if any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines):
                    return "it needed more memory than its flavor gives"
        return None

    def release(self, worker_id: str) -> None:
        _remove(self._folders(worker_id))

    def tidy(self) -> None:
        for base in self._bases:
            if base.is_dir():
                _remove([entry for entry in base.iterdir() if entry.is_dir()])
        _remove(self._bases)

    def _folders(self, worker_id: str) -> list[Path]:
        return [base / worker_id for base in self._bases]

    def _limit(self, folder: Path, flavor: FlavorConfig) -> None:
        quota = flavor.vcpus * _PERIOD_US
        memory = str(int(flavor.ram_gib * _GIB))
        if self._unified:
            for above in (folder.parent.parent, folder.parent):
                (above / "cgroup.subtree_control").write_text("+cpu +memory")
            (folder / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
            (folder / "memory.max").write_text(memory)
        elif (folder / _V1_QUOTA).exists():
            (folder / _V1_QUOTA).write_text(str(quota))
        else:
            (folder / "memory.limit_in_bytes").write_text(memory)
        self._weigh(folder, flavor.vcpus)

    def _weigh(self, folder: Path, vcpus: int) -> None:
        """Give a group its share where cores are over-committed, by its vCPUs as VMs have it."""
        if (folder / "cpu.weight").exists():
            (folder / "cpu.weight").write_text(str(min(10_000, 100 * vcpus)))
        elif (folder / "cpu.shares").exists():
            (folder / "cpu.shares").write_text(str(1024 * vcpus))


class WatchedConfinement(Confinement):
    """Without privileges: CPU affinity, and an eye on the memory."""

    def __init__(self) -> None:
        self._cpus: dict[str, list[int]] = {}
        self._pids: dict[str, int] = {}
        self._can_pin = hasattr(psutil.Process, "cpu_affinity")
        pinned = "each runs on as many CPUs as it has vCPUs, " if self._can_pin else ""
        self.description = (
            f"no control group may be written, so workers are held weakly: {pinned}ffmpeg's "
            "threads are limited, and a worker seen above its memory is ended"
        )

    def admit(self, worker_id: str, pid: int, flavor: FlavorConfig) -> None:
        self._pids[worker_id] = pid
        if self._can_pin:
            taken = Counter(cpu for cpus in self._cpus.values() for cpu in cpus)
            usable = psutil.Process().cpu_affinity() or []
            chosen = sorted(usable, key=lambda cpu: taken[cpu])[: flavor.vcpus]
            self._cpus[worker_id] = chosen
            psutil.Process(pid).cpu_affinity(chosen)

    def breach(self, worker_id: str, flavor: FlavorConfig) -> str | None:
        try:
            worker = psutil.Process(self._pids[worker_id])
            family = [worker, *worker.children(recursive=True)]
            used = sum(process.memory_info().rss for process in family)
        except (KeyError, psutil.Error):
            return None  # an end is noticed elsewhere
        if used <= flavor.ram_gib * _GIB:
            return None
        return f"it used {used / _GIB:.2f} GiB, its flavor gives {flavor.ram_gib:g}"

    def release(self, worker_id: str) -> None:
        self._pids.pop(worker_id, None)
        self._cpus.pop(worker_id, None)

    def tidy(self) -> None:
        """Nothing stays behind."""


def choose_confinement(tag: str, vcpus: int = 1) -> Confinement:
    """The strongest confinement that this process may use.

    Args:
        tag: names the group above those of the workers.
        vcpus: all that workers may have together.
    """
    probe = FlavorConfig("probe", 1, 1.0)
    for bases, unified in _candidates(f"dacirco-{tag}"):
        cgroups = CgroupConfinement(bases, unified, vcpus)
        try:
            cgroups.prepare("probe", probe)
        except OSError:
            continue
        else:
            return cgroups
        finally:
            cgroups.tidy()
    return WatchedConfinement()


def _candidates(group: str) -> list[tuple[list[Path], bool]]:
    """Where the group could be, best first: at the top, or below the group of this process.

    At the top first: workers outlive the controller, so they must not be in the group of its
    service, all of which the service manager may end.
    """
    if (_CGROUPS / "cgroup.controllers").exists():
        return [
            ([_CGROUPS / group], True),
            ([_CGROUPS / _own_group("").lstrip("/") / group], True),
        ]
    hierarchies = ("cpu", "memory")
    return [
        ([_CGROUPS / name / group for name in hierarchies], False),
        ([_CGROUPS / name / _own_group(name).lstrip("/") / group for name in hierarchies], False),
    ]


def _remove(groups: Iterable[Path]) -> None:
    for group in groups:
        try:
            group.rmdir()
        except OSError:  # gone, or a process is still in it
            continue


def _own_group(controller: str) -> str:
    """The path of this process's group in a hierarchy of v1, or with "" in that of v2."""
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return path
    return ""
