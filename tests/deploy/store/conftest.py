"""The databases that a store may be in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine

from tests.deploy.store.postgres_server import PostgresServer, programs

POSTGRES = os.environ.get("DACIRCO_TEST_POSTGRES")
"""URL of a database that tests may empty, instead of a server of their own."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that a test may restart."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    """An empty database of PostgreSQL."""
    if POSTGRES is None:
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.new_database()
    engine = create_engine(POSTGRES)
    here = MetaData()
    here.reflect(engine)
    here.drop_all(engine)
    engine.dispose()
    return POSTGRES


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A file that is not there yet."""
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def any_url(request: pytest.FixtureRequest) -> str:
    """Each kind of database, empty."""
    return str(request.getfixturevalue(f"{request.param}_url"))
