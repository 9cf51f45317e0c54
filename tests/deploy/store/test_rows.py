"""Rows that cannot be neither end a start nor a call: they are mended or set aside."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.store.records import JobRecord, JobState, WorkerRecord, WorkerStatus
from deploy.store.rows import is_time, job_of, worker_of
from deploy.store.store import Store
from tests.deploy.live_controller import controller_in

NOW = 17e8
JOB = JobRecord("j", "bbb_0.mp4", "out-bbb_0.mp4", 1000, "fast", NOW - 60)
WORKER = WorkerRecord("w", "tc", "s10.small", "compute1", 2, 4.0, NOW - 60)
BAD_TIMES = ["soon", math.nan, math.inf, -1.0, 1e300, None, b"\x00"]


def row(record: JobRecord | WorkerRecord, **changes: object) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__} | changes


def test_a_good_row_is_left_alone() -> None:
    assert job_of(row(JOB), NOW) == (JOB, {})
    assert worker_of(row(WORKER), NOW) == (WORKER, {})


@pytest.mark.parametrize("bad", BAD_TIMES)
def test_a_bad_time_is_forgotten_and_arrival_is_now(bad: object) -> None:
    job, mended = job_of(row(JOB, time_received=bad, time_started=bad), NOW)
    assert (job.time_received, job.time_started, job.state) == (NOW, None, JobState.WAITING)
    assert mended.keys() == {"time_received"} | (set() if bad is None else {"time_started"})
    worker, mended = worker_of(row(WORKER, time_created=bad), NOW)
    assert (worker.time_created, worker.state) == (NOW, WorkerStatus.BOOTING)
    assert mended == {"time_created": NOW}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bitrate": "much"}, "bitrate 'much'"),
        ({"state": "Paused"}, "state 'Paused'"),
        ({"input_video": None}, "input_video None"),
    ],
)
def test_a_job_that_nobody_can_do_ends_in_error(changes: dict[str, Any], words: str) -> None:
    job, mended = job_of(row(JOB, **changes), NOW)
    assert job.state is JobState.ERROR
    assert job.error_message == mended["error_message"]
    assert words in str(job.error_message)


def test_a_worker_that_cannot_be_is_stopped() -> None:
    worker, mended = worker_of(row(WORKER, flavor=7), NOW)
    assert worker.state is WorkerStatus.STOPPED
    assert "flavor 7" in mended["reason"]


ANYTHING = st.none() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(row(JOB), ANYTHING)))
def test_whatever_is_in_a_row_of_a_job(changes: dict[str, Any]) -> None:
    job, _ = job_of(row(JOB, **changes), NOW)
    assert is_time(job.time_received)
    assert isinstance(job.state, JobState)
    assert isinstance(job.bitrate, int)
    again = row(job) | {"state": str(job.state)}
    assert job_of(again, NOW) == (job, {})  # what was mended needs it no more


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(row(WORKER), ANYTHING)))
def test_whatever_is_in_a_row_of_a_worker(changes: dict[str, Any]) -> None:
    worker, _ = worker_of(row(WORKER, **changes), NOW)
    assert is_time(worker.time_created)
    assert math.isfinite(worker.memory)
    again = row(worker) | {"state": str(worker.state)}
    assert worker_of(again, NOW) == (worker, {})


def damage(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_mended_rows_stay_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "store.db"
    store = Store(f"sqlite:///{path}")
    store.apply([JOB, WORKER])
    damage(path, "UPDATE jobs SET time_received = 'soon', time_started = -1, bitrate = 'x'")
    damage(path, "UPDATE workers SET time_created = 9e99")
    with caplog.at_level(logging.WARNING):
        assert store.unfinished_jobs() == []
        assert [worker.worker_id for worker in store.living_workers()] == ["w"]
    assert "damaged row" in caplog.text
    caplog.clear()
    assert store.unfinished_jobs() == []
    assert [worker.worker_id for worker in store.living_workers()] == ["w"]
    assert caplog.text == ""
    found = store.job("j")
    assert found is not None
    assert (found.state, found.time_started) == (JobState.ERROR, None)
    store.close()


def test_a_controller_starts_with_damaged_rows_and_tells_clients_why(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            jobs = [await running.submit() for _ in range(4)]
            await running.spawned()
        damage(
            tmp_path / "store.db",
            f"UPDATE jobs SET time_received = 'soon' WHERE request_id = '{jobs[0]}'",
            f"UPDATE jobs SET time_received = 1e300 WHERE request_id = '{jobs[1]}'",
            f"UPDATE jobs SET bitrate = 'much' WHERE request_id = '{jobs[2]}'",
            f"UPDATE jobs SET state = 'Lost' WHERE request_id = '{jobs[3]}'",
            "UPDATE workers SET time_created = -5, memory = 'big'",
            "UPDATE meta SET value = 'warp' WHERE key = 'preference'",
            "INSERT OR REPLACE INTO meta VALUES ('image', 'no JSON')",
        )
        async with controller_in(tmp_path) as running:
            states = [await running.job_state(job) for job in jobs]
            assert states[2:] == [pb.REQUEST_STATUS_ERROR] * 2
            assert set(states[:2]) <= {pb.REQUEST_STATUS_WAITING, pb.REQUEST_STATUS_STARTED}
            status = await running.stub.get_request_status(pb.RequestID(request_id=jobs[2]))
            assert "bitrate 'much'" in status.error_message
            await running.submit()

    asyncio.run(story())
