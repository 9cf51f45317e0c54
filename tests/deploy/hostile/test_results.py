"""A result is what it claims to be, or its job is not Completed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import DaCircogRPCServiceStub
from deploy.storage.base import StorageError, StorageUnavailableError, StoredObject
from deploy.storage.directory import DirectoryStorage
from env.event_log import read_events
from tests.deploy.hostile.players import put
from tests.deploy.live_controller import PATIENCE_S, Running, controller_in, until

CONTENT = b"a picture that moves " * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FULL = {"output_size": len(CONTENT), "output_sha256": SHA256}


async def transcoded(running: Running, n: int = 1) -> tuple[str, pb.TCTask]:
    """A worker that has told of everything but its upload."""
    order = await running.spawned(n)
    assert await running.register(order.worker_id)
    task = await running.tasks(order.worker_id).read()
    for kind in (pb.EVENT_FILE_DOWNLOADED, pb.EVENT_TRANSCODING_COMPLETED):
        assert (await running.event(kind, order.worker_id, task.task_id)).success
    return order.worker_id, task


async def uploaded(
    running: Running, worker_id: str, task: pb.TCTask, **told: Any
) -> pb.gRPCServiceReply:
    kind = pb.EVENT_FILE_UPLOADED
    return await running.event(kind, worker_id, task.task_id, upload=False, **told)


def own(running: Running, task: pb.TCTask) -> Path:
    return running.folder / "storage" / "job-results" / task.request_id / task.output_video


def shared(running: Running, task: pb.TCTask) -> Path:
    return running.folder / "storage" / "output-videos" / task.output_video


@pytest.mark.parametrize("told", [{}, FULL], ids=["existing worker", "our worker"])
def test_a_result_that_nobody_has_uploaded_is_none(told: dict[str, Any], tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            job_id = await running.submit()
            worker, task = await transcoded(running)
            reply = await uploaded(running, worker, task, **told)
            assert not reply.success
            assert "there is no" in reply.error_message
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_WAITING
            refused = await running.logged("EV29", event="uploaded", task_id=task.task_id)
            assert "there is no" in refused["reason"]
            await running.logged("EV10", task_id=task.task_id)  # so that readers leave it out
            await running.logged("EV24", task_id=task.task_id, fault="worker")
            metrics = running.controller.conductor.metrics.exposition().decode()
            assert "dacirco_results_missing_total 1.0" in metrics
            worker, task = await transcoded(running, 2)
            put(own(running, task), CONTENT)
            assert (await uploaded(running, worker, task, **FULL)).success
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_COMPLETED
            assert sum(event["code"] == "EV7" for event in running.log()) == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({"output_size": len(CONTENT) + 1, "output_sha256": SHA256}, "bytes in the storage"),
        ({"output_size": len(CONTENT), "output_sha256": "0" * 64}, "another checksum"),
    ],
)
def test_a_result_is_the_one_that_was_told(
    told: dict[str, Any], wrong: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            job_id = await running.submit()
            worker, task = await transcoded(running)
            put(own(running, task), CONTENT)
            put(shared(running, task), CONTENT)
            reply = await uploaded(running, worker, task, **told)
            assert wrong in reply.error_message
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_WAITING

    asyncio.run(story())


def test_an_existing_workers_result_has_to_be_new_and_is_kept_for_its_job(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            old = tmp_path / "storage" / "output-videos" / "out-bbb_0.mp4"
            put(old, b"of another job " * 20)
            first = await running.submit()
            worker, task = await transcoded(running)
            reply = await uploaded(running, worker, task)
            assert "was there before" in reply.error_message
            worker, task = await transcoded(running, 2)
            put(old, b"tiny")
            assert "only 4 bytes" in (await uploaded(running, worker, task)).error_message
            worker, task = await transcoded(running, 3)
            put(old, CONTENT)
            assert (await uploaded(running, worker, task)).success
            assert own(running, task).read_bytes() == CONTENT
            # Another job for the same video: both results stay.
            second = await running.submit(bitrate=2000)
            worker, task = await transcoded(running, 4)
            put(old, CONTENT + CONTENT)
            assert (await uploaded(running, worker, task)).success
            kept = tmp_path / "storage" / "job-results"
            sizes = [len((kept / job / "out-bbb_0.mp4").read_bytes()) for job in (first, second)]
            assert sizes == [len(CONTENT), 2 * len(CONTENT)]

    asyncio.run(story())


def test_while_the_storage_does_not_answer_nothing_is_said_of_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = [True]
    stat, check = DirectoryStorage.stat, DirectoryStorage.check

    def moody_stat(storage: DirectoryStorage, key: str) -> StoredObject:
        if away[0] and key.startswith("job-results"):
            raise StorageUnavailableError("down")
        return stat(storage, key)

    def moody_check(storage: DirectoryStorage) -> None:
        if away[0]:
            raise StorageUnavailableError("down")
        check(storage)

    async def story() -> None:
        away[0] = False
        async with controller_in(tmp_path) as running:
            job_id = await running.submit()
            worker, task = await transcoded(running)
            put(own(running, task), CONTENT)
            away[0] = True
            tell = [asyncio.create_task(uploaded(running, worker, task, **FULL)) for _ in range(3)]
            await running.logged("EV38")
            tell[0].cancel()  # the worker's call has timed out
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_STARTED
            assert (await running.event(pb.EVENT_KEEPALIVE, worker)).success
            # An event that comes later is not taken before it.
            late = asyncio.create_task(
                running.error(pb.ERROR_STORAGE_ERROR, worker, task.task_id, "no", pb.FAULT_WORKER)
            )
            await asyncio.sleep(0.2)
            assert not late.done()
            away[0] = False
            assert [(await each).success for each in tell[1:]] == [True, True]
            assert not (await late).success
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_COMPLETED
            assert sum(event["code"] == "EV7" for event in running.log()) == 1

    monkeypatch.setattr(DirectoryStorage, "stat", moody_stat)
    monkeypatch.setattr(DirectoryStorage, "check", moody_check)
    asyncio.run(story())


def test_a_result_that_cannot_be_looked_at_is_the_workers_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(storage: DirectoryStorage, key: str) -> StoredObject:
        raise StorageError("access denied")

    async def story() -> None:
        async with controller_in(tmp_path) as running:
            job_id = await running.submit()
            worker, task = await transcoded(running)
            monkeypatch.setattr(DirectoryStorage, "stat", denied)
            reply = await uploaded(running, worker, task, **FULL)
            assert "cannot be looked at: access denied" in reply.error_message
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_WAITING

    asyncio.run(story())


def test_an_input_that_is_gone_ends_the_job_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            job_id = await running.submit()
            order = await running.spawned()
            assert await running.register(order.worker_id)
            task = await running.tasks(order.worker_id).read()
            (tmp_path / "storage" / "input-videos" / "bbb_0.mp4").unlink()
            kind = pb.ERROR_STORAGE_ERROR
            assert (await running.error(kind, order.worker_id, task.task_id, "404")).success
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_ERROR
            await until(lambda: any(event["code"] == "EV25" for event in running.log()))

    asyncio.run(story())


@pytest.mark.parametrize("what", ["folder", "link out"])
def test_a_result_that_nobody_can_store_is_not_its_workers_failure(
    tmp_path: Path, what: str
) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            job_id = await running.submit()
            order = await running.spawned()
            assert await running.register(order.worker_id)
            task = await running.tasks(order.worker_id).read()
            place = shared(running, task)
            place.parent.mkdir(exist_ok=True)
            if what == "folder":
                place.mkdir()
            else:
                place.symlink_to(tmp_path.parent / "elsewhere")
            kind, words = pb.ERROR_STORAGE_ERROR, "cannot be copied there"
            assert (await running.error(kind, order.worker_id, task.task_id, words)).success
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_ERROR

    asyncio.run(story())


def test_a_controller_that_is_killed_before_it_has_seen_a_result(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()  # the controller's look at results takes as long as this is there

    def start() -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("slow_look.py")), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    def end(process: subprocess.Popen[str]) -> None:
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    process, port = start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
            request = pb.TCRequest(
                input_video="bbb_0.mp4", output_video="out", bitrate=1000, speed="fast"
            )
            job_id = stub.submit_request(request, timeout=60).request_id
            known = tmp_path / "workers.json"
            deadline = time.monotonic() + PATIENCE_S
            while not known.exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            secret = json.loads(known.read_text())[0][3]
            worker = pb.WorkerDesc(name="w", id=secret)
            while not stub.register_worker(worker).success:
                assert time.monotonic() < deadline
            task = next(stub.get_tasks(worker))
            put(tmp_path / "storage" / "job-results" / job_id / "out", CONTENT)
            kinds = (pb.EVENT_FILE_DOWNLOADED, pb.EVENT_TRANSCODING_COMPLETED)
            for kind in kinds:
                event = pb.GrpcEvent(event_type=kind, worker_id=worker.id, task_id=task.task_id)
                assert stub.submit_event(event).success
            event = pb.GrpcEvent(
                event_type=pb.EVENT_FILE_UPLOADED,
                worker_id=worker.id,
                task_id=task.task_id,
                output_size=len(CONTENT),
                output_sha256=SHA256,
            )
            answer = stub.submit_event.future(event)
            while not (tmp_path / "looking").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert not answer.done()
            process.send_signal(signal.SIGKILL)
            end(process)
        hold.unlink()
        process, port = start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
            asked = pb.RequestID(request_id=job_id)
            assert stub.get_request_status(asked).request_status == pb.REQUEST_STATUS_STARTED
            assert stub.submit_event(event).success  # the worker tells what was not answered
            assert stub.get_request_status(asked).request_status == pb.REQUEST_STATUS_COMPLETED
    finally:
        process.kill()
        end(process)
    codes = [event["code"] for _, event in read_events(tmp_path / "events.txt")]
    assert (codes.count("EV3"), codes.count("EV7"), codes.count("EV24")) == (1, 1, 0)
