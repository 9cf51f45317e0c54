r"""The guest: what a VM of the image `dacirco` does when it boots, in a process of this machine.

    unshare --mount --pid --fork --kill-child \
        python -m tests.clouds.openstack.guest CGROUP FOLDER

It runs as process 1 of a process namespace, so that pulling the plug ends all it has started, and
in a mount namespace where /etc and /var/log are its own: the server's real user data writes
/etc/dacirco/environment there. Then it starts the worker with these variables, as the image's
systemd unit does. The guest goes on when the worker ends, as a VM does.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.clouds import cgroups
from tests.clouds.processes import MARKER

ENVIRONMENT = Path("/etc/dacirco/environment")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main(group: str, folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    limits = cgroups.limit(
        group, record["uuid"], cpus=record["vcpus"], memory_bytes=record["memory_mb"] * 2**20
    )
    cgroups.enter(limits)
    _own(Path("/etc"), folder)
    _own(Path("/var/log"), folder)
    ENVIRONMENT.parent.mkdir(exist_ok=True)  # the image has the folder
    base = {
        "PATH": _PATH,
        "HOME": str(folder / "disk"),
        "TMPDIR": str(folder / "disk"),
        "LANG": "C.UTF-8",
        MARKER: os.environ.get(MARKER, ""),
    }
    if (folder / "user_data").stat().st_size:  # cloud-init runs what begins with #!
        user_data = folder / "disk" / "user_data"
        user_data.write_bytes((folder / "user_data").read_bytes())
        user_data.chmod(0o700)
        code = subprocess.run([user_data], env=base, check=False).returncode
        print(f"guest {record['name']}: user data ended with {code}", flush=True)
    if ENVIRONMENT.exists():
        variables = environment_file(ENVIRONMENT.read_text())
        subprocess.Popen([record["worker"]], env={**base, **variables}, cwd=folder / "disk")
    else:
        print(f"guest {record['name']}: no {ENVIRONMENT}: no worker", flush=True)
    while True:  # process 1 collects what ends
        try:
            pid, status = os.wait()
            print(
                f"guest: process {pid} ended with {os.waitstatus_to_exitcode(status)}", flush=True
            )
        except ChildProcessError:
            ctypes.CDLL(None).pause()


def environment_file(text: str) -> dict[str, str]:
    """The variables as systemd's EnvironmentFile reads them (without line continuation)."""
    variables = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith(("#", ";")):
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            quote, value = value[0], value[1:-1]
            if quote == '"':
                for special in '"\\$`':
                    value = value.replace(f"\\{special}", special)
        variables[key] = value
    return variables


def _own(folder: Path, guest: Path) -> None:
    """Give the mount namespace a copy of the folder that only it writes, kept in memory."""
    layer = guest / ("own" + str(folder).replace("/", "-"))
    layer.mkdir()
    _mount("-t", "tmpfs", "tmpfs", layer)
    upper, work = layer / "upper", layer / "work"
    upper.mkdir()
    work.mkdir()
    _mount("-t", "overlay", "-o", f"lowerdir={folder},upperdir={upper},workdir={work}", "o", folder)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
