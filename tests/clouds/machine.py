"""What a control plane asks of the machine: root, Debian packages, free ports, a cache folder."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".clouds"
"""Everything that the harnesses build, install or write; git ignores it."""

_POLICY = Path("/usr/sbin/policy-rc.d")
_REFUSE_SERVICES = "#!/bin/sh\nexit 101\n"
# Below Linux's range of ephemeral ports: an outgoing connection cannot take one of these between
# the choice and the start of the server.
_PORTS = range(20_000, 32_000)


class CloudUnavailableError(Exception):
    """This machine cannot set up the control plane; the message says in one line why."""


def require_root() -> None:
    """Packages, cgroups and mount namespaces need root.

    Raises:
        CloudUnavailableError: the user is not root.
    """
    if os.geteuid() != 0:
        raise CloudUnavailableError("it needs root: packages, cgroups and mount namespaces")


def require_disk(path: Path, gib: float) -> None:
    """A build that fills the disk would break more than itself.

    Raises:
        CloudUnavailableError: less than `gib` GiB are free below `path`.
    """
    path.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path).free / 2**30
    if free < gib:
        raise CloudUnavailableError(f"{path} has {free:.1f} GiB free, and {gib:g} are needed")


def require_namespaces(*, overlays: bool = False) -> None:
    """The processes that stand in for VMs and pods have process and mount namespaces.

    Args:
        overlays: they also have folders of their own above the machine's.

    Raises:
        CloudUnavailableError: this machine (a container, perhaps) does not let them.
    """
    script = "mount -t tmpfs tmpfs /var/log"
    if overlays:
        script += (
            " && mkdir /var/log/upper /var/log/work"
            " && mount -t overlay -o lowerdir=/etc,upperdir=/var/log/upper,workdir=/var/log/work"
            " o /etc"
        )
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        raise CloudUnavailableError(f"namespaces need unshare: {error}") from None
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise CloudUnavailableError(f"namespaces and mounts are not to be had: {reason}")


def install_packages(packages: Sequence[str]) -> None:
    """Install the Debian packages that are missing, without starting their services.

    Raises:
        CloudUnavailableError: no apt, or the archive is not reached or lacks a package.
    """
    missing = [name for name in packages if not _installed(name)]
    if not missing:
        return
    require_root()
    if shutil.which("apt-get") is None:
        raise CloudUnavailableError(f"no apt-get to install {' '.join(missing)} with")
    log = CACHE / "apt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    own_policy = not _POLICY.exists()
    if own_policy:  # keeps apt from starting the services: ours run on ports of their own
        _POLICY.write_text(_REFUSE_SERVICES)
        _POLICY.chmod(0o755)
    try:
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "-y", "--no-install-recommends", *missing],
        ):
            with log.open("a") as out:
                code = subprocess.run(
                    [command[0], "-o", "DPkg::Lock::Timeout=500", *command[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                    check=False,
                ).returncode
            # A third party's list that is not reached fails an update, and need not matter.
            if code and command[1] == "install":
                raise CloudUnavailableError(
                    f"apt-get cannot install {' '.join(missing)}: see {log}"
                )
    finally:
        if own_policy:
            _POLICY.unlink()


def _installed(package: str) -> bool:
    """Whether dpkg has the package, whole."""
    if shutil.which("dpkg-query") is None:
        return False
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", package]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.startswith("ii")


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nothing listens on now."""
    chosen: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise CloudUnavailableError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")
