"""Installing the OpenStack services into a virtual environment that is kept."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.clouds.machine import CloudUnavailableError
from tests.clouds.openstack.layout import SERVICES


def install_services(cache: Path) -> None:
    """Have `cache/venv` hold the locked services and our Neutron driver; quick when it does.

    Raises:
        CloudUnavailableError: PyPI is not reached or lacks a version.
    """
    lock, package = SERVICES / "requirements.lock", SERVICES / "ml2"
    sources = [lock, *sorted(package.rglob("*.py")), package / "pyproject.toml"]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    venv, stamp, log = cache / "venv", cache / "venv.sha256", cache / "install.log"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(venv, ignore_errors=True)
    own = cache / "ml2"  # building a package writes beside its sources
    shutil.rmtree(own, ignore_errors=True)
    shutil.copytree(package, own)
    pip = [venv / "bin/python", "-m", "pip", "--disable-pip-version-check", "install"]
    for command in (
        [sys.executable, "-m", "venv", venv],
        [*pip, "--no-deps", "-r", lock],
        [*pip, "--no-deps", own],
    ):
        with log.open("a") as out:
            done = subprocess.run(
                [*map(str, command)], stdout=out, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            raise CloudUnavailableError(f"the services cannot be installed from PyPI: see {log}")
    shutil.rmtree(own)
    stamp.write_text(wanted)
