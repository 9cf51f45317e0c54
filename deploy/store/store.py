"""The store: jobs, workers and settings in SQLite or PostgreSQL.

Every method blocks; `deploy.store.writer` and `asyncio.to_thread` keep that off the event loop.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, Final, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Select,
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

from deploy.store import fence, finding
from deploy.store.lock import Lock, lock_store
from deploy.store.migrations import SCHEMA_VERSION, migrate
from deploy.store.records import (
    Change,
    FailureRecord,
    JobChange,
    JobRecord,
    JobState,
    LabelRecord,
    MetaChange,
    Page,
    WebhookChange,
    WebhookRecord,
    WorkerChange,
    WorkerRecord,
    WorkerStatus,
)
from deploy.store.rows import RowLike, job_of, worker_of
from deploy.store.schema import failures, jobs, labels, meta, metadata, webhooks, workers
from env.errors import DaCircoError

CONTROLLER_ID: Final = "controller_id"
PREFERENCE: Final = "preference"
IMAGE: Final = "image"
_SCHEMA: Final = "schema_version"
_BUSY_TIMEOUT_MS: Final = 10_000
_UNFINISHED: Final = (JobState.WAITING, JobState.STARTED)
_AT_ONCE: Final = 10_000
"""Ids that a read of a whole list takes at a time."""

_PATIENCE: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""How soon a PostgreSQL that is away is found out: seconds, and milliseconds."""
_SESSION: Final = {
    "idle_in_transaction_session_timeout": 30_000,
    "lock_timeout": 60_000,
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
}

R = TypeVar("R", JobRecord, WorkerRecord)

_LOGGER = logging.getLogger(__name__)


class StoreError(DaCircoError):
    """The store cannot be used; the message names it and the fix."""


