"""Whatever happens, the existing log processor reads our logs and loses no good request."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from deploy.eventlog.writer import EventLog
from deploy.grpc_api import dacirco_pb2 as pb
from env.event_log import EVENT_KEYS, EventCode, read_events
from env.log_parts import parts_of
from tests.deploy.eventlog.existing_reader import existing_process_log
from tests.deploy.live_controller import PATIENCE_S, Running, TestCloud, controller_in
from tests.deploy.replay.recorder import START, Recorder

TASK_CODES = ("EV3", "EV4", "EV5", "EV6", "EV7")


def good_requests(path: Path) -> set[str]:
    """The requests of a log that were received, done at the first attempt, and never again."""
    tasks: dict[str, set[str]] = defaultdict(set)
    codes: dict[str, list[str]] = defaultdict(list)
    for _, event in read_events(path):
        if event["code"] in ("EV1", *TASK_CODES):
            codes[event["request_id"]].append(event["code"])
            tasks[event["request_id"]].add(event.get("task_id", ""))
    return {
        request
        for request, had in codes.items()
        if sorted(had) == ["EV1", *TASK_CODES] and len(tasks[request]) == 2
    }


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=2), inherits=st.booleans())
@example(seeds=[7, 7], inherits=False)
def test_random_histories_of_the_scheduler(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], inherits: bool
) -> None:
    """One or two lives in one file; of two with one seed, all ids of the second are known."""
    folder = tmp_path_factory.mktemp("log")
    path = folder / "events.txt"
    for seed in seeds:
        log = EventLog(path=path)
        recorder = Recorder(folder, "reserve-k:spares=2", "grace-period", seed, inherits, log=log)
        for _ in range(150):
            recorder.step()
        recorder.keeps.flush()
        log.close()
    tables = existing_process_log(path)
    assert good_requests(path) <= tables.ok
    first = tables.requests["time_received"].min()
    assert first.year == 2026


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["EV1", "EV2", "EV8", "EV11", "EV9", "EV24", "EV25", *TASK_CODES]),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=60,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=EVENTS, max_bytes=st.sampled_from([0, 1500]))
def test_any_order_of_any_events_in_any_part(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int, int]], max_bytes: int
) -> None:
    """Also what cannot be: tasks of two workers at once, ends before begins, all of it twice."""
    log = EventLog(tmp_path_factory.mktemp("log"), max_bytes=max_bytes)
    log.write(EventCode.REQUEST_RECEIVED, request_id="good", moment=START, **ASKED)
    for code in TASK_CODES:
        log.write(EventCode(code), request_id="good", worker_id="w", task_id="t", moment=START)
    for name, request, attempt in events:
        ids = {"request_id": f"r{request}", "worker_id": f"w{attempt}"}
        ids["task_id"] = f"t{request}-{attempt}"
        keys = {key: ids.get(key, "1") for key in EVENT_KEYS[EventCode(name)]}
        if name == "EV25":
            keys |= {"task_id": ids["task_id"], "error_message": "failed"}
        log.write(EventCode(name), moment=START, **keys)
    log.close()
    for part in parts_of(log.path):
        existing_process_log(part)
    assert "good" in existing_process_log(log.path).ok


ASKED = {"input_video": "bbb_1.mp4", "bitrate": "900", "speed": "fast"}


class Fleet:
    """The workers of a cloud, each of which does with a task what is planned for its video.

    Args:
        running: the controller.
        plan: by request, what becomes of its attempts, one after the other; ``ok`` after these.
    """

    def __init__(self, running: Running, plan: dict[str, list[str]]) -> None:
        self.running, self.plan = running, plan
        self.known: set[str] = set()

    async def work(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for worker_id in self.running.cloud.workers.keys() - self.known:
                    self.known.add(worker_id)
                    group.create_task(self.be(worker_id))
                await asyncio.sleep(0.01)

    async def be(self, worker_id: str) -> None:
        """One worker."""
        with suppress(grpc.aio.AioRpcError):
            await self.running.register(worker_id)
            stream = self.running.tasks(worker_id)
            while (task := await stream.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                planned = self.plan.get(task.request_id, [])
                outcome = planned.pop(0) if planned else "ok"
                if outcome == "wait":
                    return
                if outcome == "vanish":
                    self.running.cloud.workers.pop(worker_id, None)
                    self.running.controller.conductor.lost(worker_id, "vanished")
                    return
                await self.running.event(pb.EVENT_FILE_DOWNLOADED, worker_id, task.task_id)
                if outcome == "ok":
                    for kind in (pb.EVENT_TRANSCODING_COMPLETED, pb.EVENT_FILE_UPLOADED):
                        await self.running.event(kind, worker_id, task.task_id)
                else:
                    await self.running.error(int(outcome), worker_id, task.task_id)


STORAGE, TRANSCODING = str(pb.ERROR_STORAGE_ERROR), str(pb.ERROR_TRANSCODING_FAILED)
ENDED = (pb.REQUEST_STATUS_COMPLETED, pb.REQUEST_STATUS_ERROR)


async def until_ended(running: Running, job_ids: list[str]) -> list[int]:
    """The states of the jobs when all have ended."""
    while True:
        states = [await running.job_state(job_id) for job_id in job_ids]
        if all(state in ENDED for state in states):
            await running.controller.conductor.flush()
            return states
        await asyncio.sleep(0.02)


def test_a_controllers_log_with_jobs_retried_failed_and_lost(tmp_path: Path) -> None:
    """Two lives write to one file; a worker vanishes while no controller runs."""
    cloud = TestCloud()
    plans = ([], [STORAGE], [TRANSCODING], ["vanish"], ["vanish"] * 9, [STORAGE] * 9, [])
    ids: list[str] = []

    async def first() -> None:
        async with asyncio.timeout(PATIENCE_S), controller_in(tmp_path, cloud) as running:
            plan: dict[str, list[str]] = {}
            fleet = asyncio.create_task(Fleet(running, plan).work())
            running.cloud.on_spawn = None
            for planned in plans:
                job_id = await running.submit()
                plan[job_id] = list(planned)
                ids.append(job_id)
            await until_ended(running, ids)
            last = await running.submit()
            plan[last] = ["wait"]
            ids.append(last)
            await running.logged("EV3", request_id=last)
            await running.controller.conductor.flush()
            fleet.cancel()

    async def second() -> None:
        async with asyncio.timeout(PATIENCE_S), controller_in(tmp_path, cloud) as running:
            fleet = asyncio.create_task(Fleet(running, {}).work())
            ids.append(await running.submit())
            await until_ended(running, ids)
            fleet.cancel()

    asyncio.run(first())
    holder = [event for _, event in read_events(tmp_path / "events.txt") if event["code"] == "EV3"]
    cloud.workers.pop(holder[-1]["worker_id"])
    asyncio.run(second())
    path = tmp_path / "events.txt"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    told = [line for line in lines if "error_message" in line]
    assert {"EV9", "EV10", "EV24", "EV25"} <= {line["code"] for line in told}
    assert all(line["task_id"] for line in told)
    tables = existing_process_log(path)
    assert tables.ok == good_requests(path)
    assert {ids[0], ids[6], ids[8]} <= tables.ok
    assert tables.workers["time_registered"].notna().all()
