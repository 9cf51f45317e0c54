"""The processes of a control plane: started, remembered on disk, paused, stopped for good."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.clouds.waiting import wait_for

MARKER = "DACIRCO_TEST_CLOUD"
"""Environment variable that every process of a control plane, and every child of one, carries."""


class Processes:
    """Background processes that outlive the Python process that starts them.

    Args:
        folder: where the table of processes and the logs are kept; also the marker's value.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "log"
        self._table = folder / "processes.json"
        self._lock = threading.Lock()

    def start(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> int:
        """Start a process in a session of its own, output in `log/NAME.out`; returns its pid."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.out").open("ab") as out:
            child = subprocess.Popen(
                [*as_user(user), *map(os.fspath, command)],
                env=self.environment(environment),
                cwd=cwd or "/",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.returncode = 0  # it may outlive us: subprocess is not to warn of that
        with self._lock:
            entry = {"pid": child.pid, "created": psutil.Process(child.pid).create_time()}
            self._write({**self._read(), name: entry})
        return child.pid

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 600.0,
    ) -> str:
        """Run a command to its end and return what it printed.

        Raises:
            RuntimeError: it ended with another code than 0; the message has the end of its output.
        """
        arguments = [*as_user(user), *map(os.fspath, command)]
        done = subprocess.run(
            arguments,
            env=self.environment(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-4000:]}"
            )
        return done.stdout

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Our own environment without OpenStack's variables, with the marker and `extra`."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        fixed = {"PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8", MARKER: str(self.folder)}
        return {**own, **fixed, **(extra or {})}

    def names(self) -> list[str]:
        """Every process that was started and not forgotten, in the order of starting."""
        return list(self._read())

    def pid(self, name: str) -> int:
        """The process's id, dead or alive.

        Raises:
            KeyError: no process of that name was started.
        """
        return int(self._read()[name]["pid"])

    def alive(self, name: str) -> bool:
        """Whether the process that was started under this name still runs."""
        entry = self._read().get(name)
        if entry is None:
            return False
        _reap(int(entry["pid"]))
        return is_alive(int(entry["pid"]), float(entry["created"]))

    def pause(self, name: str) -> None:
        """Freeze the process and its children: connections hang instead of being refused."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a frozen process go on."""
        self._signal(name, signal.SIGCONT)

    def stop(
        self, names: Iterable[str], *, ask: int = signal.SIGTERM, grace_s: float = 8.0
    ) -> None:
        """End the processes: asked at once, killed with their groups after `grace_s` seconds."""
        living = [name for name in names if self.alive(name)]
        for name in living:
            self._signal(name, signal.SIGCONT)
            self._signal(name, ask)
        try:
            wait_for(lambda: not any(map(self.alive, living)), "an end", timeout_s=grace_s)
        except TimeoutError:
            for name in filter(self.alive, living):
                self._signal(name, signal.SIGKILL)
        wait_for(lambda: not any(map(self.alive, living)), f"the end of {living}")

    def kill_leftovers(self) -> None:
        """Kill every process that carries our marker: guests, workers and their children too."""

        def leftovers() -> list[psutil.Process]:
            return marked(self.folder)

        for process in leftovers():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        for name in self.names():
            _reap(self.pid(name))
        wait_for(lambda: not leftovers(), f"the end of the processes of {self.folder}")

    def forget(self) -> None:
        """Empty the table: nothing runs any more."""
        self._table.unlink(missing_ok=True)

    def _signal(self, name: str, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid(name), number)

    def _read(self) -> dict[str, dict[str, float]]:
        try:
            table: dict[str, dict[str, float]] = json.loads(self._table.read_text())
        except FileNotFoundError:
            return {}
        return table

    def _write(self, table: Mapping[str, Mapping[str, float]]) -> None:
        new = self._table.with_suffix(".new")
        new.write_text(json.dumps(table, indent=1))
        new.replace(self._table)


def _reap(pid: int) -> None:
    """Collect the exit code of a child of ours that has ended, so that no zombie stays."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def as_user(user: str | None) -> list[str]:
    """The words before a command that let root run it as another user."""
    if user is None or os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"]


def is_alive(pid: int, created: float) -> bool:
    """Whether the very process runs, and not only a later one with its id."""
    try:
        process = psutil.Process(pid)
        # The time is counted from the machine's boot, whose date moves with each correction of
        # the clock.
        same = abs(process.create_time() - created) < 2
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(folder: Path) -> list[psutil.Process]:
    """The living processes that carry the marker of the control plane of `folder`.

    Not this one, nor those that wait for it: they run the tests.
    """
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid not in ours
                and process.environ().get(MARKER) == str(folder)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found
