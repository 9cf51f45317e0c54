"""The store's tables. `number` counts the rows in the order of their arrival.

A change here needs a step in `deploy.store.migrations`, for the stores that exist.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

# SQLite counts up only in a column that is declared as INTEGER.
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("request_id", String(64), unique=True, nullable=False),
    Column("input_video", Text, nullable=False),
    Column("output_video", Text, nullable=False),
    Column("bitrate", Integer, nullable=False),
    Column("speed", String(20), nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("worker_id", String(64)),
    Column("task_id", String(64)),
    Column("error_message", Text),
    Column("time_received", Float(53), nullable=False),
    Column("time_assigned", Float(53)),
    Column("time_started", Float(53)),
    Column("time_downloaded", Float(53)),
    Column("time_transcoded", Float(53)),
    Column("time_uploaded", Float(53)),
    Column("time_ended", Float(53)),
    Column("time_retried", Float(53)),
    Column("idempotency_key", String(64)),
    Column("fingerprint", String(64)),
    Column("priority", String(10), nullable=False, server_default="normal"),
    Column("deadline", Float(53)),
    Column("webhook", Text),
    Index("ix_jobs_idempotency_key", "idempotency_key", unique=True),
    Index("ix_jobs_time_received", "time_received"),
)

# What clients' servers are to be told of ended jobs.
webhooks = Table(
    "webhooks",
    metadata,
    Column("event_id", String(64), primary_key=True),
    Column("request_id", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("next_at", Float(53), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("error", Text),
    Index("ix_webhooks_state_next_at", "state", "next_at"),
)

labels = Table(
    "labels",
    metadata,
    Column("request_id", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Index("ix_labels_name_value", "name", "value"),
)

workers = Table(
    "workers",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("worker_id", String(64), unique=True, nullable=False),
    Column("name", Text, nullable=False),
    Column("flavor", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("cpus", Integer, nullable=False),
    Column("memory", Float(53), nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("time_created", Float(53), nullable=False),
    Column("time_registered", Float(53)),
    Column("time_destroyed", Float(53)),
    Column("reason", Text),
    Column("secret_hash", String(64)),
)

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

# One row: who may write. See `deploy.store.fence`.
fence = Table(
    "fence",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("since", Float(53), nullable=False),
)

# Attempts that came to nothing, by their own or their worker's fault.
failures = Table(
    "failures",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("request_id", String(64), nullable=False, index=True),
    Column("worker_id", String(64), nullable=False),
    Column("task_id", String(64), nullable=False),
    Column("fault", String(20), nullable=False),
    Column("counted", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("time", Float(53), nullable=False),
)
