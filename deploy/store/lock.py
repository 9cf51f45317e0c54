"""One store, one controller: two that drive the same workers would undo each other's work."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, text

from env.errors import DaCircoError

_ADVISORY_KEY: Final = 0x0DAC1AC0
"""PostgreSQL's advisory lock of a controller, within its database."""


class StoreInUseError(DaCircoError):
    """Another controller has the store."""


class Lock(Protocol):
    """Held until it is released or its process ends, however it ends."""

    def release(self) -> None:
        """Let others have the store."""


class _FileLock:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise StoreInUseError(
                f"another controller has the store {path.with_suffix('')}: stop it, or give "
                "this one a store of its own with --store"
            ) from None

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _SessionLock:
    def __init__(self, engine: Engine) -> None:
        self._connection: Connection = engine.connect()
        query = text("SELECT pg_try_advisory_lock(:key)")
        if not self._connection.execute(query, {"key": _ADVISORY_KEY}).scalar():
            self.release()
            raise StoreInUseError(
                f"another controller has the store {engine.url.render_as_string()}: stop it, or "
                "give this one a database of its own with --store"
            )
        self._connection.commit()

    def release(self) -> None:
        self._connection.close()


def lock_store(engine: Engine) -> Lock:
    """Take the store for this process.

    Raises:
        StoreInUseError: another controller has it.
        OSError: the lock's file cannot be made.
    """
    if engine.dialect.name == "sqlite":
        database = Path(str(engine.url.database))
        return _FileLock(database.with_name(database.name + ".lock"))
    return _SessionLock(engine)
