"""Details, cancel and retry over real gRPC with a real store; the workers are the tests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import jobs_pb2 as jobs
from deploy.grpc_api.jobs_pb2_grpc import DaCircoJobsStub
from deploy.grpc_api.reasons import REASON_KEY
from tests.deploy.live_controller import Running, TaskStream, controller_in, until

CANCELLED = "cancelled by the client"
PATIENT = "grace-period"
"""Keeps its idle workers for a while."""


def desk(running: Running) -> Any:
    return DaCircoJobsStub(running.channel)  # type: ignore[no-untyped-call]


def name(job_id: str) -> jobs.JobName:
    return jobs.JobName(job_id=job_id)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Status and reason of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    metadata = dict(error.value.trailing_metadata() or ())
    return error.value.code(), str(metadata.get(REASON_KEY, ""))


async def worker_with_task(
    running: Running, n: int = 1, *, takes_cancels: bool = True
) -> tuple[str, Any, TaskStream]:
    """The n-th worker that was ordered comes and is given a task."""
    order = await running.spawned(n)
    assert await running.register(order.worker_id)
    stream = stream_of(running, order.worker_id, takes_cancels=takes_cancels)
    return order.worker_id, await stream.read(), stream


def stream_of(
    running: Running, worker_id: str, *, takes_cancels: bool = True, doing: str = ""
) -> TaskStream:
    secret = running.secret(worker_id)
    desc = pb.WorkerDesc(name="w", id=secret, takes_cancels=takes_cancels, task_id=doing)
    return TaskStream(running.stub.get_tasks(desc), secret, worker_id)


def test_the_whole_life_of_a_job_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            ask = desk(running)
            job_id = await running.submit()
            details = await ask.describe_job(name(job_id))
            assert (details.state, details.step, details.attempts) == ("Waiting", "", 0)
            assert details.times.received > 0
            assert not details.HasField("done_percent")
            worker_id, task, _ = await worker_with_task(running)
            details = await ask.describe_job(name(job_id))
            assert (details.state, details.step) == ("Started", "downloading")
            assert (details.attempts, details.worker_id) == (1, worker_id)
            await running.event(pb.EVENT_FILE_DOWNLOADED, worker_id, task.task_id)
            for told, shown in ((40.5, 40.5), (float("nan"), None), (101.0, None), (70.0, 70.0)):
                await running.event(
                    pb.EVENT_KEEPALIVE,
                    worker_id,
                    progress_task_id=task.task_id,
                    done_percent=told,
                    encoding_speed=2.0,
                )
                details = await ask.describe_job(name(job_id))
                assert details.step == "transcoding"
                assert details.encoding_speed == 2.0
                assert (details.done_percent if details.HasField("done_percent") else None) == shown
            await running.event(
                pb.EVENT_KEEPALIVE, worker_id, progress_task_id="another", done_percent=1.0
            )
            assert (await ask.describe_job(name(job_id))).done_percent == 70.0
            await running.event(pb.EVENT_TRANSCODING_COMPLETED, worker_id, task.task_id)
            details = await ask.describe_job(name(job_id))
            assert (details.step, details.done_percent) == ("uploading", 100.0)
            await running.event(pb.EVENT_FILE_UPLOADED, worker_id, task.task_id)
            details = await ask.describe_job(name(job_id))
            assert (details.state, details.step, details.error) == ("Completed", "", "")
            assert details.done_percent == 100.0
            times = details.times
            order = [times.received, times.assigned, times.downloaded, times.transcoded]
            order += [times.uploaded, times.ended]
            assert order == sorted(order)
            assert await refused(ask.cancel_job(name(job_id))) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "conflict",
            )
            assert (await refused(ask.retry_job(name(job_id))))[1] == "conflict"
            for call in (ask.describe_job, ask.cancel_job, ask.retry_job):
                for unknown in ("nobodys", "", "x" * 100, "\x00"):
                    assert (await refused(call(name(unknown))))[1] == "not-found"

    asyncio.run(story())


def test_failed_attempts_are_told_and_a_failed_job_is_retried(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(
            tmp_path, max_attempts=1, max_workers=1, scheduler=PATIENT
        ) as running:
            ask = desk(running)
            job_id = await running.submit()
            worker_id, task, stream = await worker_with_task(running)
            # A worker without a success is not believed alone.
            await running.error(
                pb.ERROR_TRANSCODING_FAILED, worker_id, task.task_id, "no disk", pb.FAULT_WORKER
            )
            details = await ask.describe_job(name(job_id))
            assert [(each.reason, each.fault) for each in details.failed_attempts] == [
                ("no disk", "worker")
            ]
            task = await stream.read()
            (running.folder / "storage" / "input-videos" / "bbb_0.mp4").unlink()
            await running.error(pb.ERROR_STORAGE_ERROR, worker_id, task.task_id, "no such file")
            await until_state(ask, job_id, "Error")
            details = await ask.describe_job(name(job_id))
            assert (details.error, details.attempts) == ("no such file", 2)
            assert details.times.ended > details.times.received
            assert (await refused(ask.retry_job(name(job_id))))[1] == "not-found"  # its input
            (running.folder / "storage" / "input-videos" / "bbb_0.mp4").write_bytes(b"video")
            details = await ask.retry_job(name(job_id))
            assert details.state in ("Waiting", "Started")
            assert (details.error, details.times.ended) == ("", 0.0)
            assert details.times.retried > details.times.received
            assert (await refused(ask.retry_job(name(job_id))))[1] == "conflict"
            task = await stream.read()
            assert task.request_id == job_id
            await running.finish(worker_id, task.task_id)
            details = await ask.describe_job(name(job_id))
            assert (details.state, details.attempts) == ("Completed", 3)
            retried = await running.logged("EV52", request_id=job_id)
            assert (retried["input_video"], retried["attempts"]) == ("bbb_0.mp4", "2")

    asyncio.run(story())


async def until_state(ask: Any, job_id: str, state: str) -> jobs.JobDetails:
    async with asyncio.timeout(60):
        while True:
            details: jobs.JobDetails = await ask.describe_job(name(job_id))
            if details.state == state:
                return details
            await asyncio.sleep(0.01)


def test_a_waiting_job_is_cancelled(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            ask = desk(running)
            job_id = await running.submit()
            details = await ask.cancel_job(name(job_id))
            assert (details.state, details.error, details.attempts) == ("Cancelled", CANCELLED, 0)
            # Clients of the contract know no such state.
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_ERROR
            status = await running.stub.get_request_status(pb.RequestID(request_id=job_id))
            assert status.error_message == CANCELLED
            event = await running.logged("EV51", request_id=job_id)
            assert (event["reason"], event.get("task_id")) == (CANCELLED, None)
            assert "error_message" not in event
            assert (await refused(ask.cancel_job(name(job_id))))[1] == "conflict"
            exposition = running.controller.conductor.metrics.exposition().decode()
            assert 'dacirco_jobs_total{outcome="cancelled"} 1.0' in exposition
        async with controller_in(tmp_path, running.cloud) as running:  # and it stays so
            ask = desk(running)
            assert (await ask.describe_job(name(job_id))).state == "Cancelled"
            await ask.retry_job(name(job_id))
            worker_id, task, _ = await worker_with_task(running)
            await running.finish(worker_id, task.task_id)
            assert (await ask.describe_job(name(job_id))).state == "Completed"

    asyncio.run(story())


def test_a_worker_that_can_be_told_drops_the_task_and_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path, max_workers=1, scheduler=PATIENT) as running:
            ask = desk(running)
            job_id = await running.submit()
            worker_id, task, stream = await worker_with_task(running)
            await running.event(pb.EVENT_FILE_DOWNLOADED, worker_id, task.task_id)
            assert (await ask.cancel_job(name(job_id))).state == "Cancelled"
            order = await stream.read()
            assert (order.task_id, order.cancelled) == (task.task_id, True)
            other = await running.submit("bbb_1.mp4")
            following = await stream.read()
            assert (following.request_id, following.cancelled) == (other, False)
            # What it tells of the cancelled task is no scandal, and brings nothing about.
            late = await running.event(pb.EVENT_TRANSCODING_COMPLETED, worker_id, task.task_id)
            assert not late.success
            dropped = await running.error(
                pb.ERROR_STORAGE_ERROR, worker_id, task.task_id, "dropped", pb.FAULT_NONE
            )
            assert dropped.success
            await running.finish(worker_id, following.task_id)
            assert (await ask.describe_job(name(other))).state == "Completed"
            assert running.cloud.stops == []
            codes = [event["code"] for event in running.log()]
            assert "EV29" not in codes
            event = await running.logged("EV51", request_id=job_id, task_id=task.task_id)
            assert event["error_message"] == CANCELLED

    asyncio.run(story())


def test_a_worker_whose_stream_is_broken_is_told_when_it_opens_the_next(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path, max_workers=1, scheduler=PATIENT) as running:
            job_id = await running.submit()
            worker_id, task, stream = await worker_with_task(running)
            stream.cancel()
            streams = running.controller.conductor.streams
            await until(lambda: not streams.is_open(worker_id))
            await desk(running).cancel_job(name(job_id))
            stream = stream_of(running, worker_id, doing=task.task_id)
            order = await stream.read()
            assert (order.task_id, order.cancelled) == (task.task_id, True)

    asyncio.run(story())


def test_an_existing_worker_is_ended_and_its_result_cleared_away(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            job_id = await running.submit()
            worker_id, task, _ = await worker_with_task(running, takes_cancels=False)
            await running.event(pb.EVENT_FILE_DOWNLOADED, worker_id, task.task_id)
            latest = running.upload(worker_id)  # it goes on, and has put a result there
            await desk(running).cancel_job(name(job_id))
            await until(lambda: worker_id in running.cloud.stops)
            refused = await running.event(
                pb.EVENT_FILE_UPLOADED, worker_id, task.task_id, upload=False
            )
            assert not refused.success
            await until(lambda: not latest.exists())
            assert (await desk(running).describe_job(name(job_id))).state == "Cancelled"

    asyncio.run(story())


def test_the_latest_result_of_another_job_is_left_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path, max_workers=1, scheduler=PATIENT) as running:
            first = await running.submit()
            worker_id, task, stream = await worker_with_task(running)
            await running.finish(worker_id, task.task_id)
            second = await running.submit()
            task = await stream.read()
            own = tmp_path / "storage" / "job-results" / second / "out-bbb_0.mp4"
            own.parent.mkdir(parents=True)
            own.write_bytes(b"half")
            await desk(running).cancel_job(name(second))
            await until(lambda: not own.exists())
            storage = tmp_path / "storage"
            assert (storage / "output-videos" / "out-bbb_0.mp4").exists()
            assert (storage / "job-results" / first / "out-bbb_0.mp4").exists()

    asyncio.run(story())


def new_job(video: str = "bbb_0.mp4", **wishes: Any) -> jobs.NewJob:
    asked = {"input_video": video, "output_video": f"out-{video}"}
    return jobs.NewJob(**asked, bitrate=1000, speed="fast", **wishes)


def test_a_key_makes_one_job_however_often_it_is_sent(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            ask = desk(running)
            job = new_job(idempotency_key="key", labels={"team": "news"})
            replies = await asyncio.gather(*(ask.submit_job(job) for _ in range(5)))
            (job_id,) = {reply.job_id for reply in replies}
            assert [reply.known_before for reply in replies].count(False) == 1
            assert len((await running.stub.get_requests(pb.Empty())).request_ids) == 1
            other = new_job("bbb_1.mp4", idempotency_key="key", labels={"team": "news"})
            assert (await refused(ask.submit_job(other)))[1] == "invalid"
            missing = new_job("none.mp4", idempotency_key="another")
            assert (await refused(ask.submit_job(missing)))[1] == "not-found"
            (tmp_path / "storage" / "input-videos" / "none.mp4").write_bytes(b"video")
            assert not (await ask.submit_job(missing)).known_before  # what was refused is no job
        async with controller_in(tmp_path, running.cloud) as running:
            reply = await desk(running).submit_job(job)
            assert (reply.job_id, reply.known_before) == (job_id, True)

    asyncio.run(story())


def test_jobs_are_found_and_know_their_place(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path, max_workers=1) as running:
            ask = desk(running)

            async def found(**wanted: Any) -> list[str]:
                return list((await ask.find_jobs(jobs.JobQuery(**wanted))).job_ids)

            labels = [{"team": "news"}, {"team": "news", "kind": "x"}, {}, {"kind": "x"}]
            ids = [(await ask.submit_job(new_job(labels=each))).job_id for each in labels]
            assert await found() == ids
            assert await found(newest_first=True) == ids[::-1]
            assert await found(labels={"team": "news"}) == ids[:2]
            assert await found(labels={"team": "news", "kind": "x"}) == [ids[1]]
            assert await found(labels={"team": "sport"}) == []
            assert await found(after=ids[1]) == ids[2:]
            assert await found(after=ids[2], newest_first=True) == ids[1::-1]
            assert await found(offset=1, limit=2) == ids[1:3]
            page = await ask.find_jobs(jobs.JobQuery(limit=2, with_details=True))
            assert [each.job_id for each in page.jobs] == ids[:2]
            assert page.has_more
            assert dict(page.jobs[1].labels) == {"team": "news", "kind": "x"}
            assert [each.queue_position for each in page.jobs] == [1, 2]
            since = (await ask.describe_job(name(ids[2]))).times.received
            assert await found(since=since) == ids[2:]
            assert await found(before=since) == ids[:2]
            await ask.cancel_job(name(ids[0]))
            assert await found(states=["Cancelled"]) == ids[:1]
            assert await found(states=["Waiting", "Started"]) == ids[1:]
            assert (await ask.describe_job(name(ids[3]))).queue_position == 3
            cancelled = await ask.describe_job(name(ids[0]))
            assert not cancelled.HasField("queue_position")
            for wrong in ({"states": ["Paused"]}, {"labels": {"": "x"}}, {"since": float("nan")}):
                assert (await refused(ask.find_jobs(jobs.JobQuery(**wrong))))[1] == "invalid"
            assert (await refused(ask.find_jobs(jobs.JobQuery(after="x"))))[1] == "not-found"
            for wishes in (
                {"labels": {"a": "\n"}},
                {"labels": {"a": "x" * 201}},
                {"labels": {f"n{n}": "" for n in range(17)}},
                {"idempotency_key": "x" * 256},
                {"idempotency_key": "\x07"},
            ):
                assert (await refused(ask.submit_job(new_job(**wishes))))[1] == "invalid"

    asyncio.run(story())


def test_the_result_of_a_job_is_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            ask = desk(running)

            async def read(job_id: str, first: int, length: int) -> bytes:
                wanted = jobs.ResultRange(job_id=job_id, first=first, length=length)
                return b"".join([part.content async for part in ask.read_result(wanted)])

            job_id = await running.submit()
            assert (await refused(ask.find_result(name(job_id))))[1] == "conflict"
            worker_id, task, _ = await worker_with_task(running)
            await running.finish(worker_id, task.task_id)
            content = f"result of {task.task_id}".encode() * 10
            place = await ask.find_result(name(job_id))
            assert (place.name, place.size, place.url) == ("out-bbb_0.mp4", len(content), "")
            assert await read(job_id, 0, place.size) == content
            assert await read(job_id, 7, 20) == content[7:27]
            assert await read(job_id, place.size - 3, 2**60) == content[-3:]
            assert await read(job_id, 2**60, 5) == b""
            assert await read(job_id, -5, 5) == content[:5]
            # Another job of the video writes the latest under its name: this one's stays.
            (tmp_path / "storage" / "output-videos" / "out-bbb_0.mp4").unlink()  # as S3 does
            other = await running.submit()
            worker_id, task, _ = await worker_with_task(running, 2)
            await running.finish(worker_id, task.task_id)
            assert (await ask.find_result(name(other))).etag != place.etag
            assert await read(job_id, 0, place.size) == content
            (tmp_path / "storage" / "job-results" / job_id / "out-bbb_0.mp4").unlink()
            (tmp_path / "storage" / "output-videos" / "out-bbb_0.mp4").unlink()
            assert (await refused(ask.find_result(name(job_id))))[1] == "not-found"
            for unknown in ("", "../../etc/passwd", "x" * 100):
                assert (await refused(ask.find_result(name(unknown))))[1] == "not-found"

    asyncio.run(story())
