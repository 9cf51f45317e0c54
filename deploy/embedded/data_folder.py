"""The folder that holds all of one embedded service; one service at a time uses it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from env.errors import DaCircoError
from env.textfile import write_atomically


class DataFolder:
    """Paths in the folder, and the lock on it.

    Args:
        path: made if it is missing.

    Raises:
        DaCircoError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.storage = self.path / "storage"
        self.logs = self.path / "logs"
        self.workers = self.path / "workers"
        self._state = self.path / "service.json"
        self._lock: int | None = None
        try:
            for folder in (self.storage, self.logs, self.workers):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DaCircoError(
                f"cannot make the data folder {self.path}: {error.strerror}; "
                "choose another with --data"
            ) from None

    @property
    def store_url(self) -> str:
        """Where the controller keeps its jobs."""
        return f"sqlite:///{self.path / 'dacirco.db'}"

    @property
    def storage_url(self) -> str:
        """Where the videos are."""
        return self.storage.as_uri().replace("file://", "dir://", 1)

    def lock(self) -> None:
        """Take the folder until this process ends.

        Raises:
            DaCircoError: another service has it.
        """
        lock = os.open(self.path / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise DaCircoError(
                f"a service already runs in {self.path}: stop it, or choose another folder "
                "with --data"
            ) from None
        self._lock = lock

    def unlock(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_state(self, state: dict[str, Any]) -> None:
        """Tell other programs what runs here.

        Raises:
            DaCircoError: it cannot be written.
        """
        write_atomically(self._state, json.dumps(state, indent=1) + "\n")

    def read_state(self) -> dict[str, Any]:
        """What runs here, as its service has told; empty if none does."""
        try:
            return dict(json.loads(self._state.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def clear_state(self) -> None:
        """Nothing runs here any more."""
        with contextlib.suppress(OSError):  # a disk that fails ends nothing but itself
            self._state.unlink(missing_ok=True)
