"""One store, one controller: two that drive the same workers would undo each other's work.

The lock keeps a second controller from starting. Where it may be lost, `deploy.store.fence` keeps
the first one from going on.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from deploy.store.fence import StoreLostError
from env.errors import DaCircoError

_ADVISORY_KEY: Final = 0x0DAC1AC0
"""PostgreSQL's advisory lock of a controller, within its database."""


class StoreInUseError(DaCircoError):
    """Another controller has the store."""


class Lock(Protocol):
    """Held until it is released or its process ends, however it ends."""

    def confirm(self) -> None:
        """See that it is held, and take it again if the database has forgotten it.

        Raises:
            StoreLostError: another controller has it.
            SQLAlchemyError: the database does not answer.
        """

    def release(self) -> None:
        """Let others have the store. The engine must be closed before."""


class _FileLock:
    """Locks the database's file itself, whatever name leads to it.

    SQLite locks with `fcntl`, which does not meet `flock`. But a process loses all its `fcntl`
    locks of a file when it closes any of its descriptors of that file. So a file that this process
    has locked already is not opened again, and the descriptor outlives SQLite's.
    """

    _held: Final[set[tuple[int, int]]] = set()
    _guard: Final = threading.Lock()

    def __init__(self, path: str) -> None:
        self._file = -1
        with self._guard:
            status = Path(path).stat()
            self._key = (status.st_dev, status.st_ino)
            if self._key in self._held:
                raise _in_use(path)
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(file)
                if isinstance(error, BlockingIOError):
                    raise _in_use(path) from None
                raise
            self._file = file
            self._held.add(self._key)

    def confirm(self) -> None:
        """The kernel keeps it."""

    def release(self) -> None:
        with self._guard:
            if self._file >= 0:
                os.close(self._file)
                self._held.discard(self._key)
                self._file = -1


class _SessionLock:
    """Held by a session of PostgreSQL; gone when the session is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection = self._take()
        if self._connection is None:
            raise _in_use(engine.url.render_as_string())

    def _take(self) -> Connection | None:
        connection = self._engine.connect()
        driver = connection.connection.driver_connection
        try:
            connection.detach()  # so that its session ends when it is closed
            query = text("SELECT pg_try_advisory_lock(:key)")
            taken = connection.execute(query, {"key": _ADVISORY_KEY}).scalar()
            connection.commit()
        except BaseException:
            _close(connection, driver)
            raise
        if taken:
            self._driver = driver
            return connection
        _close(connection, driver)
        return None

    def confirm(self) -> None:
        if self._connection is not None:
            try:
                self._connection.execute(text("SELECT 1"))
                self._connection.commit()
            except SQLAlchemyError:
                self.release()
            else:
                return
        self._connection = self._take()
        if self._connection is None:
            raise StoreLostError("another controller has the store's lock")

    def release(self) -> None:
        if self._connection is not None:
            _close(self._connection, self._driver)
            self._connection = None


def _close(connection: Connection, driver: Any) -> None:
    """Close a detached connection; SQLAlchemy forgets to when the connection is broken."""
    connection.close()
    driver.close()


def _in_use(name: str) -> StoreInUseError:
    return StoreInUseError(
        f"another controller has the store {name}: stop it, or give this one a store of its own "
        "with --store"
    )


def lock_store(engine: Engine) -> Lock:
    """Take the store for this process.

    Raises:
        StoreInUseError: another controller has it.
        OSError, SQLAlchemyError: the database cannot be opened.
    """
    if engine.dialect.name != "sqlite":
        return _SessionLock(engine)
    _keep_private(engine.url)
    with engine.connect() as connection:  # SQLite knows best which file a URL means
        path = connection.exec_driver_sql("PRAGMA database_list").all()[0][2]
    engine.dispose()
    return _FileLock(path)


def _keep_private(url: URL) -> None:
    """Make a new store's file so that only its owner reads it: workers' secrets are in it."""
    name = str(url.database)
    if not name.startswith("file:") and not Path(name).exists():
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
