"""What every control plane of the tests can do: up, down, status, and leave nothing behind."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from tests.clouds import cgroups
from tests.clouds.machine import CACHE, CloudUnavailableError
from tests.clouds.processes import Processes, marked
from tests.clouds.waiting import wait_for

STATE_VARIABLE = "DACIRCO_CLOUDS_STATE"
"""Another folder for the state, for two runs beside each other from one checkout."""


_ENDING_S = 60.0
"""What was killed has so long to leave its cgroup, seconds."""


class EndedError(RuntimeError):
    """A process of the control plane ended while it was waited for."""


class Cloud(ABC):
    """A real control plane on this machine.

    Attributes:
        cache: what is built or installed once and kept.
        state: what one run writes; `log/` in it stays until the next start.
        processes: its background processes.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.cache = CACHE / self.name
        own = os.environ.get(STATE_VARIABLE)
        self.state = (Path(own).resolve() if own else CACHE) / self.name / "state"
        self.processes = Processes(self.state)

    @abstractmethod
    def install(self) -> None:
        """Install and build what is missing; quick when nothing is.

        Raises:
            CloudUnavailableError: this machine cannot.
        """

    @abstractmethod
    def start(self) -> None:
        """Start everything and wait until it serves; `facts` are saved for other processes."""

    def stop(self) -> None:
        """End the processes in the order that is kind to them."""
        self.processes.stop(reversed(self.processes.names()))

    def prepare(self) -> None:
        """Have everything installed and built, one process at a time.

        Raises:
            CloudUnavailableError: this machine cannot set it up.
        """
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            (self.cache / "lock").touch()
        except PermissionError as error:
            raise CloudUnavailableError(f"{self.cache} is not writable: run it as root") from error
        with _locked(self.cache / "lock"):
            self.install()

    def up(self) -> bool:
        """Have the control plane run; True when this call started it.

        Raises:
            CloudUnavailableError: this machine cannot set it up.
        """
        with _locked(self.state.with_name("state.lock")):
            if self.running():
                return False
            self.prepare()
            self._end()
            shutil.rmtree(self.state, ignore_errors=True)
            self.state.mkdir(parents=True)
            try:
                self.start()
            except BaseException:
                self._end()
                raise
            return True

    def down(self) -> list[str]:
        """End the control plane and remove all it wrote, but for the logs.

        Returns:
            The processes, cgroups and folders that are still there; empty when all is well.
        """
        with _locked(self.state.with_name("state.lock")):
            return self._end()

    def running(self) -> bool:
        """Whether it was started whole and each of its processes still lives."""
        names = self.processes.names()
        return (
            bool(names)
            and (self.state / "facts.json").exists()
            and all(map(self.processes.alive, names))
        )

    def status(self) -> str:
        """A line for each process and each fact."""
        lines = [
            f"{name:24} pid {self.processes.pid(name):<8} "
            f"{'up' if self.processes.alive(name) else 'ENDED'}"
            for name in self.processes.names()
        ]
        if self.running():
            lines += [f"{key}: {value}" for key, value in self.facts.items()]
        return "\n".join(lines) or f"{self.name} is down"

    def await_ready(
        self, name: str, ready: Callable[[], object], *, timeout_s: float = 240.0
    ) -> None:
        """Wait until the process of that name serves; a command that fails means: not yet.

        Raises:
            RuntimeError: the process ended; the message says where its log is.
        """

        def probe() -> bool:
            if not self.processes.alive(name):
                raise EndedError(f"{name} ended: see {self.processes.logs}")
            try:
                return bool(ready())
            except RuntimeError:
                return False

        wait_for(probe, name, timeout_s=timeout_s)

    @property
    def facts(self) -> dict[str, Any]:
        """Ports, paths and keys of the run: what a client needs.

        Raises:
            FileNotFoundError: the control plane is not up.
        """
        facts: dict[str, Any] = json.loads((self.state / "facts.json").read_text())
        return facts

    def save_facts(self, **facts: object) -> None:
        """Write the facts; from now on it counts as up."""
        (self.state / "facts.json").write_text(json.dumps(facts, indent=1, default=str))

    @property
    def scratch(self) -> Path:
        """A folder with a short path that every user can enter, for data and sockets."""
        note = self.state / "scratch"
        if not note.exists():
            folder = tempfile.mkdtemp(prefix=f"dacirco-{self.name}-", dir="/tmp")
            Path(folder).chmod(0o755)
            note.write_text(folder)
        return Path(note.read_text())

    @property
    def cgroup(self) -> str:
        """The name under which its cgroups are made."""
        return self.scratch.name

    def _end(self) -> list[str]:
        """End and remove everything; what should be gone and is not, empty when all is well."""
        self.stop()
        self.processes.kill_leftovers()
        left = [f"process {process.pid}" for process in marked(self.state)]
        note = self.state / "scratch"
        if note.exists():
            scratch = Path(note.read_text())
            # A process that was killed gives back its memory first, and leaves its cgroup last.
            with suppress(TimeoutError):
                wait_for(lambda: cgroups.remove(scratch.name), "its cgroups", timeout_s=_ENDING_S)
            shutil.rmtree(scratch, ignore_errors=True)
            note.unlink()
            left += [
                str(path) for path in [*cgroups.folders(scratch.name), scratch] if path.exists()
            ]
        self.processes.forget()
        if self.state.exists():
            for entry in self.state.iterdir():
                if entry.is_dir() and entry.name != "log":
                    shutil.rmtree(entry)
                elif not entry.is_dir():
                    entry.unlink()
        return left


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
