"""Priority classes and deadlines: bounds, what dispatch is told, and the order on real workers."""

from __future__ import annotations

import asyncio
import time
from math import inf
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import jobs_pb2 as jobs
from deploy.grpc_api.jobs_pb2_grpc import DaCircoJobsStub
from deploy.urgency import SLACK_S, read_urgency, urgency, urgency_keys
from env.jobs import PLAIN, Urgency
from tests.deploy.live_controller import controller_in


def test_what_dispatch_is_told() -> None:
    assert urgency("normal", None, 60.0) is PLAIN
    assert urgency("nonsense", None, 60.0) is PLAIN
    assert urgency("high", None, 60.0) == Urgency(1800.0, inf)
    assert urgency("low", 1000.0, 60.0) == Urgency(-1800.0, 1000.0 - 60.0 - SLACK_S)


@given(st.builds(Urgency, st.floats(allow_nan=False), st.floats(allow_nan=False)))
def test_the_event_log_tells_it_exactly(told: Urgency) -> None:
    assert read_urgency(urgency_keys(told)) == told


def new_job(**wishes: Any) -> jobs.NewJob:
    asked = {"input_video": "bbb_0.mp4", "output_video": "out-bbb_0.mp4"}
    return jobs.NewJob(**asked, bitrate=1000, speed="fast", **wishes)


def test_urgent_jobs_go_first_also_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        now = time.time()
        async with controller_in(tmp_path, max_workers=1, scheduler="grace-period") as running:
            ask = DaCircoJobsStub(running.channel)  # type: ignore[no-untyped-call]

            async def submit(**wishes: Any) -> str:
                return str((await ask.submit_job(new_job(**wishes))).job_id)

            low = await submit(priority="low")
            normal = await running.submit()
            high = await submit(priority="high")
            due = await submit(deadline=now + 30.0)
            details = await ask.describe_job(jobs.JobName(job_id=due))
            assert (details.priority, details.deadline) == ("normal", now + 30.0)
            told = await running.logged("EV53", request_id=high)
            assert (told["priority"], told["deadline"]) == ("high", "")
            codes = [event["code"] for event in running.log() if event.get("request_id") == high]
            assert codes[:2] == ["EV53", "EV1"]
        async with controller_in(
            tmp_path, running.cloud, max_workers=1, scheduler="grace-period"
        ) as running:
            ask = DaCircoJobsStub(running.channel)  # type: ignore[no-untyped-call]
            order = await running.spawned()
            assert await running.register(order.worker_id)
            stream = running.tasks(order.worker_id)
            served = []
            for _ in range(4):
                task = await stream.read()
                served.append(task.request_id)
                await running.finish(order.worker_id, task.task_id)
            assert served == [high, due, normal, low]
            exposition = running.controller.conductor.metrics.exposition().decode()
            assert 'dacirco_deadlines_total{outcome="met"} 1.0' in exposition

    asyncio.run(story())


@pytest.mark.parametrize(
    "wishes",
    [
        {"priority": "urgent"},
        {"deadline": 1.0},
        {"deadline": inf},
        {"deadline": float("nan")},
        {"deadline": 1e300},
    ],
)
def test_a_wish_that_cannot_be_is_refused(tmp_path: Path, wishes: dict[str, Any]) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            ask = DaCircoJobsStub(running.channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await ask.submit_job(new_job(**wishes))
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert not (await running.stub.get_requests(pb.Empty())).request_ids

    asyncio.run(story())
