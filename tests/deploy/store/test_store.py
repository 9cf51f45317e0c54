"""The store: durable, in order, one controller at a time."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from deploy.store.lock import StoreInUseError
from deploy.store.records import (
    Change,
    JobChange,
    JobRecord,
    JobState,
    MetaChange,
    WorkerChange,
    WorkerRecord,
    WorkerStatus,
)
from deploy.store.store import PREFERENCE, Store, StoreError
from deploy.store.writer import StoreUnavailableError, Writer
from env.errors import DaCircoError

ROOT = Path(__file__).parents[3]


def job(name: str = "j", **changes: object) -> JobRecord:
    record = JobRecord(name, "bbb_0.mp4", "out-bbb_0.mp4", 1000, "fast", 1700000000.123456)
    return replace(record, **changes)  # type: ignore[arg-type]


def worker(name: str = "w", **changes: object) -> WorkerRecord:
    record = WorkerRecord(name, "tc", "s10.small", "compute1", 2, 4.0, 1700000001.5)
    return replace(record, **changes)  # type: ignore[arg-type]


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def store(any_url: str) -> Iterator[Store]:
    opened = Store(any_url)
    yield opened
    opened.close()


def test_what_is_written_is_read(store: Store) -> None:
    store.apply([job("a"), worker("w"), job("b", state=JobState.ERROR, error_message="ü\n'\"")])
    store.apply(
        [
            JobChange("a", {"state": JobState.STARTED, "worker_id": "w", "time_assigned": 17e8}),
            WorkerChange("w", {"state": WorkerStatus.DOWNLOADING}),
            MetaChange(PREFERENCE, "0.3"),
        ]
    )
    expected = job("a", state=JobState.STARTED, worker_id="w", time_assigned=17e8)
    assert store.job("a") == expected
    assert store.job("b") == job("b", state=JobState.ERROR, error_message="ü\n'\"")
    assert store.worker("w") == worker("w", state=WorkerStatus.DOWNLOADING)
    assert (store.job("w"), store.worker("a")) == (None, None)
    assert store.setting(PREFERENCE) == "0.3"
    store.apply([MetaChange(PREFERENCE, "0.4")])
    assert store.setting(PREFERENCE) == "0.4"
    assert store.setting("none") is None


def test_lists_are_in_the_order_of_arrival_and_may_be_paged(store: Store) -> None:
    names = [f"job {i:03d}" for i in range(30, 0, -1)]
    for name in names:
        store.apply([job(name)])
    store.apply([worker(name) for name in names[:5]])
    assert store.job_ids() == names
    assert store.job_ids(offset=10, limit=5) == names[10:15]
    assert store.job_ids(offset=28, limit=5) == names[28:]
    assert store.job_ids(offset=30) == []
    assert store.worker_ids(offset=1, limit=2) == names[1:3]


def test_what_a_restart_needs(store: Store) -> None:
    states = [JobState.WAITING, JobState.COMPLETED, JobState.STARTED, JobState.ERROR]
    store.apply([job(state.value, state=state) for state in states])
    store.apply([worker(status.value, state=status) for status in WorkerStatus])
    assert [found.state for found in store.unfinished_jobs()] == [states[0], states[2]]
    alive = [found.state for found in store.living_workers()]
    assert alive == [status for status in WorkerStatus if status is not WorkerStatus.STOPPED]


def test_where_workers_have_booted(store: Store) -> None:
    store.apply(
        [
            worker("never came", node="compute1"),
            worker("early", node="compute3", time_registered=1700000010.5),
            worker("gone", node="compute2", state=WorkerStatus.STOPPED, time_registered=17e8 + 20),
            worker("again", node="compute2", time_registered=17e8 + 30),
        ]
    )
    assert store.booted_nodes() == ["compute2", "compute3"]
    assert store.booted_nodes(17e8 + 20) == ["compute2"]
    assert store.booted_nodes(17e8 + 31) == []


def test_all_changes_or_none(store: Store) -> None:
    store.apply([job("a")])
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.apply([job("b"), job("a")])
    assert store.job_ids() == ["a"]


def test_the_controllers_id_stays(url: str) -> None:
    first = Store(url)
    first.close()
    second = Store(url)
    assert second.controller_id == first.controller_id
    second.close()


def test_sqlite_is_durable(url: str, tmp_path: Path) -> None:
    store = Store(url)
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    store.close()


def test_a_database_that_is_not_ours(url: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("CREATE TABLE jobs (number INTEGER, state TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(DaCircoError, match="its table jobs lacks"):
        Store(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is not a URL of a database"),
        ("oracle9://x:secret@y", "is not a URL of a database"),
        ("sqlite://", "kept nowhere"),
        ("sqlite:///:memory:", "kept nowhere"),
        ("sqlite:////no/such/folder/store.db", "No such file or directory"),
    ],
)
def test_a_url_that_is_of_no_use(url: str, message: str) -> None:
    with pytest.raises(DaCircoError, match=message) as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database(url: str, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store(url)


def test_one_controller_at_a_time(url: str) -> None:
    first = Store(url)
    with pytest.raises(StoreInUseError, match="another controller has the store"):
        Store(url)
    first.close()
    Store(url).close()


def test_a_killed_controller_leaves_no_lock(url: str) -> None:
    code = (
        f"from deploy.store.store import Store; import os; Store({url!r}); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert killed.returncode == -9
    Store(url).close()


# -- the writer -----------------------------------------------------------------------


class Faulty(Store):
    """A store whose disk is full while it is told so."""

    faults = 0
    batches: list[int]

    def apply(self, changes: list[Change]) -> None:  # type: ignore[override]
        if self.faults:
            self.faults -= 1
            raise OperationalError("INSERT", {}, Exception("disk is full"))
        self.batches.append(len(changes))
        super().apply(changes)


def test_the_writer_keeps_the_order_and_writes_what_piled_up_together(url: str) -> None:
    async def story() -> None:
        store = Faulty(url)
        store.batches = []
        writer = Writer(store)
        done: list[int] = []
        futures = []
        for i in range(100):
            future = writer.write([job(f"j{i:02d}")])
            future.add_done_callback(lambda _, i=i: done.append(i))  # type: ignore[misc]
            futures.append(future)
        await asyncio.gather(*futures)
        await asyncio.sleep(0)
        assert done == list(range(100))
        assert store.job_ids() == [f"j{i:02d}" for i in range(100)]
        assert len(store.batches) < 100
        await writer.close()
        store.close()

    asyncio.run(story())


def test_a_store_that_fails_for_a_while(url: str) -> None:
    async def story() -> None:
        store = Faulty(url)
        store.batches = []
        writer = Writer(store)
        store.faults = 3
        first = writer.write([job("a")])
        while not writer.failing:
            await asyncio.sleep(0.01)
        with pytest.raises(StoreUnavailableError):  # refused at once, not kept waiting
            await writer.write([job("no")], may_fail=True)
        second = writer.write([JobChange("a", {"attempts": 1})])
        await asyncio.gather(first, second)
        assert not writer.failing
        await writer.write([job("b")], may_fail=True)
        assert store.job_ids() == ["a", "b"]
        found = store.job("a")
        assert found is not None
        assert found.attempts == 1
        await writer.close()
        store.close()

    asyncio.run(story())


def test_what_may_fail_fails_and_what_can_never_be_written_stops_nobody(url: str) -> None:
    async def story() -> None:
        store = Faulty(url)
        store.batches = []
        writer = Writer(store)
        store.faults = 2  # together with others, and alone
        with pytest.raises(StoreUnavailableError):
            await writer.write([job("a")], may_fail=True)
        await writer.write([job("b")])
        twice = writer.write([job("b")])
        other = writer.write([job("c")])
        with pytest.raises(Exception, match="UNIQUE"):
            await twice
        await other
        assert store.job_ids() == ["b", "c"]
        await writer.close()
        store.close()

    asyncio.run(story())
