"""A store that an older controller made is brought up to date with all that is in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, String, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from deploy.store import migrations
from deploy.store.migrations import SCHEMA_VERSION, Step, add_column, add_index
from deploy.store.records import JobRecord, WorkerRecord, WorkerStatus
from deploy.store.store import Store, StoreError
from tests.deploy.store import store_of_version_1 as old


@pytest.fixture
def engine(any_url: str) -> Iterator[Engine]:
    made = create_engine(any_url)
    yield made
    made.dispose()


def shape(engine: Engine) -> dict[str, Any]:
    """All that the database knows of its tables."""
    look = inspect(engine)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"])
                for column in look.get_columns(table)
            },
            "indexes": {
                (index["name"], tuple(index["column_names"]), bool(index["unique"]))
                for index in look.get_indexes(table)
            },
            "unique": {tuple(key["column_names"]) for key in look.get_unique_constraints(table)},
            "key": look.get_pk_constraint(table)["constrained_columns"],
        }
        for table in look.get_table_names()
    }


def version_of(engine: Engine) -> str:
    with engine.connect() as connection:
        query = text("SELECT value FROM meta WHERE key = 'schema_version'")
        return str(connection.execute(query).scalar())


def test_a_store_of_the_first_version_keeps_what_it_holds(engine: Engine, any_url: str) -> None:
    old.make(engine)
    store = Store(any_url)
    assert store.controller_id == old.CONTROLLER_ID
    assert store.job_ids() == ["old-job"]
    assert store.job("old-job") == JobRecord(
        "old-job", "bbb_0.mp4", "out-bbb_0.mp4", 1000, "fast", 1700000000.5, attempts=1
    )
    assert store.worker("old-worker") == WorkerRecord(
        *("old-worker", "tc-vm-1", "s10.small", "compute1", 2, 4.0, 1700000001.5),
        state=WorkerStatus.IDLE,
    )
    assert store.setting("preference") == "0.3"
    store.apply([JobRecord("new-job", "a.mp4", "out-a.mp4", 1000, "fast", 17e8)])
    store.close()
    assert version_of(engine) == str(SCHEMA_VERSION)


def test_it_then_looks_as_a_new_one(tmp_path: Path) -> None:
    brought = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    old.make(brought)
    new = create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    for engine in (brought, new):
        Store(engine.url.render_as_string()).close()
    assert shape(brought) == shape(new)
    for engine in (brought, new):
        engine.dispose()


def test_it_then_looks_as_a_new_one_in_postgresql(postgres: Any) -> None:
    brought, new = (create_engine(postgres.new_database()) for _ in range(2))
    old.make(brought)
    for engine in (brought, new):
        Store(engine.url.render_as_string()).close()
    assert shape(brought) == shape(new)
    for engine in (brought, new):
        engine.dispose()


def test_a_step_that_fails_changes_nothing(
    engine: Engine, any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.make(engine)
    before = shape(engine)

    def half(connection: Any) -> None:
        add_column(connection, "jobs", Column("colour", Integer))
        connection.execute(text("SELECT * FROM nowhere"))

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", (*migrations.STEPS, Step("jobs tell half", half)))
        with pytest.raises(StoreError, match="nowhere"):
            Store(any_url)
    assert shape(engine) == before
    assert version_of(engine) == "1"
    Store(any_url).close()
    assert version_of(engine) == str(SCHEMA_VERSION)


def test_columns_and_indexes_are_added_to_tables_that_have_rows(engine: Engine) -> None:
    old.make(engine)
    with engine.begin() as connection:
        add_column(connection, "workers", Column("public_id", String(64)))
        connection.execute(text("UPDATE workers SET public_id = 'p'"))
        add_index(connection, "ix_workers_public_id", "workers", ["public_id"], unique=True)
        add_column(connection, "jobs", Column("priority", Integer, server_default="7"))
    now = shape(engine)
    assert ("ix_workers_public_id", ("public_id",), True) in now["workers"]["indexes"]
    with engine.begin() as connection:
        assert connection.execute(text("SELECT priority FROM jobs")).scalar() == 7
        again = "INSERT INTO workers (worker_id, name, flavor, node, cpus, memory, state, "
        again += "time_created, public_id) VALUES ('w', 'w', 'f', 'n', 1, 1, 'Idle', 1, 'p')"
        with pytest.raises(DBAPIError, match=r"(?i)unique"):
            connection.execute(text(again))


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (str(SCHEMA_VERSION + 1), "use the newer controller"),
        ("0", "not one of ours"),
        ("soon", "not one of ours"),
        (None, "not one of ours"),
    ],
)
def test_a_version_that_is_not_ours(
    sqlite_url: str, tmp_path: Path, version: str | None, message: str
) -> None:
    Store(sqlite_url).close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("DELETE FROM meta WHERE key = 'schema_version'")
        if version is not None:
            connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (version,))
    connection.close()
    with pytest.raises(StoreError, match=message):
        Store(sqlite_url)
