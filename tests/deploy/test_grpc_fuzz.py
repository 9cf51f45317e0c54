"""Whatever is sent to the controller's gRPC port: an answer, no crash, and nothing changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.controller.settings import Patience
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.reasons import FRONT_END_KEY, STRICT
from tests.deploy.live_controller import controller_in
from tests.deploy.rest.contract import RPCS, message, path

pytestmark = pytest.mark.slow

ENDLESS: Final = 1e6
STREAMING: Final = "get_tasks"
STRICTLY: Final = ((FRONT_END_KEY, STRICT),)
"""As our own front end asks: what cannot be done is not even stored."""
FUZZ: Final = settings(max_examples=50, suppress_health_check=list(HealthCheck))


@dataclass
class Fixed:
    """A controller in a state that only legal events can change.

    Attributes:
        channel: to the controller.
        busy: the secret id of a worker that downloads the input of a task.
        booting: that of a worker that has not registered.
        task: the task's id.
        job: its job's id.
        storage: folder of videos and results.
    """

    channel: grpc.Channel
    busy: str
    booting: str
    task: str
    job: str
    storage: Path

    def call(
        self, rpc: str, request: bytes, metadata: tuple[tuple[str, str], ...] = STRICTLY
    ) -> tuple[grpc.StatusCode, list[Any]]:
        """What comes of the bytes of a request; a stream is left after its first message."""
        make = self.channel.unary_stream if rpc == STREAMING else self.channel.unary_unary
        call = make(path(rpc), response_deserializer=message(RPCS[rpc][1]).FromString)  # type: ignore[call-arg]
        try:
            if rpc != STREAMING:
                return grpc.StatusCode.OK, [call(request, timeout=60, metadata=metadata)]
            stream = call(request, timeout=0.5)
            first = next(stream)
            stream.cancel()
        except grpc.RpcError as error:
            return error.code(), []
        return grpc.StatusCode.OK, [first]

    def public_ids(self) -> list[str]:
        """The workers' public ids."""
        _, [reply] = self.call("get_workers", b"")
        return list(reply.worker_ids)

    def state(self) -> list[Any]:
        """All that the contract tells of jobs and workers."""

        def ask(rpc: str, **fields: str) -> Any:
            request = message(RPCS[rpc][0])(**fields).SerializeToString()
            code, replies = self.call(rpc, request)
            assert code is grpc.StatusCode.OK
            return replies[0]

        jobs, workers = ask("get_requests"), ask("get_workers")
        return [
            jobs,
            *(ask("get_request", request_id=each) for each in jobs.request_ids),
            *(ask("get_request_status", request_id=each) for each in jobs.request_ids),
            workers,
            *(ask("get_worker", worker_id=each) for each in workers.worker_ids),
            *(ask("get_worker_status", worker_id=each) for each in workers.worker_ids),
        ]


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixed]:
    folder: Path = tmp_path_factory.mktemp("controller")
    patience = Patience(boot_s=ENDLESS, keepalive_s=ENDLESS, task_s=ENDLESS)
    told: list[tuple[str, str, str, str, str]] = []
    ready, ended = threading.Event(), threading.Event()

    async def run() -> None:
        async with controller_in(folder, patience=patience) as running:
            job = await running.submit("bbb_0.mp4")
            busy = (await running.spawned()).worker_id
            assert await running.register(busy)
            task = await running.tasks(busy).read()
            await running.submit("bbb_1.mp4")
            booting = (await running.spawned(2)).worker_id
            address = f"127.0.0.1:{running.controller.grpc_port}"
            secrets = (running.secret(busy), running.secret(booting))
            told.append((address, *secrets, task.task_id, job))
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(60)
        address, *ids = told[0]
        with grpc.insecure_channel(address) as channel:
            yield Fixed(channel, *ids, storage=folder / "storage")
    finally:
        ended.set()
        thread.join()


def is_legal(rpc: str, request: Any, fixed: Fixed) -> bool:
    """Whether the request is one that may change something."""
    match rpc:
        case "submit_request":
            return request.input_video in ("bbb_0.mp4", "bbb_1.mp4")
        case "register_worker":
            return request.id == fixed.booting
        case "submit_event":
            ids = (request.worker_id, request.task_id)
            return ids == (fixed.busy, fixed.task) and request.event_type == 1
        case "submit_error":
            return (request.worker_id, request.task_id) == (fixed.busy, fixed.task)
    return False


