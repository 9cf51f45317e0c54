"""Pytest fixtures of the S3 server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.s3.ceph import CephS3, S3Server
from tests.clouds.session import running


@pytest.fixture(scope="session")
def s3_cloud() -> Iterator[CephS3]:
    """A real S3 server for the whole session, with what tests do to it."""
    with running(CephS3()) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def s3_server(s3_cloud: CephS3) -> S3Server:
    """How to reach it, with an administrator's keys."""
    return s3_cloud.server()
