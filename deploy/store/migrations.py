"""How a store that an older controller made is brought up to date, one small step at a time.

To change the schema: change `deploy.store.schema`, and append one `Step` to `STEPS` that makes the
same change in a store that has rows. A store's version counts the steps that it has seen, so that
steps are only ever appended. A step uses no table of `deploy.store.schema`: those change later,
and the step must still do what it does today. All steps of a start are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.schema import CreateColumn

_FIRST_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the schema.

    Attributes:
        what: for the log, as "jobs tell their priority".
        do: makes it, within the transaction of the connection.
    """

    what: str
    do: Callable[[Connection], None]


def add_column(connection: Connection, table: str, column: Column[Any]) -> None:
    """Add a column to a table that has rows.

    Args:
        connection: to the store.
        table: its name.
        column: nullable or with a server default: what is in the old rows. It must be neither
            unique nor indexed: see `add_index`.
    """
    if column.unique or column.index or column.primary_key:
        raise ValueError(f"column {column.name}: add its index with add_index")
    Table(table, MetaData(), column)  # a column is only spelled out as part of a table
    how = CreateColumn(column).compile(dialect=connection.dialect)
    name = connection.dialect.identifier_preparer.quote(table)
    connection.execute(text(f"ALTER TABLE {name} ADD COLUMN {how}"))


def add_index(
    connection: Connection, name: str, table: str, columns: Iterable[str], *, unique: bool = False
) -> None:
    """Add an index; in the schema it is an `Index` of the same name."""
    here = Table(table, MetaData(), autoload_with=connection)
    Index(name, *(here.c[column] for column in columns), unique=unique).create(connection)


def _fence(connection: Connection) -> None:
    Table(
        "fence",
        MetaData(),
        Column("one", Integer, primary_key=True, autoincrement=False),
        Column("epoch", BigInteger, nullable=False),
        Column("holder", Text, nullable=False),
        Column("since", Float(53), nullable=False),
    ).create(connection)


def _secret_hash(connection: Connection) -> None:
    add_column(connection, "workers", Column("secret_hash", String(64)))


def _failures(connection: Connection) -> None:
    number = BigInteger().with_variant(Integer, "sqlite")
    Table(
        "failures",
        MetaData(),
        Column("number", number, primary_key=True, autoincrement=True),
        Column("request_id", String(64), nullable=False, index=True),
        Column("worker_id", String(64), nullable=False),
        Column("task_id", String(64), nullable=False),
        Column("fault", String(20), nullable=False),
        Column("counted", Boolean, nullable=False),
        Column("reason", Text, nullable=False),
        Column("time", Float(53), nullable=False),
    ).create(connection)


def _ends_and_retries(connection: Connection) -> None:
    for name in ("time_ended", "time_retried"):
        add_column(connection, "jobs", Column(name, Float(53)))


def _labels_and_keys(connection: Connection) -> None:
    for name in ("idempotency_key", "fingerprint"):
        add_column(connection, "jobs", Column(name, String(64)))
    add_index(connection, "ix_jobs_idempotency_key", "jobs", ["idempotency_key"], unique=True)
    add_index(connection, "ix_jobs_time_received", "jobs", ["time_received"])
    Table(
        "labels",
        MetaData(),
        Column("request_id", String(64), primary_key=True),
        Column("name", String(64), primary_key=True),
        Column("value", Text, nullable=False),
        Index("ix_labels_name_value", "name", "value"),
    ).create(connection)


def _urgency(connection: Connection) -> None:
    priority = Column("priority", String(10), nullable=False, server_default="normal")
    add_column(connection, "jobs", priority)
    add_column(connection, "jobs", Column("deadline", Float(53)))


def _webhooks(connection: Connection) -> None:
    add_column(connection, "jobs", Column("webhook", Text))
    Table(
        "webhooks",
        MetaData(),
        Column("event_id", String(64), primary_key=True),
        Column("request_id", String(64), nullable=False),
        Column("url", Text, nullable=False),
        Column("body", Text, nullable=False),
        Column("next_at", Float(53), nullable=False),
        Column("tries", Integer, nullable=False),
        Column("state", String(20), nullable=False),
        Column("error", Text),
        Index("ix_webhooks_state_next_at", "state", "next_at"),
    ).create(connection)


STEPS: Final = (
    Step("only the latest controller writes", _fence),
    Step("workers prove who they are", _secret_hash),
    Step("attempts that failed are remembered", _failures),
    Step("jobs tell when they ended, and when they were asked for again", _ends_and_retries),
    Step("jobs have labels, and keys against doubles", _labels_and_keys),
    Step("jobs have a priority and a deadline", _urgency),
    Step("clients are told of the end of jobs", _webhooks),
)
"""In the order in which they were invented: only append."""

SCHEMA_VERSION: Final = _FIRST_VERSION + len(STEPS)


def migrate(connection: Connection, version: int) -> list[str]:
    """Bring a store from its version to `SCHEMA_VERSION`.

    Args:
        connection: in a transaction that is rolled back when a step fails.
        version: from 1 to `SCHEMA_VERSION`.

    Returns:
        What was done, one line a step.
    """
    missing = STEPS[version - _FIRST_VERSION :]
    for step in missing:
        step.do(connection)
    return [step.what for step in missing]
