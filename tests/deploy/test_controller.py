"""The controller over real gRPC with a real store; the workers are the tests themselves."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from agents.registry import FURTHER
from deploy.controller.settings import OpenStackSettings
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.reasons import FRONT_END_KEY, REASON_KEY, STRICT
from deploy.managers.base import SpawnError, SpawnFailed, SpawnOrder, WorkerGone, WorkerPlaced
from deploy.store.records import JobState
from deploy.store.store import Store
from env.event_log import event_moment
from tests.deploy.live_controller import QUICK, Running, TestCloud, controller_in, until

IMPATIENT = replace(QUICK, keepalive_s=1.0)


async def assigned(running: Running, n: int = 1) -> tuple[str, pb.TCTask, Any]:
    """A worker that has come and has its first task: its id, the task, its stream."""
    order = await running.spawned(n)
    assert await running.register(order.worker_id)
    stream = running.tasks(order.worker_id)
    task = await stream.read()
    return order.worker_id, task, stream


def test_a_jobs_way_through_the_contract(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            job_id = await running.submit("bbb_1.mp4")
            assert (await running.stub.get_requests(pb.Empty())).request_ids == [job_id]
            described = await running.stub.get_request(pb.RequestID(request_id=job_id))
            assert described == pb.TCRequest(
                input_video="bbb_1.mp4", output_video="out-bbb_1.mp4", bitrate=1000, speed="fast"
            )
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_WAITING
            order = await running.spawned()
            worker_id = order.worker_id
            assert await running.worker_state(worker_id) == pb.WORKER_STATUS_BOOTING
            assert (await running.stub.get_workers(pb.Empty())).worker_ids == [worker_id]
            described = await running.stub.get_worker(pb.WorkerID(worker_id=worker_id))
            assert described == pb.WorkerFullDesc(
                name=order.name, id=worker_id, cpus="2", memory="4", node="compute1"
            )
            assert await running.register(worker_id)
            assert await running.register(worker_id)  # the first reply may have been lost
            stream = running.tasks(worker_id)
            task = await stream.read()
            assert task == pb.TCTask(
                input_video="bbb_1.mp4",
                output_video="out-bbb_1.mp4",
                bitrate=1000,
                speed="fast",
                request_id=job_id,
                worker_id=worker_id,
                task_id=task.task_id,
            )
            states = [(pb.REQUEST_STATUS_STARTED, pb.WORKER_STATUS_DOWNLOADING_FILE)]
            states.append((pb.REQUEST_STATUS_STARTED, pb.WORKER_STATUS_TRANSCODING))
            states.append((pb.REQUEST_STATUS_STARTED, pb.WORKER_STATUS_UPLOADING_FILE))
            kinds = [pb.EVENT_FILE_DOWNLOADED, pb.EVENT_TRANSCODING_COMPLETED]
            for (job, worker), kind in zip(states, [*kinds, pb.EVENT_FILE_UPLOADED], strict=True):
                assert await running.job_state(job_id) == job
                assert await running.worker_state(worker_id) == worker
                assert (await running.event(pb.EVENT_KEEPALIVE, worker_id)).success
                assert (await running.event(kind, worker_id, task.task_id)).success
                if kind != pb.EVENT_FILE_UPLOADED:  # after which the worker is soon gone
                    again = await running.event(kind, worker_id, task.task_id)
                    assert again.success
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_COMPLETED
            assert await stream.read() is grpc.aio.EOF  # type: ignore[attr-defined]  # minimize-workers has stopped it
            await until(lambda: running.cloud.stops == [worker_id])
            assert await running.worker_state(worker_id) == pb.WORKER_STATUS_STOPPED
            await running.logged("EV8")
        codes = [e["code"] for e in running.log() if e["code"] not in ("EV20", "EV45")]
        assert codes == (
            ["EV26", "EV1", "EV2", "EV11", "EV3", "EV4", "EV5", "EV6", "EV7", "EV33", "EV8"]
        )
        times = [event_moment(event) for event in running.log()]
        assert times == sorted(times)
        decisions = [event for event in running.log() if event["code"] == "EV20"]
        assert {event["action"] for event in decisions} == {"keep", "spawn", "kill"}
        assert all(len(event["observation"]) == 64 for event in decisions)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        ({"input_video": "none.mp4", "output_video": "o"}, "not-found", "none.mp4"),
        ({"input_video": "../bbb_0.mp4"}, "invalid", "slash"),
        ({"output_video": "../../etc/passwd"}, "invalid", "slash"),
        ({"output_video": "bbb_0.mp4"}, "invalid", "input's name"),
        ({"input_video": ""}, "invalid", "empty"),
        ({"bitrate": 499}, "invalid", "500..8000"),
        ({"bitrate": 8001}, "invalid", "500..8000"),
        ({"bitrate": -(2**31)}, "invalid", "500..8000"),
        ({"speed": "slow"}, "invalid", "ultrafast or fast"),
        ({"speed": "FAST"}, "invalid", "ultrafast or fast"),
    ],
)
def test_what_cannot_be_done(
    fields: dict[str, Any], reason: str, message: str, tmp_path: Path
) -> None:
    """Our front end is told; what any other one sends gets an id, and ends in Error."""

    async def story() -> None:
        async with controller_in(tmp_path) as running:
            given = {
                "input_video": "bbb_0.mp4",
                "output_video": "out-bbb_0.mp4",
                "bitrate": 1000,
                "speed": "fast",
            }
            request = pb.TCRequest(**given | fields)
            strict = ((FRONT_END_KEY, STRICT),)
            call = running.stub.submit_request(request, metadata=strict)
            reply = await call
            assert not reply.success
            assert message in reply.error_message
            assert reply.request_id == ""
            assert dict(await call.trailing_metadata())[REASON_KEY] == reason
            assert not (await running.stub.get_requests(pb.Empty())).request_ids
            reply = await running.stub.submit_request(request)
            assert reply.success
            job_id = reply.request_id
            assert (await running.stub.get_requests(pb.Empty())).request_ids == [job_id]
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_ERROR
            job = await running.controller.service.job(job_id)
            assert job is not None
            assert message in str(job.error_message)
            failed = await running.logged("EV25", request_id=job_id, attempts="0", refused="true")
            assert message in failed["reason"]
            assert "error_message" not in failed
            await running.logged("EV1", request_id=job_id)
            assert not running.cloud.spawns

    asyncio.run(story())


def test_text_that_would_break_logs_and_databases_is_stored_clean(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            reply = await running.stub.submit_request(
                pb.TCRequest(
                    input_video="a\0\x1b[31mb\nc" + "x" * 10_000,
                    output_video="o",
                    bitrate=2**31 - 1,
                    speed="y" * 100,
                )
            )
            described = await running.stub.get_request(pb.RequestID(request_id=reply.request_id))
            assert described.input_video.isprintable()
            assert (len(described.input_video), len(described.speed)) == (300, 20)

    asyncio.run(story())


def test_a_full_queue_and_a_storage_that_is_away(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path, max_queue=2) as running:
            await running.submit()
            await running.submit()
            call = running.stub.submit_request(
                pb.TCRequest(input_video="bbb_0.mp4", output_video="o", bitrate=500, speed="fast")
            )
            assert not (await call).success
            assert dict(await call.trailing_metadata())[REASON_KEY] == "overloaded"

    asyncio.run(story())


def test_what_is_not_known(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            for name in ("", "none", "x" * 10_000, "a\nb"):
                assert await running.job_state(name) == pb.REQUEST_STATUS_NOT_FOUND
                assert await running.worker_state(name) == pb.WORKER_STATUS_NOT_FOUND
                described = await running.stub.get_request(pb.RequestID(request_id=name))
                assert described == pb.TCRequest()
                worker = await running.stub.get_worker(pb.WorkerID(worker_id=name))
                assert worker == pb.WorkerFullDesc()
                assert not await running.register(name)
                assert not (await running.event(pb.EVENT_KEEPALIVE, name)).success
                assert not (await running.event(pb.EVENT_FILE_UPLOADED, name, "t")).success
                assert not (await running.error(pb.ERROR_STORAGE_ERROR, name, "t")).success
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await running.tasks(name).read()
                assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            assert running.controller.conductor.scheduler.cluster.n_workers == 0

    asyncio.run(story())


def test_events_that_cannot_be_are_refused_and_change_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            first, second = await running.submit(), await running.submit("bbb_1.mp4")
            worker, task, _ = await assigned(running, 1)
            other, others_task, _ = await assigned(running, 2)
            assert {task.request_id, others_task.request_id} == {first, second}
            for reply in (
                await running.event(pb.EVENT_FILE_UPLOADED, worker, task.task_id),  # out of order
                await running.event(pb.EVENT_FILE_DOWNLOADED, worker, others_task.task_id),
                await running.event(pb.EVENT_FILE_DOWNLOADED, worker, "none"),
                await running.event(pb.EVENT_INVALID, worker, task.task_id),
                await running.event(99, worker, task.task_id),
                await running.error(pb.ERROR_INVALID, worker, task.task_id),
                await running.error(77, worker, task.task_id),
                await running.error(pb.ERROR_TRANSCODING_FAILED, other, task.task_id),
            ):
                assert not reply.success
                assert reply.error_message
            for job_id in (first, second):
                assert await running.job_state(job_id) == pb.REQUEST_STATUS_STARTED
            refused = await running.logged("EV29", worker_id=worker, task_id="none")
            assert refused["reason"] == "it is not a task of this worker"
            await running.finish(worker, task.task_id)
            metrics = running.controller.conductor.metrics.exposition().decode()
            assert "dacirco_events_refused_total" in metrics

    asyncio.run(story())


def test_errors_of_tasks(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path, scheduler="grace-period") as running:
            job_id = await running.submit()
            worker, task, _ = await assigned(running)
            long = "ffmpeg says: " + "x" * 5000
            reply = await running.error(pb.ERROR_TRANSCODING_FAILED, worker, task.task_id, long)
            assert reply.success
            assert len((await running.logged("EV9", worker_id=worker))["error_message"]) == 2000
            requeued = await running.logged("EV24", request_id=job_id, attempts="1")
            assert requeued["fault"] == "unknown"
            repeated = await running.error(pb.ERROR_TRANSCODING_FAILED, worker, task.task_id)
            assert repeated.success
            await running.logged("EV40", request_id=job_id)
            second, again, _ = await assigned(running, 2)  # another one has to confirm it
            assert (again.request_id, again.task_id != task.task_id) == (job_id, True)
            reply = await running.error(pb.ERROR_TRANSCODING_FAILED, second, again.task_id, "bad")
            assert reply.success
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_ERROR
            failed = await running.logged("EV25", request_id=job_id, attempts="2")
            assert failed["reason"] == "bad"
            assert sum(event["code"] == "EV9" for event in running.log()) == 2

    asyncio.run(story())


def test_the_newest_stream_wins_and_a_task_that_was_not_told_of_is_sent_again(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            await running.submit()
            order = await running.spawned()
            worker = order.worker_id
            with pytest.raises(grpc.aio.AioRpcError, match="booting"):
                await running.tasks(worker).read()
            assert await running.register(worker)
            first = running.tasks(worker)
            task = await first.read()
            second = running.tasks(worker)
            assert await second.read() == task
            assert await first.read() is grpc.aio.EOF  # type: ignore[attr-defined]
            second.cancel()
            third = running.tasks(worker)
            assert await third.read() == task
            await running.event(pb.EVENT_FILE_DOWNLOADED, worker, task.task_id)
            fourth = running.tasks(worker)
            await until(lambda: running.controller.conductor.streams.is_open(worker))
            assert await third.read() is grpc.aio.EOF  # type: ignore[attr-defined]
            await running.event(pb.EVENT_TRANSCODING_COMPLETED, worker, task.task_id)
            second_job = await running.submit()
            await running.event(pb.EVENT_FILE_UPLOADED, worker, task.task_id)
            assert (await fourth.read()).request_id == second_job  # and not the first again
            started = [event for event in running.log() if event["code"] == "EV4"]
            assert next(event["task_id"] for event in started) == task.task_id
            assert len({event["task_id"] for event in started}) == len(started)

    asyncio.run(story())


def test_a_silent_worker_is_lost_and_its_job_retried(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path, patience=IMPATIENT, max_attempts=2) as running:
            job_id = await running.submit()
            worker, task, stream = await assigned(running)
            assert await stream.read() is grpc.aio.EOF  # type: ignore[attr-defined]
            lost = await running.logged("EV23", worker_id=worker)
            assert lost["reason"] == "no sign of life for 1 s"
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_WAITING
            reply = await running.event(pb.EVENT_FILE_DOWNLOADED, worker, task.task_id)
            assert not reply.success  # too late
            assert not (await running.event(pb.EVENT_KEEPALIVE, worker)).success
            await until(lambda: worker in running.cloud.stops)
            worker, task, stream = await assigned(running, 2)
            for _ in range(6):  # as long as it tells that it lives it is left alone
                await asyncio.sleep(0.3)
                assert (await running.event(pb.EVENT_KEEPALIVE, worker)).success
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_STARTED
            assert await stream.read() is grpc.aio.EOF  # type: ignore[attr-defined]
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_ERROR
            failed = await running.logged("EV25", request_id=job_id)
            assert failed["attempts"] == "2"

    asyncio.run(story())


def test_a_task_that_takes_for_ever_and_a_worker_that_never_comes(tmp_path: Path) -> None:
    async def story() -> None:
        patience = replace(QUICK, boot_s=1.0, task_s=1.0)
        async with controller_in(tmp_path, patience=patience) as running:
            await running.submit()
            never = (await running.spawned()).worker_id
            failed = await running.logged("EV22", worker_id=never)
            assert failed["reason"] == "not registered within 1 s"
            await until(lambda: never in running.cloud.stops)
            hanging, _, stream = await assigned(running, 2)
            assert await stream.read() is grpc.aio.EOF  # type: ignore[attr-defined]
            lost = await running.logged("EV23", worker_id=hanging)
            assert lost["reason"] == "its task was not done within 1 s"

    asyncio.run(story())


def test_what_a_cloud_may_do(tmp_path: Path) -> None:
    async def story() -> None:
        cloud = TestCloud()
        moods = ["refuses", "breaks"]

        async def moody(order: SpawnOrder) -> None:
            if moods:
                mood = moods.pop(0)
                raise SpawnError("no quota") if mood == "refuses" else RuntimeError("a bug")

        cloud.on_spawn = moody
        cloud.stop_fails = 1
        # The shield waits 5 s after a failed spawn: let them pass quickly.
        async with controller_in(tmp_path, cloud, speed_up=20.0) as running:
            await running.submit()
            refused = (await running.spawned(1)).worker_id
            assert (await running.logged("EV22", worker_id=refused))["reason"] == "no quota"
            await running.logged("EV8", worker_id=refused)
            broken = (await running.spawned(2)).worker_id
            reason = (await running.logged("EV22", worker_id=broken))["reason"]
            assert "a bug" in reason
            assert not (await running.register(refused))
            await until(lambda: running.cloud.stops.count(broken) == 2)  # the first one failed
            await running.logged("EV8", worker_id=broken)
            assert await running.worker_state(broken) == pb.WORKER_STATUS_STOPPED

    asyncio.run(story())


def test_reports_of_the_cloud(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(
            tmp_path, scheduler="reserve-k:spares=1", speed_up=20.0
        ) as running:
            first = (await running.spawned()).worker_id
            running.cloud.tell(WorkerPlaced(first, "compute3"))
            running.cloud.tell(WorkerPlaced(first, "compute9"))  # of no use, but true
            running.cloud.tell(WorkerGone("nobody", "never was"))
            await running.logged("EV32", worker_id=first, node="compute9")
            described = await running.stub.get_worker(pb.WorkerID(worker_id=first))
            assert described.node == "compute9"
            cluster = running.controller.conductor.scheduler.cluster
            assert cluster.nodes[2].n_workers == 1
            running.cloud.tell(SpawnFailed(first, "no valid host"))
            await running.logged("EV22", worker_id=first, reason="no valid host")
            second = (await running.spawned(2)).worker_id
            assert await running.register(second)
            registered = await running.logged("EV11", worker_id=second)
            assert (registered["cpus"], registered["memory"]) == ("2", "4")
            running.cloud.tell(WorkerGone(second, "evicted"))
            await running.logged("EV23", worker_id=second, reason="evicted")
            await running.logged("EV8", worker_id=second)

    asyncio.run(story())


@pytest.mark.parametrize("rule", FURTHER)
@pytest.mark.parametrize("as_fallback", [False, True])
def test_the_existing_systems_further_algorithms_serve(
    tmp_path: Path, rule: str, as_fallback: bool
) -> None:
    spec = f"{rule}:queue_threshold=0" if rule == "scheduler-with-queue" else rule
    in_charge = {"scheduler": str(tmp_path / "models" / "missing"), "fallback": spec}
    changes = in_charge if as_fallback else {"scheduler": spec}

    async def story() -> None:
        async with controller_in(tmp_path, **changes) as running:
            job_id = await running.submit("bbb_1.mp4")
            worker_id, task, _ = await assigned(running)
            assert task.request_id == job_id
            await running.finish(worker_id, task.task_id)
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_COMPLETED

    asyncio.run(story())


def ask(url: str, body: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, data=body, method="PUT" if body else "GET")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
            kind = answer.headers["Content-Type"]
            return answer.status, json.loads(text) if "json" in kind else text
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_metrics_health_and_the_dial(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            base = f"http://127.0.0.1:{running.controller.http_port}"

            async def get(path: str, body: bytes | None = None) -> tuple[int, Any]:
                return await asyncio.to_thread(ask, base + path, body)

            await running.controller.ready.wait()
            assert await get("/health") == (200, {"status": "ok"})
            assert await get("/ready") == (200, {"status": "ready"})
            assert await get("/preference") == (200, {"preference": 0.5})
            for wrong in (b'{"preference": 0.05}', b'{"preference": "0.5"}', b"{}", b"NaN"):
                assert (await get("/preference", wrong))[0] == 422
            assert await get("/preference", b'{"preference": 0.8}') == (200, {"preference": 0.8})
            await running.logged("EV31", preference="0.8")
            await running.submit()
            worker, task, _ = await assigned(running)
            await running.finish(worker, task.task_id)
            await running.logged("EV8")
            status, text = await get("/metrics")
            assert status == 200
            for line in (
                "dacirco_queue_length 0.0",
                "dacirco_preference 0.8",
                "dacirco_capacity_vcpus 18.0",
                'dacirco_workers{flavor="s10.small",state="draining"} 0.0',
                'dacirco_jobs_total{outcome="completed"} 1.0',
                'dacirco_spawns_total{flavor="s10.small"} 1.0',
                "dacirco_workers_gone_total 1.0",
                "dacirco_sojourn_seconds_count 1.0",
                "dacirco_waiting_seconds_count 1.0",
                'dacirco_decisions_total{action="spawn",reason="policy",source="policy"} 1.0',
            ):
                assert line in text
        async with controller_in(tmp_path) as running:
            assert running.controller.service.preference == 0.8
        async with controller_in(tmp_path, preference=0.2) as running:
            assert running.controller.service.preference == 0.2

    asyncio.run(story())


def test_the_next_life_adopts_requeues_and_removes(tmp_path: Path) -> None:
    async def story() -> None:
        cloud = TestCloud()
        policy = {"scheduler": "reserve-k:spares=2"}
        async with controller_in(tmp_path, cloud, **policy) as running:
            jobs = [await running.submit() for _ in range(3)]
            alive, task, stream = await assigned(running, 1)
            await running.event(pb.EVENT_FILE_DOWNLOADED, alive, task.task_id)
            dies, lost_task, _ = await assigned(running, 2)
            booting = (await running.spawned(3)).worker_id
            stream.cancel()
        assert cloud.closed == 1
        assert not cloud.stops
        # Meanwhile: one dies, one is put elsewhere, and one that nobody knows appears.
        del cloud.workers[dies]
        cloud.nodes[alive] = "compute3"
        cloud.workers["orphan"] = SpawnOrder("orphan", "tc-orphan", cloud.cluster.flavors[0])
        cloud.find_fails = 2
        async with controller_in(tmp_path, cloud, **policy) as running:
            assert not running.controller.ready.is_set()
            late = await running.submit("bbb_1.mp4")  # accepted although the cloud is down
            assert await running.job_state(late) == pb.REQUEST_STATUS_WAITING
            # A worker is heard even before the cloud has told that it exists.
            done = await running.event(pb.EVENT_TRANSCODING_COMPLETED, alive, task.task_id)
            assert done.success
            await running.controller.ready.wait()
            assert cloud.finds >= 3
            await running.logged("EV28", worker_id="orphan")
            await until(lambda: "orphan" in cloud.stops)
            adopted = await running.logged("EV27", worker_id=alive)
            assert (adopted["node"], adopted["task_id"]) == ("compute3", task.task_id)
            await running.logged("EV27", worker_id=booting, task_id="")
            await running.logged("EV24", task_id=lost_task.task_id)
            assert await running.worker_state(dies) == pb.WORKER_STATUS_STOPPED
            assert await running.worker_state(booting) == pb.WORKER_STATUS_BOOTING
            assert (await running.event(pb.EVENT_FILE_UPLOADED, alive, task.task_id)).success
            assert await running.job_state(task.request_id) == pb.REQUEST_STATUS_COMPLETED
            task = await running.tasks(alive).read()
            assert task.request_id in {*jobs, late}
            ids = (await running.stub.get_requests(pb.Empty())).request_ids
            assert ids == [*jobs, late]

    asyncio.run(story())


def test_the_next_life_knows_which_nodes_have_held_the_image(tmp_path: Path) -> None:
    async def story() -> None:
        cloud = TestCloud()

        async def life(image: str) -> tuple[list[str], set[str]]:
            names = OpenStackSettings(image=image)
            async with controller_in(
                tmp_path, cloud, runner_type="vm", bind="127.0.0.1", openstack=names
            ) as running:
                nodes = running.controller.conductor.scheduler.cluster.nodes
                held = {node.config.name for node in nodes if node.image_cached}
                await running.controller.ready.wait()
                # A worker boots somewhere else than planned, and is gone before the life ends.
                await running.submit()
                await until(lambda: cloud.workers)
                worker = next(iter(cloud.workers))
                cloud.tell(WorkerPlaced(worker, "compute2"))
                assert await running.register(worker)
                described = await running.stub.get_worker(pb.WorkerID(worker_id=worker))
                assert described.memory == "4096"  # of a VM in MB, as a plain number
                registered = await running.logged("EV11", worker_id=worker)
                assert registered["memory"] == "4096"
                cloud.tell(WorkerGone(worker, "crashed"))
                del cloud.workers[worker]
                await running.logged("EV8", worker_id=worker)
                started = [event for event in running.log() if event["code"] == "EV26"]
            return json.loads(started[-1]["image_nodes"]), held

        assert await life("one") == ([], set())
        assert await life("one") == (["compute2"], {"compute2"})
        assert await life("another") == ([], set())
        assert await life("another") == (["compute2"], {"compute2"})
        async with controller_in(tmp_path, cloud, runner_type="simulated") as running:
            assert running.controller.conductor.scheduler.cluster.nodes_cached == 0

    asyncio.run(story())


def test_a_task_that_was_not_told_of_survives_the_controller(tmp_path: Path) -> None:
    async def story() -> None:
        cloud = TestCloud()
        async with controller_in(tmp_path, cloud) as running:
            await running.submit()
            worker, task, _ = await assigned(running)
        async with controller_in(tmp_path, cloud) as running:
            assert await running.tasks(worker).read() == task  # before or after it is ready
            await running.finish(worker, task.task_id)
            assert await running.job_state(task.request_id) == pb.REQUEST_STATUS_COMPLETED

    asyncio.run(story())


def test_workers_of_a_size_that_is_gone_are_ended(tmp_path: Path) -> None:
    async def story() -> None:
        cloud = TestCloud()
        async with controller_in(tmp_path, cloud) as running:
            job_id = await running.submit()
            worker, _, _ = await assigned(running)
        flavors = cloud.cluster.flavors
        smaller = TestCloud()
        smaller.workers = cloud.workers
        smaller.cluster = replace(cloud.cluster, flavors=(flavors[0], flavors[2]))
        async with controller_in(
            tmp_path,
            smaller,
            scheduler="minimize-workers:flavor=s10.tiny",
            fallback="minimize-workers:flavor=s10.tiny",
        ) as running:
            await until(lambda: worker in smaller.stops)
            order = await running.spawned()
            assert order.flavor.name == "s10.tiny"
            assert await running.worker_state(worker) == pb.WORKER_STATUS_STOPPED
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_WAITING

    asyncio.run(story())


def test_stopping_the_workers_too(tmp_path: Path) -> None:
    async def story() -> None:
        cloud = TestCloud()
        async with controller_in(tmp_path, cloud) as running:
            job_id = await running.submit()
            worker, _, _ = await assigned(running)
            await running.controller.stop_workers()
            assert cloud.stops == [worker]
            assert running.controller.conductor.scheduler.cluster.n_workers == 0
        store = Store(f"sqlite:///{tmp_path / 'store.db'}")
        job = store.job(job_id)
        assert job is not None
        assert (job.state, job.attempts, job.worker_id) == (JobState.WAITING, 1, None)
        assert store.living_workers() == []
        store.close()

    asyncio.run(story())
