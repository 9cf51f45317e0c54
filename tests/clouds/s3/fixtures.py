"""Pytest fixtures of the S3 server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.s3.ceph import CephS3, S3Server
from tests.clouds.session import running


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 server with an administrator's keys, for the whole session."""
    with running(CephS3()) as cloud:
        yield cloud.server()
