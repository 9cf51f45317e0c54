"""Pytest fixtures of the Prometheus server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.prometheus.server import PrometheusServer
from tests.clouds.session import running


@pytest.fixture(scope="session")
def prometheus_server() -> Iterator[PrometheusServer]:
    """A real Prometheus with the load of compute1, compute2 and compute3, for the session."""
    with running(PrometheusServer()) as cloud:
        yield cloud
