"""Strangers at the gRPC port: they speak for nobody, submit nothing, and fill no disk."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sqlite3
import urllib.request
import uuid
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from sqlalchemy import create_engine

from deploy.controller.refusals import BURST
from deploy.controller.settings import AccessSettings, Patience
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import jobs_pb2 as jobs
from deploy.grpc_api.front_ends import CALLS
from deploy.grpc_api.jobs_pb2_grpc import DaCircoJobsStub
from deploy.store.schema import metadata
from deploy.store.store import Store
from env.event_log import EventCode
from tests.deploy.live_controller import Running, TestCloud, controller_in

POSTGRES: Final = os.environ.get("DACIRCO_TEST_POSTGRES")
UNKNOWN: Final = "the worker is unknown"
TOKEN: Final = "0123456789abcdef0123456789abcdef"


async def busy_worker(running: Running, n: int = 1) -> tuple[str, pb.TCTask, Any]:
    """The public id of a worker with a task, the task, and its stream."""
    order = await running.spawned(n)
    assert await running.register(order.worker_id)
    stream = running.tasks(order.worker_id)
    return order.worker_id, await stream.read(), stream


async def listed(running: Running) -> list[str]:
    """The workers' ids as everyone may read them."""
    return list((await running.stub.get_workers(pb.Empty())).worker_ids)


def token_file(folder: Path, *tokens: str) -> Path:
    path = folder / "token"
    path.touch(mode=0o600)
    path.write_text("".join(f"{token}\n" for token in tokens))
    return path


# -- speaking for a worker ------------------------------------------------------------


def test_a_public_id_speaks_for_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            job_id = await running.submit()
            worker, task, _ = await busy_worker(running)
            await running.submit("bbb_1.mp4")
            booting = (await running.spawned(2)).worker_id
            stub = running.stub
            assert await listed(running) == [worker, booting]
            for stolen in (worker, booting, str(uuid.uuid4()), ""):
                desc = pb.WorkerDesc(name="thief", id=stolen)
                assert (await stub.register_worker(desc)).error_message == UNKNOWN
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.get_tasks(desc).read()
                assert caught.value.code() is grpc.StatusCode.NOT_FOUND
                assert caught.value.details() == UNKNOWN
                for kind in pb.GrpcEventTypeEnum.values():
                    event = pb.GrpcEvent(event_type=kind, worker_id=stolen, task_id=task.task_id)
                    assert (await stub.submit_event(event)).error_message == UNKNOWN
                for kind in pb.GrpcErrorType.values():
                    error = pb.GrpcErrorEvent(
                        error_type=kind, worker_id=stolen, task_id=task.task_id, error_message="x"
                    )
                    assert (await stub.submit_error(error)).error_message == UNKNOWN
            # Nothing of it had an effect: the worker has its task, and ends it.
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_STARTED
            assert await running.worker_state(booting) == pb.WORKER_STATUS_BOOTING
            await running.finish(worker, task.task_id)
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_COMPLETED

    asyncio.run(story())


