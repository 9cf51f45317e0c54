"""Files and folders that belong to a process as long as it lives.

The owner holds a lock (``flock``) that the kernel drops when the process ends, however it ends.
So what a killed process left behind is told apart from what is in use without ages or process
ids, which may be anyone's after a restart.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def hold(path: Path) -> int | None:
    """Lock a file or folder that was just made, for as long as the descriptor stays open.

    Returns:
        The descriptor to close, or none if a clean-up took `path` away in between: make a new one.
    """
    descriptor = _locked(path)
    if descriptor is None:
        return None
    try:
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None


def take_abandoned(path: Path) -> int | None:
    """Lock what a process left behind; none if its owner lives or it is gone.

    Returns:
        The descriptor to close after `path` has been removed.
    """
    return _locked(path)


def _locked(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
