"""Pytest fixtures of OpenStack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.openstack.cloud import OpenStackCloud
from tests.clouds.session import running


@pytest.fixture(scope="session")
def openstack_session() -> Iterator[OpenStackCloud]:
    """A real OpenStack for the whole session."""
    with running(OpenStackCloud()) as cloud:
        yield cloud


@pytest.fixture
def openstack_cloud(openstack_session: OpenStackCloud) -> Iterator[OpenStackCloud]:
    """OpenStack without a server in it; what a test leaves is deleted after it."""
    openstack_session.clean()
    yield openstack_session
    openstack_session.clean()
