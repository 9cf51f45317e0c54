"""The tests in this folder run against real control planes, and only when they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clouds.kubernetes.fixtures import kubernetes_cluster, kubernetes_session
from tests.clouds.openstack.fixtures import openstack_cloud, openstack_session
from tests.clouds.prometheus.fixtures import prometheus_server
from tests.clouds.s3.fixtures import s3_server

__all__ = [
    "kubernetes_cluster",
    "kubernetes_session",
    "openstack_cloud",
    "openstack_session",
    "prometheus_server",
    "s3_server",
]

# openstacksdk's own modules call what it calls deprecated, whatever its caller does.
_SDK_WARNINGS = tuple(
    f"ignore::openstack.warnings.{name}"
    for name in ("_RemovedInSDKWarning", "OpenStackDeprecationWarning")
)

_HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--clouds",
        default="",
        help="control planes to set up and test, by commas: s3,prometheus,openstack,kubernetes",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of every control plane that was not asked for."""
    # Without a path, pytest learns of this file too late to know its option.
    wanted = set(str(config.getoption("--clouds", default="")).split(","))

    def selected(item: pytest.Item) -> bool:
        if not item.path.is_relative_to(_HERE):
            return True
        folder = item.path.relative_to(_HERE).parts[0]
        return folder in wanted or folder.endswith(".py")

    for item in items:
        if item.path.is_relative_to(_HERE / "openstack"):
            item.add_marker(pytest.mark.filterwarnings(*_SDK_WARNINGS))
    deselected = [item for item in items if not selected(item)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if selected(item)]
