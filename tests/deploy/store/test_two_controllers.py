"""Two controllers on one store: the first ends loudly, and no job is done twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from env.event_log import read_events
from tests.deploy.controller_process import ROOT, completed, controller, submit
from tests.deploy.live_controller import PATIENCE_S
from tests.deploy.store.postgres_server import PostgresServer

JOBS = 6


def done_in(folder: Path) -> list[str]:
    """The jobs that an event log there tells to be done."""
    logs = [log for log in folder.glob("tc-events-*.txt") if "config" not in log.name]
    events = [event for log in logs for _, event in read_events(log)]
    return [event["request_id"] for event in events if event["code"] == "EV7"]


def test_a_controller_that_slept_through_a_restart_of_postgresql(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with controller(first, "--store", url) as (frozen, port):
        ids = asyncio.run(submit(port, JOBS))
        asyncio.run(completed(port, ids, 1))
        frozen.send_signal(signal.SIGSTOP)
        before = done_in(first)
        postgres.stop()
        postgres.start()
        with controller(second, "--store", url) as (_, other):
            frozen.send_signal(signal.SIGCONT)
            assert frozen.wait(PATIENCE_S) == 3
            asyncio.run(completed(other, ids, JOBS))
    assert "this one ends at once" in (first / "errors.txt").read_text()
    done = done_in(first) + done_in(second)
    assert sorted(done) == sorted(set(done))
    assert done_in(first)[: len(before)] == before


def test_a_controller_goes_on_after_postgresql_restarted(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    with controller(tmp_path, "--store", url) as (process, port):
        ids = asyncio.run(submit(port, 2))
        postgres.stop()
        postgres.start()
        asyncio.run(completed(port, ids, 2))
        assert process.poll() is None


def test_while_a_controller_is_frozen_no_other_takes_its_store(tmp_path: Path) -> None:
    with controller(tmp_path) as (frozen, _):
        frozen.send_signal(signal.SIGSTOP)
        (tmp_path / "other.db").symlink_to(tmp_path / "dacirco.db")
        command = [sys.executable, "-m", "deploy.controller.command", "-r", "simulated"]
        command += ["-p", "0", "--http-port", "0", "--store", "sqlite:///other.db"]
        second = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        frozen.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert "another controller has the store" in second.stderr


def test_an_idle_controller_that_was_replaced_ends(tmp_path: Path) -> None:
    with controller(tmp_path) as (process, _):
        connection = sqlite3.connect(tmp_path / "dacirco.db")
        connection.execute("UPDATE fence SET epoch = epoch + 1, holder = 'process 7 on b'")
        connection.commit()
        connection.close()
        assert process.wait(PATIENCE_S) == 3
    assert "process 7 on b" in (tmp_path / "errors.txt").read_text()
