"""A program's own log: where it goes, and what libraries may say in it."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path
from typing import Final

from env.errors import DaCircoError

_BYTES: Final = 10_000_000
_OLD_FILES: Final = 2
_TALKATIVE: Final = ("asyncio", "grpc", "keystoneauth", "kubernetes", "openstack", "urllib3")


def quiet_libraries() -> None:
    """Let libraries tell of trouble only, also where the program itself logs details.

    At DEBUG they print whole requests: headers with their signatures, and the user data of VMs,
    which hold the workers' keys.
    """
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_handler(path: Path | None) -> logging.Handler:
    """The handler for a log file, or for standard error without one.

    Raises:
        DaCircoError: the file cannot be written.
    """
    if path is None:
        return logging.StreamHandler()
    try:
        return logging.handlers.RotatingFileHandler(
            path, maxBytes=_BYTES, backupCount=_OLD_FILES, encoding="utf-8"
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DaCircoError(f"cannot write {path}: {reason}: give another --log-file") from None
