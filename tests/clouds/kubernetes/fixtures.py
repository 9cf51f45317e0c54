"""Pytest fixtures of Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.kubernetes.cluster import KubernetesCluster
from tests.clouds.session import running


@pytest.fixture(scope="session")
def kubernetes_session() -> Iterator[KubernetesCluster]:
    """A real Kubernetes for the whole session."""
    with running(KubernetesCluster()) as cluster:
        yield cluster


@pytest.fixture
def kubernetes_cluster(kubernetes_session: KubernetesCluster) -> Iterator[KubernetesCluster]:
    """Kubernetes without a pod in it; what a test leaves is deleted after it."""
    kubernetes_session.clean()
    yield kubernetes_session
    kubernetes_session.clean()
