"""Sets up the real control planes, runs their tests, tears them down.

python -m tests.clouds.run NAME...             run the tests of these control planes
python -m tests.clouds.run --where-possible --within 60 NAME...   as continuous integration does
python -m tests.clouds.run NAME up|down|status|prepare

Exit code: 0 passed, 1 a test failed, 2 bad usage, 3 the control plane cannot be set up.
"""

from __future__ import annotations

import argparse
import importlib
import math
import signal
import sys
import time
from collections.abc import Mapping, Sequence

from tests.clouds.cloud import Cloud
from tests.clouds.machine import CloudUnavailableError
from tests.clouds.trial import Limits, Trial, Verdict

CLOUDS: Mapping[str, str] = {
    "s3": "tests.clouds.s3.ceph:CephS3",
    "prometheus": "tests.clouds.prometheus.server:PrometheusServer",
    "openstack": "tests.clouds.openstack.cloud:OpenStackCloud",
    "kubernetes": "tests.clouds.kubernetes.cluster:KubernetesCluster",
}
ACTIONS = ("up", "down", "status", "prepare")
FAILED, CANNOT = 1, 3


def make(name: str) -> Cloud:
    """The control plane of that name."""
    module, _, cls = CLOUDS[name].partition(":")
    cloud = getattr(importlib.import_module(module), cls)()
    assert isinstance(cloud, Cloud)
    return cloud


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.clouds.run",
        description="Run the tests against real control planes on this machine.",
        epilog="exit code 3: a control plane cannot be set up",
    )
    parser.add_argument("names", nargs="+", choices=[*CLOUDS, *ACTIONS])
    parser.add_argument(
        "--where-possible",
        action="store_true",
        help="go on, with one loud line, where a control plane cannot be set up or its tests do "
        "not end in time; run tests that fail once more by themselves",
    )
    parser.add_argument(
        "--within",
        type=float,
        default=math.inf,
        metavar="MINUTES",
        help="leave out the control planes that would not be done by then",
    )
    arguments, pytest_arguments = parser.parse_known_args()
    names: list[str] = arguments.names
    action = names.pop() if names[-1] in ACTIONS else None
    if not names or not set(names) <= set(CLOUDS):
        parser.error("name the control planes first, then at most one action")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # nothing stays
    if action is not None:
        return max(_act(name, action) for name in names)
    deadline = time.monotonic() + 60 * arguments.within
    worst = 0
    for name in names:
        verdict, why = _try(name, pytest_arguments, deadline, patient=arguments.where_possible)
        line = f"{name} tests {verdict.value}: {why}"
        quiet = verdict is Verdict.PASSED
        print(line if quiet else f"*** {line} ***", file=sys.stderr, flush=True)
        if verdict is Verdict.FAILED:
            worst = max(worst, FAILED)
        elif verdict is Verdict.NOT_RUN and not arguments.where_possible:
            worst = max(worst, CANNOT)
    return worst


def _try(
    name: str, pytest_arguments: Sequence[str], deadline: float, *, patient: bool
) -> tuple[Verdict, str]:
    """Run one control plane's tests, if there is time for them."""
    limits = Limits().within(deadline - time.monotonic())
    if limits is None:
        return Verdict.NOT_RUN, "too little time is left for them"
    try:
        trial = Trial(
            make(name),
            [sys.executable, "-m", "tests.clouds.run", name, "up"],
            [f"tests/clouds/{name}", f"--clouds={name}", *pytest_arguments],
            limits=limits,
            patient=patient,
        )
        return trial.run()
    except Exception as error:
        if not patient:
            raise
        return Verdict.NOT_RUN, f"the harness broke: {error!r}"


def _act(name: str, action: str) -> int:
    """Do one step by hand and print where the control plane stands."""
    cloud = make(name)
    try:
        left = getattr(cloud, action)() if action != "status" else None
    except CloudUnavailableError as error:
        print(error, file=sys.stderr, flush=True)
        return CANNOT
    print(cloud.status())
    if action == "down" and left:
        print("left behind:", *left)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
