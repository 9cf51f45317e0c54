"""Where the worker keeps the files of a task, and how none of them stays behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.liveness import hold, take_abandoned
from env.errors import DaCircoError

_PREFIX: Final = "dacirco-tasks-"


class Workspace:
    """A folder of this process below a work folder that several workers may share.

    Args:
        parent: the work folder; made if missing.
    """

    def __init__(self, parent: Path) -> None:
        self.parent = parent

    @contextlib.contextmanager
    def open(self) -> Iterator[WorkspaceFolder]:
        """Remove what killed workers left, then hold a folder; it is removed at the end.

        Raises:
            DaCircoError: the work folder cannot be used.
        """
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            self._remove_stale()
            path, held = self._make()
        except OSError as error:
            raise DaCircoError(
                f"the work folder {self.parent} cannot be used: {error.strerror}"
            ) from error
        try:
            yield WorkspaceFolder(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(held)

    def _make(self) -> tuple[Path, int]:
        while True:
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.parent))
            held = hold(path)
            if held is not None:
                return path, held

    def _remove_stale(self) -> None:
        for path in self.parent.glob(f"{_PREFIX}*"):
            abandoned = take_abandoned(path)
            if abandoned is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(abandoned)


class WorkspaceFolder:
    """The folder of this process.

    Args:
        path: readable by this user only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def task(self) -> Iterator[Path]:
        """An empty folder for one task; it is removed with all that is in it."""
        # Someone may tidy up a work folder below a shared /tmp.
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix="task-", dir=self.path))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