class UnknownIdError(DaCircoError):
    """A list cannot go on after an id that is not in it."""


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
            self._engine.dispose()
            raise StoreError(f"store {self.name}: {_reason(error)}") from None
        try:
            with self._writing() as connection:
                self._bring_up_to_date(connection)
                self.controller_id = _setting(connection, CONTROLLER_ID) or str(uuid.uuid4())
                _set(connection, CONTROLLER_ID, self.controller_id)
                self._epoch = fence.claim(connection, f"process {os.getpid()} on {_host()}")
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
        self._engine.dispose()
        self._lock.release()

    def confirm(self) -> None:
        """See that the store is still this controller's.

        Raises:
            StoreLostError: another controller has taken it over.
            SQLAlchemyError: the database does not answer.
        """
        self._lock.confirm()
        with self._engine.connect() as connection:
            fence.check(connection, self._epoch)

    # -- writing ----------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> None:
        """Make the changes durable, all of them or none.

        Raises:
            StoreLostError: another controller has taken the store over; nothing is written.
            SQLAlchemyError: the database does not take them.
        """
        with self._writing() as connection:
            fence.check(connection, self._epoch)
            for change in changes:
                _apply(connection, change)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            # SQLite's write lock from the start: what was read before a write stays true.
            connection.execution_options(dacirco_begin="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    # -- reading ----------------------------------------------------------------------

    def job(self, request_id: str) -> JobRecord | None:
        """A job by its id."""
        with self._engine.connect() as connection:
            query = select(jobs).where(jobs.c.request_id == request_id)
            row = connection.execute(query).mappings().first()
        return None if row is None else job_of(row, time.time())[0]

    def job_of_key(self, key: str) -> JobRecord | None:
        """The job that was submitted with an idempotency key (its hash)."""
        with self._engine.connect() as connection:
            query = select(jobs).where(jobs.c.idempotency_key == key)
            row = connection.execute(query).mappings().first()
        return None if row is None else job_of(row, time.time())[0]

    def find_jobs(self, wanted: finding.JobQuery) -> tuple[list[JobRecord], bool]:
        """The jobs that are wanted, and whether there are more after them.

        Raises:
            UnknownIdError: there is no job after which the list could go on.
        """
        now = time.time()
        with self._engine.connect() as connection:
            try:
                rows, more = finding.find(connection, wanted)
            except finding.UnknownJobError as error:
                raise UnknownIdError(str(error)) from None
            return [job_of(row._mapping, now)[0] for row in rows], more

    def labels_of(self, job_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The labels of some jobs, by id; those that have none are left out."""
        with self._engine.connect() as connection:
            return finding.labels_of(connection, job_ids)

    def due_webhooks(self, now: float, limit: int) -> tuple[list[WebhookRecord], float | None]:
        """The webhooks that are to be tried now; if there are none, when the next one is."""
        with self._engine.connect() as connection:
            return finding.due_webhooks(connection, now, limit)

    def worker(self, worker_id: str) -> WorkerRecord | None:
        """A worker by its id."""
        with self._engine.connect() as connection:
            query = select(workers).where(workers.c.worker_id == worker_id)
            row = connection.execute(query).mappings().first()
        return None if row is None else worker_of(row, time.time())[0]

    def job_page(self, limit: int, *, after: str = "", offset: int = 0) -> Page:
        """A part of the jobs in the order of arrival.

        However many there are, it takes as long; only an offset takes longer the larger it is.

        Args:
            limit: most ids.
            after: the id before the first one; empty: from the start.
            offset: how many to pass over.

        Raises:
            UnknownIdError: there is no such id.
        """
        return self._page(jobs, "request_id", limit, after, offset)

    def worker_page(self, limit: int, *, after: str = "", offset: int = 0) -> Page:
        """A part of the workers in the order of their spawns; see `job_page`."""
        return self._page(workers, "worker_id", limit, after, offset)

    def job_ids(self) -> list[str]:
        """Ids of all jobs in the order of arrival."""
        ids: list[str] = []
        more = True
        while more:
            page = self.job_page(_AT_ONCE, after=ids[-1] if ids else "")
            ids += page.ids
            more = page.has_more
        return ids

    def unfinished_jobs(self) -> list[JobRecord]:
        """The jobs that wait or are in process, in the order of arrival.

        Rows that cannot be are mended, or their jobs set aside as failed; the log tells.
        """
        query = select(jobs).where(jobs.c.state.in_(_UNFINISHED)).order_by(jobs.c.number)
        found = self._mended(query, job_of, lambda job: JobChange(job.request_id, {}))
        return [job for job in found if job.state in _UNFINISHED]

    def unfinished_failures(self) -> list[FailureRecord]:
        """The failed attempts of the jobs that wait or are in process, in order."""
        mine = select(jobs.c.request_id).where(jobs.c.state.in_(_UNFINISHED))
        query = select(failures).where(failures.c.request_id.in_(mine)).order_by(failures.c.number)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings()
            return [FailureRecord(**{name: row[name] for name in _FAILURE_FIELDS}) for row in rows]

    def failures_of(self, request_id: str) -> list[FailureRecord]:
        """The attempts of a job that came to nothing by somebody's fault, in order."""
        mine = failures.c.request_id == request_id
        with self._engine.connect() as connection:
            rows = connection.execute(select(failures).where(mine).order_by(failures.c.number))
            return [
                FailureRecord(**{name: row[name] for name in _FAILURE_FIELDS})
                for row in rows.mappings()
            ]

    def living_workers(self) -> list[WorkerRecord]:
        """The workers that were not known to be gone, in the order of their spawns.

        Rows that cannot be are mended, or their workers set aside as stopped; the log tells.
        """
        query = select(workers).where(workers.c.state != WorkerStatus.STOPPED)
        found = self._mended(
            query.order_by(workers.c.number),
            worker_of,
            lambda worker: WorkerChange(worker.worker_id, {}),
        )
        return [worker for worker in found if worker.state is not WorkerStatus.STOPPED]

    def _mended(
        self,
        query: Select[Any],
        read: Callable[[RowLike, float], tuple[R, dict[str, Any]]],
        change_of: Callable[[R], JobChange | WorkerChange],
    ) -> list[R]:
        now, records, changes = time.time(), [], []
        with self._engine.connect() as connection:
            for row in connection.execute(query).mappings():
                record, mended = read(row, now)
                records.append(record)
                if mended:
                    change = change_of(record)
                    change.values.update(mended)
                    changes.append(change)
        for change in changes:
            _LOGGER.warning("a damaged row of the store %s is mended: %s", self.name, change)
        if changes:
            self.apply(changes)
        return records

    def booted_nodes(self, since: float = 0.0) -> list[str]:
        """The nodes on which a worker has registered, ever or since a time of the epoch."""
        query = select(workers.c.node).where(workers.c.time_registered >= since).distinct()
        with self._engine.connect() as connection:
            return sorted(connection.execute(query).scalars())

    def setting(self, key: str) -> str | None:
        """A setting that outlives the controller."""
        with self._engine.connect() as connection:
            return _setting(connection, key)

    def _page(self, table: Table, column: str, limit: int, after: str, offset: int) -> Page:
        with self._engine.connect() as connection:
            query = select(table.c[column]).order_by(table.c.number).limit(limit + 1)
            if after:
                key = select(table.c.number).where(table.c[column] == after)
                number = connection.execute(key).scalar()
                if number is None:
                    raise UnknownIdError(f"there is no {after!r} after which the list could go on")
                query = query.where(table.c.number > number)
            ids = list(connection.execute(query.offset(offset) if offset else query).scalars())
        return Page(ids[:limit], len(ids) > limit)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        sqlite = parsed.get_backend_name() == "sqlite"
        if sqlite and _is_memory(parsed):
            raise StoreError(f"store {url!r} is kept nowhere: give a file, sqlite:///FILE")
        waits = {} if sqlite else {k: v for k, v in _PATIENCE.items() if k not in parsed.query}
        engine = create_engine(parsed, pool_pre_ping=not sqlite, connect_args=waits)
    except (ArgumentError, NoSuchModuleError, ImportError):
        raise StoreError(
            f"store {_hidden(url)!r} is not a URL of a database that is installed: "
            "give sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from None
    if sqlite:
        event.listen(engine, "connect", _make_durable)
        event.listen(engine, "begin", _begin)
    else:
        event.listen(engine, "connect", _make_patient)
    return engine


def _is_memory(url: URL) -> bool:
    database = url.database or ""
    return database in ("", ":memory:", "file:", "file::memory:") or (
        database.startswith("file:") and url.query.get("mode") == "memory"
    )


def _make_durable(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions: `_begin` does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _make_patient(connection: Any, _record: object) -> None:
    """PostgreSQL ends the sessions of a controller that is frozen or gone, not in two hours."""
    cursor = connection.cursor()
    for name, value in _SESSION.items():
        cursor.execute(f"SET {name} = {value}")
    cursor.close()
    connection.commit()


def _begin(connection: Connection) -> None:
    """So that changes of the schema are part of the transaction, too."""
    how = connection.get_execution_options().get("dacirco_begin", "BEGIN")
    connection.exec_driver_sql(how)


def _host() -> str:
    return socket.gethostname() or "an unknown machine"


def _hidden(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}" if "@" in rest else url


def _reason(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(origin).split()) or type(origin).__name__


_INSERT_JOB: Final = insert(jobs)
_INSERT_WORKER: Final = insert(workers)
_INSERT_FAILURE: Final = insert(failures)
_INSERT_LABEL: Final = insert(labels)
_INSERT_WEBHOOK: Final = insert(webhooks)


def _apply(connection: Connection, change: Change) -> None:
    match change:
        case JobRecord():
            connection.execute(_INSERT_JOB, asdict(change))
        case WorkerRecord():
            connection.execute(_INSERT_WORKER, asdict(change))
        case FailureRecord():
            connection.execute(_INSERT_FAILURE, asdict(change))
        case LabelRecord():
            connection.execute(_INSERT_LABEL, asdict(change))
        case WebhookRecord():
            connection.execute(_INSERT_WEBHOOK, asdict(change))
        case WebhookChange(key, values):
            where = webhooks.c.event_id == bindparam("its_key")
            connection.execute(update(webhooks).where(where), {"its_key": key, **values})
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


_FAILURE_FIELDS: Final = [field.name for field in fields(FailureRecord)]
