"""Building the Kubernetes servers, which are kept: no archive has them ready."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.clouds.machine import CloudUnavailableError, install_packages, require_disk

_SCRIPT = Path(__file__).resolve().parent / "build_from_debian.sh"


def build_servers(cache: Path) -> None:
    """Have `cache/bin` hold API server, scheduler and controller-manager; quick when it does.

    Raises:
        CloudUnavailableError: the source is not reached, the disk is too full, or the build fails.
    """
    if (cache / "bin").exists():
        return
    require_disk(cache, 4)
    install_packages(["golang-1.19-go", "rsync", "make", "jq"])
    log = cache / "build.log"
    with log.open("w") as out:
        code = subprocess.run(
            ["nice", "-n", "10", _SCRIPT, cache],
            env={"GOFLAGS": "-p=1", **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code:
        raise CloudUnavailableError(f"Kubernetes cannot be built from Debian's source: see {log}")
