"""Sets up the real control planes, runs their tests, tears them down.

python -m tests.clouds.run NAME...             run the tests of these control planes
python -m tests.clouds.run --where-possible NAME...   the same; one loud line where one cannot be
python -m tests.clouds.run NAME up|down|status|prepare

Exit code: 0 passed, 1 a test failed, 2 bad usage, 3 the machine cannot set the control plane up.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from tests.clouds.cloud import Cloud
from tests.clouds.machine import REPOSITORY, CloudUnavailableError

CLOUDS: Mapping[str, str] = {
    "s3": "tests.clouds.s3.ceph:CephS3",
    "prometheus": "tests.clouds.prometheus.server:PrometheusServer",
    "openstack": "tests.clouds.openstack.cloud:OpenStackCloud",
    "kubernetes": "tests.clouds.kubernetes.cluster:KubernetesCluster",
}
CANNOT = 3


def make(name: str) -> Cloud:
    """The control plane of that name."""
    module, _, cls = CLOUDS[name].partition(":")
    cloud = getattr(importlib.import_module(module), cls)()
    assert isinstance(cloud, Cloud)
    return cloud


def test(name: str, arguments: Sequence[str]) -> int:
    """Run the tests of one control plane; pytest's fixtures set it up and tear it down."""
    make(name).prepare()
    command = [sys.executable, "-m", "pytest", f"tests/clouds/{name}", f"--clouds={name}"]
    return subprocess.run([*command, *arguments], cwd=REPOSITORY, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.clouds.run",
        description="Run the tests against real control planes on this machine.",
        epilog="exit code 3: the machine cannot set the control plane up",
    )
    parser.add_argument("names", nargs="+", choices=[*CLOUDS, "up", "down", "status", "prepare"])
    parser.add_argument(
        "--where-possible",
        action="store_true",
        help="print one line and go on where the machine cannot set a control plane up",
    )
    arguments, pytest_arguments = parser.parse_known_args()
    names: list[str] = arguments.names
    action = names.pop() if names[-1] not in CLOUDS else "test"
    if not names or not set(names) <= set(CLOUDS):
        parser.error("name the control planes first, then at most one action")
    actions: dict[str, Callable[[str], int]] = {
        "up": lambda name: _show(make(name), "up"),
        "down": lambda name: _show(make(name), "down"),
        "status": lambda name: _show(make(name), "status"),
        "prepare": lambda name: _show(make(name), "prepare"),
        "test": lambda name: test(name, pytest_arguments),
    }
    worst = 0
    for name in names:
        try:
            worst = max(worst, actions[action](name))
        except CloudUnavailableError as error:
            skip = arguments.where_possible
            verdict = "SKIPPED" if skip else "cannot run"
            print(f"*** {name} tests {verdict}: {error} ***", file=sys.stderr, flush=True)
            worst = worst if skip else max(worst, CANNOT)
    return worst


def _show(cloud: Cloud, action: str) -> int:
    """Do one step by hand and print where the control plane stands."""
    left = getattr(cloud, action)() if action != "status" else None
    print(cloud.status())
    if action == "down" and left:
        print("left behind:", *left)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
