"""CPU and memory limits of a process that stands in for a VM or a pod, by cgroup v1 or v2."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


def _bases(group: str) -> list[Path]:
    """The folders under which `group` has its cgroups: one with v2, one a controller with v1."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT / group]
    return [_ROOT / controller / group for controller in ("cpu", "memory")]


def limit(group: str, member: str, *, cpus: float | None, memory_bytes: int | None) -> list[Path]:
    """Make the cgroup `group/member` with its limits; the folders, or none where not writable."""
    made = []
    for base in _bases(group):
        folder = base / member
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _set(folder, cpus, memory_bytes)
        except OSError:
            remove(group, member)
            return []
        made.append(folder)
    return made


def _set(folder: Path, cpus: float | None, memory_bytes: int | None) -> None:
    controller = folder.relative_to(_ROOT).parts[0]
    if (_ROOT / "cgroup.controllers").exists():
        for parent in (_ROOT, folder.parent):
            (parent / "cgroup.subtree_control").write_text("+cpu +memory")
        if cpus is not None:
            (folder / "cpu.max").write_text(f"{int(cpus * _PERIOD_US)} {_PERIOD_US}")
        if memory_bytes is not None:
            (folder / "memory.max").write_text(str(memory_bytes))
    elif controller == "cpu" and cpus is not None:
        (folder / "cpu.cfs_quota_us").write_text(str(int(cpus * _PERIOD_US)))
    elif controller == "memory" and memory_bytes is not None:
        (folder / "memory.limit_in_bytes").write_text(str(memory_bytes))


def enter(folders: list[Path]) -> None:
    """Put the calling process into the cgroups."""
    for folder in folders:
        (folder / "cgroup.procs").write_text(str(os.getpid()))


def out_of_memory(folders: list[Path]) -> bool:
    """Whether the kernel killed a process of the cgroups for their memory limit."""
    for folder in folders:
        for name in ("memory.oom_control", "memory.events"):
            try:
                lines = (folder / name).read_text().splitlines()
            except OSError:
                continue
            if any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines):
                return True
    return False


def folders(group: str) -> list[Path]:
    """The cgroup folders of `group` that exist, the deepest first."""
    found = []
    for base in _bases(group):
        if base.is_dir():
            found += [entry for entry in sorted(base.iterdir()) if entry.is_dir()]
            found.append(base)
    return found


def remove(group: str, member: str | None = None) -> bool:
    """Remove the empty cgroups of `group`, or of one of its members; whether none is left."""
    left = False
    for folder in folders(group):
        if member is None or folder.name == member:
            try:
                folder.rmdir()
            except OSError:  # a process in it is still ending; the next call removes it
                left = True
    return not left
