"""The tests in the folders here run against real control planes, and only when asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clouds.kubernetes.fixtures import kubernetes_cluster, kubernetes_session
from tests.clouds.openstack.fixtures import openstack_cloud, openstack_session
from tests.clouds.prometheus.fixtures import prometheus_server
from tests.clouds.run import CLOUDS
from tests.clouds.s3.fixtures import s3_cloud, s3_server

__all__ = [
    "kubernetes_cluster",
    "kubernetes_session",
    "openstack_cloud",
    "openstack_session",
    "prometheus_server",
    "s3_cloud",
    "s3_server",
]

# openstacksdk's own modules call what it calls deprecated, whatever its caller does.
_SDK_WARNINGS = tuple(
    f"ignore::openstack.warnings.{name}"
    for name in ("_RemovedInSDKWarning", "OpenStackDeprecationWarning")
)

_HERE = Path(__file__).parent

# Their asserts are the tests'.
pytest.register_assert_rewrite("tests.clouds.service_scenes", "tests.clouds.live")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--clouds",
        default="",
        help=f"real control planes to set up and test, by commas: {','.join(CLOUDS)}",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the folder of every control plane that was not asked for."""
    if collection_path.parent == _HERE and collection_path.name in CLOUDS:
        return collection_path.name not in _wanted(config) or None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests of OpenStack pass though the SDK warns of itself."""
    for item in items:
        if item.path.is_relative_to(_HERE / "openstack"):
            item.add_marker(pytest.mark.filterwarnings(*_SDK_WARNINGS))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say aloud what was left out, and how to run it."""
    left_out = [name for name in CLOUDS if name not in _wanted(config)]
    if len(left_out) == len(CLOUDS):
        commands = ", ".join(f"make test-{name}" for name in left_out)
        terminalreporter.write_line(f"NOT RUN, tests against real control planes: {commands}")


def _wanted(config: pytest.Config) -> list[str]:
    # When it is given no path, pytest learns of this file too late to know its option.
    return str(config.getoption("--clouds", default="")).split(",")
