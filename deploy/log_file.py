"""Where a program's own log goes: standard error, or a file that does not grow without end."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path
from typing import Final

from env.errors import DaCircoError

_BYTES: Final = 10_000_000
_OLD_FILES: Final = 2


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
