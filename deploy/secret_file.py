"""Files that hold secrets: read only where others cannot read or change them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from env.errors import DaCircoError

_MOST_BYTES: Final = 1 << 20


def read_secret_file(path: Path, what: str) -> bytes:
    """What a secret's file holds.

    Its group may read it, as it does where Kubernetes mounts a Secret for a user who is not root.

    Args:
        path: the file.
        what: the option that names it, for the error.

    Raises:
        DaCircoError: it cannot be read, others can read it, or someone else could have changed it.
    """
    try:
        # Looked at and read by one descriptor: the name may point elsewhere in between. A pipe
        # that nobody writes to must not hold the start up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise DaCircoError(f"{what} {path}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DaCircoError(f"{what} {path}: it is not a plain file")
        open_to_others = status.st_mode & (stat.S_IRWXO | stat.S_IWGRP)
        if open_to_others or status.st_uid not in (0, os.geteuid()):
            raise DaCircoError(
                f"{what} {path}: others can read or change it (mode "
                f"{stat.S_IMODE(status.st_mode):04o}): it must belong to this user or root; "
                f"chmod 600 {path}"
            )
        if status.st_size > _MOST_BYTES:
            raise DaCircoError(f"{what} {path}: it is too large for what it should hold")
        return os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)