def texts(fixed: Fixed) -> st.SearchStrategy[str]:
    """Ids and names: true ones in wrong places, odd ones, long ones."""
    known = [fixed.busy, fixed.booting, fixed.task, fixed.job, "", "bbb_0.mp4", "out-bbb_0.mp4"]
    known += fixed.public_ids()
    odd = ["../../etc/passwd", "a\x00b", "' OR 1=1 --", "fast", "\N{SNOWMAN}", "x" * 5_000]
    return st.sampled_from(known + odd) | st.text(max_size=50)


def requests_to(rpc: str, fixed: Fixed) -> st.SearchStrategy[Any]:
    """Messages of the right type with any values."""
    asked = message(RPCS[rpc][0])
    numbers = st.integers(-1, 8) | st.integers(-(2**31), 2**31 - 1)
    fields = {
        field.name: texts(fixed) if field.type == field.TYPE_STRING else numbers
        for field in asked.DESCRIPTOR.fields
    }
    return st.builds(asked, **fields)


@pytest.mark.parametrize("rpc", RPCS)
@given(data=st.data())
@FUZZ
def test_messages_with_any_values_change_nothing(fixed: Fixed, rpc: str, data: Any) -> None:
    request = data.draw(requests_to(rpc, fixed).filter(lambda it: not is_legal(rpc, it, fixed)))
    before = fixed.state()
    code, replies = fixed.call(rpc, request.SerializeToString())
    if rpc == STREAMING and replies:  # after a lost connection a worker is told its task again
        assert (request.id, replies[0].task_id) == (fixed.busy, fixed.task)
    elif rpc == STREAMING:
        assert code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DEADLINE_EXCEEDED)
    else:
        assert code is grpc.StatusCode.OK
    if rpc in ("submit_request", "submit_event", "submit_error", "register_worker"):
        alive = rpc == "submit_event" and request.event_type == pb.EVENT_KEEPALIVE
        again = rpc == "register_worker" and request.id == fixed.busy
        assert alive or again or not replies[0].success
        assert replies[0].success or replies[0].error_message
    assert fixed.state() == before


@pytest.mark.parametrize("rpc", RPCS)
@given(request=st.binary(max_size=300))
@FUZZ
def test_bytes_that_are_no_message_change_nothing(fixed: Fixed, rpc: str, request: bytes) -> None:
    before = fixed.state()
    code, _ = fixed.call(rpc, request)
    # INTERNAL is what gRPC itself says of bytes that it cannot read; an error that the
    # controller did not handle would be UNKNOWN.
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL)
    assert fixed.state() == before


@given(data=st.data())
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
def test_a_job_that_cannot_be_done_has_an_id_all_the_same(fixed: Fixed, data: Any) -> None:
    request = data.draw(
        requests_to("submit_request", fixed).filter(
            lambda it: not is_legal("submit_request", it, fixed)
        )
    )
    _, [reply] = fixed.call("submit_request", request.SerializeToString(), metadata=())
    assert reply.success
    asked = pb.RequestID(request_id=reply.request_id).SerializeToString()
    _, [status] = fixed.call("get_request_status", asked)
    assert status.request_status == pb.REQUEST_STATUS_ERROR
    _, [job] = fixed.call("get_request", asked)
    for text in (job.input_video, job.output_video, job.speed):
        assert text.isprintable()


def test_a_message_that_is_too_large_is_refused(fixed: Fixed) -> None:
    before = fixed.state()
    request = pb.TCRequest(input_video="x" * 10_000_000).SerializeToString()
    assert fixed.call("submit_request", request)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert fixed.state() == before


def test_a_call_that_does_not_exist_is_refused(fixed: Fixed) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        fixed.channel.unary_unary(path("drop_all"))(b"", timeout=60)  # type: ignore[call-arg]
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_afterwards_the_task_can_still_be_done(fixed: Fixed) -> None:
    for kind in (pb.EVENT_FILE_DOWNLOADED, pb.EVENT_TRANSCODING_COMPLETED, pb.EVENT_FILE_UPLOADED):
        if kind == pb.EVENT_FILE_UPLOADED:
            results = fixed.storage / "output-videos"
            results.mkdir()
            (results / "out-bbb_0.mp4").write_bytes(b"a video" * 100)
        event = pb.GrpcEvent(event_type=kind, worker_id=fixed.busy, task_id=fixed.task)
        _, [reply] = fixed.call("submit_event", event.SerializeToString())
        assert reply.success, reply.error_message
    request = pb.RequestID(request_id=fixed.job).SerializeToString()
    _, [reply] = fixed.call("get_request_status", request)
    assert reply.request_status == pb.REQUEST_STATUS_COMPLETED
