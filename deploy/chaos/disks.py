"""Small disks in memory that can be filled to the last byte and freed again."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from env.errors import DaCircoError

_BALLAST: Final = ".ballast"


class DiskError(DaCircoError):
    """A disk cannot be made here."""


@contextmanager
def small_disk(path: Path, mib: int) -> Iterator[None]:
    """An empty file system in memory at a folder, gone with its content on leaving; needs root.

    Args:
        path: where; an empty folder, made if it is missing.
        mib: its size, MiB.

    Raises:
        DiskError: this user or this machine cannot mount one.
    """
    path.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "dacirco-chaos", str(path))
    try:
        yield
    finally:
        # Lazily: a process that is just ending may still have a file open.
        _run("umount", "--lazy", str(path))


def disks_can_be_made(folder: Path) -> bool:
    """Whether `small_disk` works here; tried on a folder of its own."""
    probe = folder / "disk-probe"
    try:
        with small_disk(probe, 1):
            return True
    except DiskError:
        return False
    finally:
        probe.rmdir()


def fill(disk: Path) -> None:
    """Leave no block free."""
    ballast = os.open(disk / _BALLAST, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        step = 1 << 24
        end = os.fstat(ballast).st_size
        while step >= os.statvfs(disk).f_frsize:
            try:
                os.posix_fallocate(ballast, end, step)
                end += step
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step //= 2
    finally:
        os.close(ballast)


def free(disk: Path) -> None:
    """Take away what `fill` has put there."""
    (disk / _BALLAST).unlink(missing_ok=True)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise DiskError(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode:
        raise DiskError(" ".join(done.stderr.split()) or f"{command[0]} failed")
