"""Two controllers never write to one store, whatever becomes of locks, names and processes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from deploy.controller.fenced import FencedManager
from deploy.managers.base import ManagerError, SpawnError, SpawnOrder
from deploy.store.fence import StoreLostError
from deploy.store.lock import StoreInUseError
from deploy.store.records import JobRecord
from deploy.store.store import Store
from deploy.store.watch import StoreWatch
from deploy.store.writer import Writer
from env.config import FlavorConfig
from tests.deploy.live_controller import TestCloud
from tests.deploy.store.postgres_server import PostgresServer

ROOT = Path(__file__).parents[3]


def job(name: str) -> JobRecord:
    return JobRecord(name, "bbb_0.mp4", "out-bbb_0.mp4", 1000, "fast", 17e8)


def taken_over(url: str) -> None:
    """As another controller does that found no lock."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE fence SET epoch = epoch + 1, holder = 'process 7 on b'"))
    engine.dispose()


def test_who_was_replaced_writes_nothing(any_url: str) -> None:
    store = Store(any_url)
    store.apply([job("mine")])
    store.confirm()
    taken_over(any_url)
    with pytest.raises(StoreLostError, match="process 7 on b"):
        store.apply([job("late")])
    with pytest.raises(StoreLostError, match="process 7 on b"):
        store.confirm()
    assert store.job_ids() == ["mine"]
    store.close()


def test_each_life_has_an_epoch_of_its_own(any_url: str) -> None:
    first = Store(any_url)
    first.close()
    second = Store(any_url)
    second.apply([job("a")])
    with pytest.raises(StoreLostError):
        first.apply([job("b")])
    first.close()
    assert second.job_ids() == ["a"]
    second.close()


def test_a_fence_that_is_gone_is_no_permission(any_url: str) -> None:
    store = Store(any_url)
    engine = create_engine(any_url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM fence"))
    engine.dispose()
    with pytest.raises(StoreLostError):
        store.apply([job("a")])
    store.close()


def test_nothing_is_promised_after_the_store_was_lost(any_url: str) -> None:
    async def story() -> None:
        store, lost = Store(any_url), threading.Event()
        writer = Writer(store, lambda _: lost.set())
        await writer.write([job("a")])
        taken_over(any_url)
        late = writer.write([job("b")])
        await asyncio.to_thread(lost.wait, 60)
        later = writer.write([job("c")])
        await writer.close()
        assert [late.done(), later.done()] == [False, False]
        assert store.job_ids() == ["a"]
        store.close()

    asyncio.run(story())


def test_whoever_only_waits_learns_of_it_too(any_url: str) -> None:
    store, lost = Store(any_url), threading.Event()
    watch = StoreWatch(store, lambda _: lost.set())
    taken_over(any_url)
    assert lost.wait(60)
    watch.close()
    store.close()


def test_the_cloud_gets_no_orders_from_who_was_replaced(any_url: str) -> None:
    async def story() -> None:
        store, cloud, lost = Store(any_url), TestCloud(), []
        manager = FencedManager(cloud, store, lost.append)
        order = SpawnOrder("w", "tc-w", FlavorConfig("s10.tiny", 1, 2.0))
        await manager.spawn(order)
        await manager.stop("w")
        taken_over(any_url)
        with pytest.raises(SpawnError, match="taken the store over"):
            await manager.spawn(order)
        with pytest.raises(ManagerError, match="taken the store over"):
            await manager.stop("w")
        assert (len(cloud.spawns), len(cloud.stops), len(lost)) == (1, 1, 2)
        store.close()

    asyncio.run(story())


# -- PostgreSQL restarts --------------------------------------------------------------


def test_the_lock_is_taken_again_after_postgresql_restarts(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    store = Store(url)
    postgres.stop()
    with pytest.raises(SQLAlchemyError):
        store.confirm()
    postgres.start()
    store.confirm()
    with pytest.raises(StoreInUseError):
        Store(url)
    store.apply([job("a")])
    store.close()
    Store(url).close()


def test_who_comes_first_after_the_restart_has_the_store(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    first = Store(url)
    postgres.stop()
    postgres.start()
    second = Store(url)
    with pytest.raises(StoreLostError):
        first.confirm()
    with pytest.raises(StoreLostError):
        first.apply([job("late")])
    second.apply([job("a")])
    second.confirm()
    first.close()
    second.close()


# -- SQLite's file has many names -----------------------------------------------------


def opens_in_another_process(url: str) -> str:
    """What another process says that opens the store."""
    code = f"from deploy.store.store import Store; Store({url!r}).close(); print('opened')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("how", ["symlink", "folder", "hard", "uri", "relative", "same"])
def test_the_lock_goes_by_the_file_not_its_name(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "store.db", tmp_path / "other.db"
    store = Store(f"sqlite:///{path}")
    if how == "symlink":
        other.symlink_to(path)
    elif how == "folder":
        (tmp_path / "link").symlink_to(tmp_path)
        other = tmp_path / "link" / "store.db"
    elif how == "hard":
        other.hardlink_to(path)
    names = {
        "uri": f"file:{path}?uri=true",
        "relative": os.path.relpath(path, ROOT),
        "same": str(path),
    }
    name = names.get(how, str(other))
    for left in tmp_path.glob("*lock*"):
        left.unlink()
    assert "another controller has the store" in opens_in_another_process(f"sqlite:///{name}")
    with pytest.raises(StoreInUseError):
        Store(f"sqlite:///{path}")  # nor the same process
    store.apply([job("a")])
    assert store.job_ids() == ["a"]
    store.close()
    assert "opened" in opens_in_another_process(f"sqlite:///{path}")


def test_being_refused_does_not_take_sqlites_own_locks_away(tmp_path: Path) -> None:
    """The journal is deleted by whoever believes to be the last reader."""
    path = tmp_path / "store.db"
    store = Store(f"sqlite:///{path}")
    store.apply([job("a")])
    for _ in range(2):
        with pytest.raises(StoreInUseError):
            Store(f"sqlite:///{path}")
        opens_in_another_process(f"sqlite:///{path}")
    other = sqlite3.connect(path)
    other.execute("SELECT * FROM jobs").fetchall()
    other.close()
    store.apply([job("b")])
    assert store.job_ids() == ["a", "b"]
    assert Path(f"{path}-wal").exists()
    store.close()


def test_others_cannot_read_a_new_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store(f"sqlite:///{path}")
    store.apply([job("a")])
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    store.close()
