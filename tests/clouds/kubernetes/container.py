"""A pod's container as a process of this machine, with the limits of its cgroup."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.clouds.processes import MARKER, is_alive
from tests.clouds.waiting import wait_for

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Process 1 of its own process namespace, as in a container: a kill ends all it has started, and
# SIGTERM does nothing unless it is handled. /var/log is its own too. The first arguments, up to
# --, are its cgroups.
_ISOLATED = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c")
_ENTER = """
mount -t tmpfs tmpfs /var/log || exit 125
while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" && shift || exit 125; done
shift
exec "$@"
"""
KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True)
class Container:
    """A started container; its record on disk outlives the kubelet.

    Attributes:
        folder: record, log and disk; the pod's uid is its name.
        pid: the process whose end is the container's.
        created: when the process started, by the kernel's clock.
        limits: its cgroup folders.
    """

    folder: Path
    pid: int
    created: float
    limits: tuple[Path, ...]

    @classmethod
    def start(
        cls,
        folder: Path,
        command: Sequence[str],
        variables: Mapping[str, str],
        limits: Sequence[Path],
    ) -> Container:
        """Run the command with nothing but the pod's variables and a container's few.

        Raises:
            OSError: the command cannot be started.
        """
        disk = folder / "disk"
        disk.mkdir(parents=True)
        base = {"PATH": _PATH, "HOME": str(disk), "TMPDIR": str(disk), "LANG": "C.UTF-8"}
        environment = {**base, MARKER: os.environ.get(MARKER, ""), **variables}
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*_ISOLATED, _ENTER, "container", *map(str, limits), "--", *command],
                env=environment,
                cwd=disk,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process.returncode = 0  # we wait for it by its id, also after a restart
        created = psutil.Process(process.pid).create_time()
        record = {"pid": process.pid, "created": created, "limits": [str(path) for path in limits]}
        (folder / "record.json").write_text(json.dumps(record))
        return cls(folder, process.pid, created, tuple(limits))

    @classmethod
    def found(cls, folder: Path) -> Container | None:
        """The container that an earlier kubelet started, dead or alive."""
        try:
            record = json.loads((folder / "record.json").read_text())
        except FileNotFoundError:
            return None
        limits = tuple(map(Path, record["limits"]))
        return cls(folder, int(record["pid"]), float(record["created"]), limits)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return is_alive(self.pid, self.created)

    def wait(self) -> int:
        """Wait for its end; the exit code as a container runtime gives it."""
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:  # started by an earlier kubelet: the code is lost
            wait_for(lambda: not self.alive, "the container's end", timeout_s=float("inf"))
            return KILLED
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Ask process 1 of the container to end."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self.alive:
                for child in psutil.Process(self.pid).children():
                    child.terminate()

    def kill(self) -> None:
        """End everything in the container at once; its exit code tells the signal."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self.alive:
                psutil.Process(self.pid).kill()  # and --kill-child does the rest
        wait_for(lambda: not self.alive, f"the end of container {self.folder.name}")
