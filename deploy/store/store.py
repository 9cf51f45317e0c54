"""The store: jobs, workers and settings in SQLite or PostgreSQL.

Every method blocks; `deploy.store.writer` and `asyncio.to_thread` keep that off the event loop.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    bindparam,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from deploy.store.lock import Lock, lock_store
from deploy.store.migrations import SCHEMA_VERSION, migrate
from deploy.store.records import (
    Change,
    FailureRecord,
    JobChange,
    JobRecord,
    JobState,
    MetaChange,
    WorkerChange,
    WorkerRecord,
    WorkerStatus,
)
from deploy.store.schema import failures, jobs, meta, metadata, workers
from env.errors import DaCircoError

CONTROLLER_ID: Final = "controller_id"
PREFERENCE: Final = "preference"
IMAGE: Final = "image"
_SCHEMA: Final = "schema_version"
_BUSY_TIMEOUT_MS: Final = 10_000
_UNFINISHED: Final = (JobState.WAITING, JobState.STARTED)

_LOGGER = logging.getLogger(__name__)


class StoreError(DaCircoError):
    """The store cannot be used; the message names it and the fix."""


class Store:
    """The open store of one controller.

    Args:
        url: of SQLAlchemy: ``sqlite:///file`` or ``postgresql+psycopg://...``.

    Attributes:
        controller_id: made when the store was made; tags what this controller owns in a cloud.

    Raises:
        StoreError: it cannot be opened, is of another version, or another controller has it.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self.name = self._engine.url.render_as_string(hide_password=True)
        try:
            self._lock: Lock = lock_store(self._engine)
        except (OSError, SQLAlchemyError) as error:
            raise StoreError(f"store {self.name}: {_reason(error)}") from None
        try:
            with self._engine.begin() as connection:
                self._bring_up_to_date(connection)
                self.controller_id = _setting(connection, CONTROLLER_ID) or str(uuid.uuid4())
                _set(connection, CONTROLLER_ID, self.controller_id)
        except (OSError, SQLAlchemyError) as error:
            self.close()
            raise StoreError(f"store {self.name}: {_reason(error)}") from None
        except BaseException:
            self.close()
            raise

    def _bring_up_to_date(self, connection: Connection) -> None:
        if not inspect(connection).has_table(meta.name):
            metadata.create_all(connection)  # a table that is there and not ours is told below
            _set(connection, _SCHEMA, str(SCHEMA_VERSION))
        else:
            version = self._version(connection)
            for what in migrate(connection, version):
                _LOGGER.info(
                    "store %s of version %d, brought up to date: %s", self.name, version, what
                )
            _set(connection, _SCHEMA, str(SCHEMA_VERSION))
        self._check_tables(connection)

    def _version(self, connection: Connection) -> int:
        text = _setting(connection, _SCHEMA) or "none"
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
            raise StoreError(
                f"store {self.name} is not one of ours: its schema version is {text[:40]!r}; "
                "use another store"
            )
        if int(text) > SCHEMA_VERSION:
            raise StoreError(
                f"store {self.name} has schema version {text}, this controller knows them up to "
                f"{SCHEMA_VERSION}: use the newer controller that made it, or another store"
            )
        return int(text)

    def _check_tables(self, connection: Connection) -> None:
        for table in metadata.sorted_tables:
            found = inspect(connection)
            known = found.get_columns(table.name) if found.has_table(table.name) else []
            here = {column["name"] for column in known}
            missing = sorted({column.name for column in table.columns} - here)
            if missing:
                raise StoreError(
                    f"store {self.name} is not one of ours: its table {table.name} lacks "
                    f"{', '.join(missing)}; use another store"
                )

    def close(self) -> None:
        """Let go of it."""
        self._lock.release()
        self._engine.dispose()

    # -- writing ----------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> None:
        """Make the changes durable, all of them or none."""
        with self._engine.begin() as connection:
            for change in changes:
                _apply(connection, change)

    # -- reading ----------------------------------------------------------------------

    def job(self, request_id: str) -> JobRecord | None:
        """A job by its id."""
        with self._engine.connect() as connection:
            query = select(jobs).where(jobs.c.request_id == request_id)
            row = connection.execute(query).mappings().first()
        return None if row is None else _job(row)

    def worker(self, worker_id: str) -> WorkerRecord | None:
        """A worker by its id."""
        with self._engine.connect() as connection:
            query = select(workers).where(workers.c.worker_id == worker_id)
            row = connection.execute(query).mappings().first()
        return None if row is None else _worker(row)

    def job_ids(self, offset: int = 0, limit: int | None = None) -> list[str]:
        """Ids of all jobs in the order of arrival."""
        return self._ids(jobs, "request_id", offset, limit)

    def worker_ids(self, offset: int = 0, limit: int | None = None) -> list[str]:
        """Ids of all workers in the order of their spawns."""
        return self._ids(workers, "worker_id", offset, limit)

    def unfinished_jobs(self) -> list[JobRecord]:
        """The jobs that wait or are in process, in the order of arrival."""
        with self._engine.connect() as connection:
            query = select(jobs).where(jobs.c.state.in_(_UNFINISHED)).order_by(jobs.c.number)
            return [_job(row) for row in connection.execute(query).mappings()]

    def unfinished_failures(self) -> list[FailureRecord]:
        """The failed attempts of the jobs that wait or are in process, in order."""
        mine = select(jobs.c.request_id).where(jobs.c.state.in_(_UNFINISHED))
        query = select(failures).where(failures.c.request_id.in_(mine)).order_by(failures.c.number)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings()
            return [FailureRecord(**{name: row[name] for name in _FAILURE_FIELDS}) for row in rows]

    def living_workers(self) -> list[WorkerRecord]:
        """The workers that were not known to be gone, in the order of their spawns."""
        with self._engine.connect() as connection:
            query = select(workers).where(workers.c.state != WorkerStatus.STOPPED)
            rows = connection.execute(query.order_by(workers.c.number)).mappings()
            return [_worker(row) for row in rows]

    def booted_nodes(self, since: float = 0.0) -> list[str]:
        """The nodes on which a worker has registered, ever or since a time of the epoch."""
        query = select(workers.c.node).where(workers.c.time_registered >= since).distinct()
        with self._engine.connect() as connection:
            return sorted(connection.execute(query).scalars())

    def setting(self, key: str) -> str | None:
        """A setting that outlives the controller."""
        with self._engine.connect() as connection:
            return _setting(connection, key)

    def _ids(self, table: Table, column: str, offset: int, limit: int | None) -> list[str]:
        with self._engine.connect() as connection:
            query = select(table.c[column]).order_by(table.c.number).offset(offset).limit(limit)
            return list(connection.execute(query).scalars())


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
            raise StoreError(f"store {url!r} is kept nowhere: give a file, sqlite:///FILE")
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except (ArgumentError, NoSuchModuleError, ImportError):
        raise StoreError(
            f"store {_hidden(url)!r} is not a URL of a database that is installed: "
            "give sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _make_durable)
        event.listen(engine, "begin", _begin)
    return engine


def _make_durable(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions: `_begin` does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin(connection: Connection) -> None:
    """So that changes of the schema are part of the transaction, too."""
    connection.exec_driver_sql("BEGIN")


def _hidden(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}" if "@" in rest else url


def _reason(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(origin).split()) or type(origin).__name__


_INSERT_JOB: Final = insert(jobs)
_INSERT_WORKER: Final = insert(workers)
_INSERT_FAILURE: Final = insert(failures)


def _apply(connection: Connection, change: Change) -> None:
    match change:
        case JobRecord():
            connection.execute(_INSERT_JOB, asdict(change))
        case WorkerRecord():
            connection.execute(_INSERT_WORKER, asdict(change))
        case FailureRecord():
            connection.execute(_INSERT_FAILURE, asdict(change))
        case JobChange(key, values):
            where = jobs.c.request_id == bindparam("its_key")
            connection.execute(update(jobs).where(where), {"its_key": key, **values})
        case WorkerChange(key, values):
            where = workers.c.worker_id == bindparam("its_key")
            connection.execute(update(workers).where(where), {"its_key": key, **values})
        case MetaChange(key, value):
            _set(connection, key, value)


def _set(connection: Connection, key: str, value: str) -> None:
    if connection.execute(update(meta).where(meta.c.key == key).values(value=value)).rowcount == 0:
        connection.execute(insert(meta).values(key=key, value=value))


def _setting(connection: Connection, key: str) -> str | None:
    return connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar()


_JOB_FIELDS: Final = [field.name for field in fields(JobRecord)]
_WORKER_FIELDS: Final = [field.name for field in fields(WorkerRecord)]
_FAILURE_FIELDS: Final = [field.name for field in fields(FailureRecord)]


def _job(row: Any) -> JobRecord:
    values = {name: row[name] for name in _JOB_FIELDS}
    return JobRecord(**values | {"state": JobState(values["state"])})


def _worker(row: Any) -> WorkerRecord:
    values = {name: row[name] for name in _WORKER_FIELDS}
    return WorkerRecord(**values | {"state": WorkerStatus(values["state"])})