def test_a_worker_cannot_answer_for_another(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            first, second = await running.submit(), await running.submit("bbb_1.mp4")
            honest, task, _ = await busy_worker(running, 1)
            liar, others, _ = await busy_worker(running, 2)
            for kind in (pb.EVENT_FILE_DOWNLOADED, pb.EVENT_FILE_UPLOADED):
                assert not (await running.event(kind, liar, task.task_id)).success
            assert not (
                await running.error(pb.ERROR_TRANSCODING_FAILED, liar, task.task_id)
            ).success
            assert {await running.job_state(job) for job in (first, second)} == {
                pb.REQUEST_STATUS_STARTED
            }
            await running.finish(honest, task.task_id)
            await running.finish(liar, others.task_id)

    asyncio.run(story())


def test_uploads_that_a_stranger_tells_of_complete_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            jobs = [await running.submit() for _ in range(5)]
            worker, task, _ = await busy_worker(running)
            for told in (worker, task.worker_id, running.cloud.spawns[0].name):
                for kind in (1, 3, 4):
                    event = pb.GrpcEvent(event_type=kind, worker_id=told, task_id=task.task_id)  # type: ignore[arg-type]
                    assert not (await running.stub.submit_event(event)).success
            states = [await running.job_state(job) for job in jobs]
            assert pb.REQUEST_STATUS_COMPLETED not in states

    asyncio.run(story())


def test_a_workers_secret_is_random_and_ends_with_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            jobs = [await running.submit() for _ in range(2)]
            held = [await busy_worker(running, n) for n in (1, 2)]
            secrets = [order.secret for order in running.cloud.spawns]
            assert all(uuid.UUID(secret).version == 4 for secret in secrets)
            public = {order.worker_id for order in running.cloud.spawns}
            assert len({*secrets, *public}) == 4
            for worker, task, _ in held:
                await running.finish(worker, task.task_id)
                await running.logged("EV8", worker_id=worker)
            for job in jobs:
                assert await running.job_state(job) == pb.REQUEST_STATUS_COMPLETED
            for secret in secrets:
                sign = pb.GrpcEvent(event_type=pb.EVENT_KEEPALIVE, worker_id=secret)
                assert (await running.stub.submit_event(sign)).error_message == UNKNOWN

    asyncio.run(story())


def test_no_secret_leaves_the_machine_or_is_written_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> list[str]:
        async with controller_in(tmp_path) as running:
            job_id = await running.submit()
            worker, task, _ = await busy_worker(running)
            secret = running.secret(worker)
            described = await running.stub.get_worker(pb.WorkerID(worker_id=worker))
            assert described.id == worker
            # What is refused of a worker goes into the log, too.
            await running.event(pb.EVENT_FILE_UPLOADED, worker, task.task_id)
            await running.error(pb.ERROR_STORAGE_ERROR, worker, task.task_id, "no bucket")
            # Nor does a lookup by the secret tell anything.
            assert await running.worker_state(secret) == pb.WORKER_STATUS_NOT_FOUND
            assert secret not in await listed(running)
            base = f"http://127.0.0.1:{running.controller.http_port}"
            metrics = await asyncio.to_thread(
                lambda: urllib.request.urlopen(f"{base}/metrics", timeout=30).read().decode()
            )
            assert secret not in metrics
            assert await running.job_state(job_id)
            return [order.secret for order in running.cloud.spawns]

    with caplog.at_level(logging.DEBUG):
        secrets = asyncio.run(story())
    assert secrets
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any(path.name == "store.db" for path in kept)
    for secret in secrets:
        assert secret not in caplog.text
        assert [path for path, content in kept.items() if secret.encode() in content] == []


def test_the_next_life_knows_the_workers_by_the_same_secrets(tmp_path: Path) -> None:
    async def story() -> None:
        cloud = TestCloud()
        async with controller_in(tmp_path, cloud) as running:
            job_id = await running.submit()
            worker, task, _ = await busy_worker(running)
        async with controller_in(tmp_path, cloud) as running:
            stolen = pb.GrpcEvent(event_type=pb.EVENT_KEEPALIVE, worker_id=worker)
            assert (await running.stub.submit_event(stolen)).error_message == UNKNOWN
            assert (await running.tasks(worker).read()).task_id == task.task_id
            await running.finish(worker, task.task_id)
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_COMPLETED

    asyncio.run(story())


def test_workers_from_before_there_were_secrets_go_on_and_new_ones_have_one(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        cloud = TestCloud()
        async with controller_in(tmp_path, cloud) as running:
            await running.submit()
            old = (await running.spawned()).worker_id
        # As a controller without secrets left it: the worker was given the id that all know.
        connection = sqlite3.connect(tmp_path / "store.db")
        connection.execute("ALTER TABLE workers DROP COLUMN secret_hash")
        for index in ("ix_jobs_idempotency_key", "ix_jobs_time_received"):
            connection.execute(f"DROP INDEX {index}")
        for column in ("time_ended", "time_retried", "idempotency_key", "fingerprint"):
            connection.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        for column in ("priority", "deadline", "webhook"):
            connection.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        for table in ("labels", "webhooks"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DROP TABLE failures")
        connection.execute("DROP TABLE fence")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
        connection.commit()
        connection.close()
        cloud.spawns.clear()
        async with controller_in(tmp_path, cloud) as running:
            await running.controller.ready.wait()
            assert await running.register(old)  # its public id is all that it has
            task = await running.tasks(old).read()
            await running.submit("bbb_1.mp4")
            new = await running.spawned()
            assert new.secret
            assert (
                await running.stub.register_worker(pb.WorkerDesc(name="w", id=new.worker_id))
            ).error_message == UNKNOWN
            assert await running.register(new.worker_id)
            await running.finish(old, task.task_id)

    asyncio.run(story())


# -- front ends -----------------------------------------------------------------------


def front_end_calls(running: Running, metadata: Any = ()) -> dict[str, Any]:
    request = pb.TCRequest(
        input_video="bbb_0.mp4", output_video="out-bbb_0.mp4", bitrate=1000, speed="fast"
    )
    asked = {
        "submit_request": request,
        "get_request": pb.RequestID(request_id="x"),
        "get_request_status": pb.RequestID(request_id="x"),
        "get_worker": pb.WorkerID(worker_id="x"),
        "get_worker_status": pb.WorkerID(worker_id="x"),
    }
    return {
        name: getattr(running.stub, name)(asked.get(name, pb.Empty()), metadata=metadata)
        for name in CALLS
        if hasattr(running.stub, name)
    }


def test_without_a_credential_no_call_beyond_the_contract_is_taken(tmp_path: Path) -> None:
    async def story() -> None:
        token = token_file(tmp_path, TOKEN)
        access = AccessSettings(local_needs_token=True, front_end_token_file=token)
        async with controller_in(tmp_path, access=access) as running:
            shown = (("authorization", f"Bearer {TOKEN}"),)
            job_id = (await front_end_calls(running, shown)["submit_request"]).request_id
            service = jobs.DESCRIPTOR.services_by_name["DaCircoJobs"]
            stub: Any = DaCircoJobsStub(running.channel)  # type: ignore[no-untyped-call]
            for method in service.methods:
                asked = getattr(jobs, method.input_type.name)()
                if "job_id" in method.input_type.fields_by_name:
                    asked.job_id = job_id
                call = getattr(stub, method.name)(asked)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await (call.read() if method.server_streaming else call)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, method.name
            details = await stub.describe_job(jobs.JobName(job_id=job_id), metadata=shown)
            assert details.state in ("Waiting", "Started")  # nobody has cancelled it

    asyncio.run(story())


def test_without_a_credential_no_call_of_a_front_end_is_taken(tmp_path: Path) -> None:
    async def story() -> None:
        token = token_file(tmp_path, TOKEN)
        access = AccessSettings(local_needs_token=True, front_end_token_file=token)
        async with controller_in(tmp_path, access=access) as running:
            wrong = "f" * len(TOKEN)
            for shown in (
                (),
                (("authorization", f"Bearer {wrong}"),),
                (("authorization", TOKEN),),
                (("authorization", f"Basic {TOKEN}"),),
                (("authorization", f"Bearer {TOKEN}x"),),
                (("authorization", "Bearer "),),
                (("x-api-key", TOKEN),),
            ):
                for name, call in front_end_calls(running, shown).items():
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call
                    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, name
                    assert "--front-end-token-file" in (caught.value.details() or "")
            assert not running.controller.conductor.jobs
            for name, call in front_end_calls(
                running, (("authorization", f"Bearer {TOKEN}"),)
            ).items():
                answer = await call
                assert name != "submit_request" or answer.success
            refused = running.controller.conductor.metrics.exposition().decode()
            assert 'dacirco_calls_refused_total{reason="no-credential"} 14.0' in refused
            assert 'dacirco_calls_refused_total{reason="wrong-token"} 35.0' in refused
            line = await running.logged("EV50", call="submit_request")
            assert line["peer"].startswith("ipv4:127.0.0.1:")
            assert TOKEN not in (tmp_path / "events.txt").read_text()
            assert wrong not in (tmp_path / "events.txt").read_text()

    asyncio.run(story())


def test_workers_need_no_front_ends_token(tmp_path: Path) -> None:
    async def story() -> None:
        token = token_file(tmp_path, TOKEN)
        access = AccessSettings(local_needs_token=True, front_end_token_file=token)
        async with controller_in(tmp_path, access=access) as running:
            calls = front_end_calls(running, (("authorization", f"Bearer {TOKEN}"),))
            for call in calls.values():
                await call
            worker, task, _ = await busy_worker(running)
            await running.finish(worker, task.task_id)

    asyncio.run(story())


# -- floods ---------------------------------------------------------------------------


def test_a_flood_of_refused_calls_fills_no_disk_and_is_counted(tmp_path: Path) -> None:
    calls = 1500

    async def story() -> None:
        async with controller_in(tmp_path, patience=Patience(call_interval_s=60.0)) as running:
            await running.controller.ready.wait()
            log = tmp_path / "events.txt"
            before, lines_before = log.stat().st_size, len(running.log())
            litter = "\x1b[31m" + "x" * 5_000 + "\n\0"
            stub = running.stub
            for _ in range(calls // 50):
                await asyncio.gather(
                    *(
                        stub.submit_error(
                            pb.GrpcErrorEvent(
                                error_type=pb.ERROR_STORAGE_ERROR,
                                worker_id=litter,
                                task_id=litter,
                                error_message=litter,
                            )
                        )
                        for _ in range(50)
                    )
                )
            await running.controller.conductor.flush()
            written = len(running.log()) - lines_before
            assert 1 <= written <= BURST + 5
            assert log.stat().st_size - before < 20_000
            metrics = running.controller.conductor.metrics.exposition().decode()
            assert f'dacirco_calls_refused_total{{reason="unknown-worker"}} {calls}.0' in metrics
            assert f'dacirco_events_refused_total{{event="submit_error"}} {calls}.0' in metrics
            # A worker's own refusals are told all the same: strangers do not use up its lines.
            await running.submit()
            worker, _, _ = await busy_worker(running)
            await running.event(pb.EVENT_FILE_UPLOADED, worker, "none")
            await running.logged("EV29", worker_id=worker, task_id="none")
            for event in running.log():
                for value in event.values():
                    assert value.isprintable() or "\x1b" not in value

    asyncio.run(story())


def test_what_a_stranger_presents_is_not_shown_but_can_be_told_apart(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            ids = [str(uuid.uuid4()) for _ in range(3)]
            for each in (*ids, ids[0]):
                await running.stub.register_worker(pb.WorkerDesc(name="w", id=each))
            await running.controller.conductor.flush()
            text = (tmp_path / "events.txt").read_text()
            assert not any(each in text for each in ids)
            shown = [e["worker_id"] for e in running.log() if e["code"] == "EV29"]
            assert len(set(shown)) == 3
            assert shown[0] == shown[3]
            assert all(re.fullmatch("unknown-[0-9a-f]{12}", each) for each in shown)

    asyncio.run(story())


# -- text -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "database",
    [
        "sqlite",
        pytest.param(
            "postgres",
            marks=pytest.mark.skipif(not POSTGRES, reason="no DACIRCO_TEST_POSTGRES"),
        ),
    ],
)
def test_an_error_with_a_nul_ends_its_job_with_its_reason(database: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    if database == "postgres":
        url = POSTGRES or ""
        engine = create_engine(url)
        metadata.drop_all(engine)
        engine.dispose()
    words = "ffmpeg\0 says:\n\x1b[31mno\x1b[0m \x1b]0;title\x07video\r\n\u202eGNP.exe"

    async def story() -> str:
        async with controller_in(tmp_path, store=url, max_attempts=1) as running:
            job_id = await running.submit()
            worker, task, _ = await busy_worker(running)
            reply = await running.error(pb.ERROR_TRANSCODING_FAILED, worker, task.task_id, words)
            assert reply.success, reply.error_message
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_ERROR
            line = await running.logged(EventCode.REQUEST_FAILED, request_id=job_id)
            assert line["error_message"].endswith("ffmpeg says: no video GNP.exe")
            return job_id

    job_id = asyncio.run(story())
    store = Store(url)
    job = store.job(job_id)
    store.close()
    assert job is not None
    assert job.state == "Error"
    assert (job.error_message or "").endswith("ffmpeg says: no video GNP.exe")
