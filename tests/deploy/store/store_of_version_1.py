"""A store as the first controllers made it. It stays as it is: real stores look like this."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")

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
)

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

JOB = {
    "request_id": "old-job",
    "input_video": "bbb_0.mp4",
    "output_video": "out-bbb_0.mp4",
    "bitrate": 1000,
    "speed": "fast",
    "state": "Waiting",
    "attempts": 1,
    "time_received": 1700000000.5,
}
WORKER = {
    "worker_id": "old-worker",
    "name": "tc-vm-1",
    "flavor": "s10.small",
    "node": "compute1",
    "cpus": 2,
    "memory": 4.0,
    "state": "Idle",
    "time_created": 1700000001.5,
}
CONTROLLER_ID = "0b1f2f5c-7f0b-4d0a-9a6b-1f8f0d1f4a55"


def make(engine: Engine) -> None:
    """Make one with a job and a worker."""
    with engine.begin() as connection:
        metadata.create_all(connection)
        settings = {"schema_version": "1", "controller_id": CONTROLLER_ID, "preference": "0.3"}
        rows = [{"key": key, "value": value} for key, value in settings.items()]
        connection.execute(insert(meta), rows)
        connection.execute(insert(jobs), [JOB])
        connection.execute(insert(workers), [WORKER])
