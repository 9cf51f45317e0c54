"""Ours with theirs: clients, workers and controllers that know nothing but the contract."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.rest.app import RestSettings, create_app
from tests.deploy.live_controller import TestCloud, controller_in
from tests.deploy.rest.contract import ENUMS, MESSAGES, RPCS, SERVICE, message, path
from tests.deploy.rest.rest_server import serving

JOB = b'{"id_video": "bbb_0.mp4", "bitrate": 2000, "speed": "fast"}'


class Client:
    """Speaks HTTP/1.1 by hand, as the existing clients' library does.

    Args:
        url: of the Job API.
    """

    def __init__(self, url: str) -> None:
        self.netloc = url.removeprefix("http://")

    def call(self, method: str, target: str, body: bytes | None = None) -> tuple[int, Any, Any]:
        """Status, headers and the value of an answer."""
        connection = http.client.HTTPConnection(self.netloc, timeout=60)
        try:
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, json.loads(answer.read())
        finally:
            connection.close()

    def get(self, target: str) -> tuple[int, Any]:
        status, _, value = self.call("GET", target)
        return status, value

    def wait_for(self, target: str, value: object) -> None:
        patience_ends = time.monotonic() + 60
        while (last := self.get(target)) != (200, value):
            assert time.monotonic() < patience_ends, f"{target} is {last}, not {value}"
            time.sleep(0.02)


FIRST_OF_OURS = 15
"""Fields with such numbers are ours: the existing system's peers leave them out and skip them."""


@pytest.mark.parametrize("name", MESSAGES)
def test_our_messages_are_the_contracts(name: str) -> None:
    ours = getattr(pb, name).DESCRIPTOR
    theirs = message(name).DESCRIPTOR

    def fields(descriptor: Any) -> list[tuple[str, int, int, bool]]:
        return [(f.name, f.number, f.type, f.is_repeated) for f in descriptor.fields]

    assert ours.full_name == theirs.full_name
    assert [field for field in fields(ours) if field[1] < FIRST_OF_OURS] == fields(theirs)


@pytest.mark.parametrize("name", ENUMS)
def test_our_enums_have_the_contracts_numbers(name: str) -> None:
    ours = sorted(value.number for value in pb.DESCRIPTOR.enum_types_by_name[name].values)
    assert ours == [int(value.partition(":")[2]) for value in ENUMS[name].split()]


def test_our_calls_are_the_contracts() -> None:
    service = pb.DESCRIPTOR.services_by_name["DaCircogRPCService"]
    assert service.full_name == SERVICE
    assert {
        method.name: (method.input_type.name, method.output_type.name) for method in service.methods
    } == RPCS
    assert [method.name for method in service.methods if method.server_streaming] == ["get_tasks"]


@contextmanager
def existing_controller(answers: dict[str, Callable[[Any], Any]]) -> Iterator[str]:
    """A controller of the existing system: it knows the contract's messages, not our code."""

    def handler(rpc: str, answer: Callable[[Any], Any]) -> grpc.RpcMethodHandler:
        asked, given = (message(name) for name in RPCS[rpc])
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _context: given(**answer(request)),
            request_deserializer=asked.FromString,
            response_serializer=given.SerializeToString,
        )

    handlers = {rpc: handler(rpc, answer) for rpc, answer in answers.items()}
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_our_front_end_with_the_existing_controller() -> None:
    submitted: list[Any] = []

    def submit(request: Any) -> dict[str, Any]:
        submitted.append(request)
        if request.input_video == "none.mp4":
            return {"success": False, "error_message": "cannot do it"}
        return {"success": True, "request_id": "42"}

    request = {"input_video": "bbb_0.mp4", "output_video": "out-bbb_0.mp4"}
    request |= {"bitrate": 2000, "speed": "fast"}
    worker = {"name": "w", "id": "7", "cpus": "2", "memory": "2048", "node": "compute1"}
    answers: dict[str, Callable[[Any], Any]] = {
        "submit_request": submit,
        "get_requests": lambda _: {"request_ids": ["42"]},
        "get_request": lambda asked: request if asked.request_id == "42" else {},
        "get_request_status": lambda asked: {
            "request_status": 3 if asked.request_id == "42" else 6
        },
        "get_workers": lambda _: {"worker_ids": ["7"]},
        "get_worker": lambda asked: worker if asked.worker_id == "7" else {},
        "get_worker_status": lambda asked: {"worker_status": {"7": 4}.get(asked.worker_id, 7)},
    }
    with (
        existing_controller(answers) as address,
        serving(create_app(RestSettings(controller=address))) as url,
    ):
        client = Client(url)
        status, headers, job_id = client.call("POST", "/jobs", JOB)
        assert (status, job_id, headers["Location"]) == (201, "42", f"{url}/jobs/42")
        assert submitted == [message("TCRequest")(**request)]
        assert client.get("/jobs") == (200, {"items": ["42"], "has_more": False})
        assert client.get("/jobs/42") == (200, json.loads(JOB))
        assert client.get("/jobs/42/state") == (200, "Started")
        assert client.get("/workers") == (200, {"items": ["7"], "has_more": False})
        assert client.get("/workers/7") == (200, worker)
        assert client.get("/workers/7/state") == (200, "Uploading File")
        for kind in ("jobs", "workers"):
            assert client.get(f"/{kind}/8")[0] == client.get(f"/{kind}/8/state")[0] == 404
        status, _, refused = client.call("POST", "/jobs", JOB.replace(b"bbb_0", b"none"))
        assert (status, refused) == (400, {"detail": "cannot do it"})


def play_worker(address: str, name: str, worker_id: str, client: Client, job_id: str) -> None:
    """A worker of the existing system does one task; the Job API tells each step."""
    with grpc.insecure_channel(address) as channel:

        def rpc(method: str, streams: bool = False, **fields: Any) -> Any:
            asked, given = (message(each) for each in RPCS[method])
            kind = channel.unary_stream if streams else channel.unary_unary
            call = kind(
                path(method),
                request_serializer=asked.SerializeToString,
                response_deserializer=given.FromString,
            )
            return call(asked(**fields), timeout=60)

        def event(number: int, task_id: str) -> None:
            fields = {"event_type": number, "worker_id": worker_id, "task_id": task_id}
            assert rpc("submit_event", **fields).success

        state = f"/workers/{worker_id}/state"
        client.wait_for(state, "Booting")
        assert rpc("register_worker", name=name, id=worker_id).success
        tasks = rpc("get_tasks", streams=True, name=name, id=worker_id)
        task = next(tasks)
        assert task == message("TCTask")(
            input_video="bbb_0.mp4",
            output_video="out-bbb_0.mp4",
            bitrate=2000,
            speed="fast",
            request_id=job_id,
            worker_id=worker_id,
            task_id=task.task_id,
        )
        event(5, "")  # keepalive
        client.wait_for(f"/jobs/{job_id}/state", "Started")
        client.wait_for(state, "Downloading File")
        event(1, task.task_id)
        client.wait_for(state, "Transcoding")
        event(3, task.task_id)
        client.wait_for(state, "Uploading File")
        event(4, task.task_id)
        client.wait_for(f"/jobs/{job_id}/state", "Completed")
        tasks.cancel()


def test_existing_clients_and_workers_with_our_controller(tmp_path: Path) -> None:
    def play(address: str, url: str, cloud: TestCloud) -> None:
        client = Client(url)
        status, headers, job_id = client.call("POST", "/jobs", JOB)
        assert status == 201
        assert headers["Location"] == f"{url}/jobs/{job_id}"
        client.wait_for(f"/jobs/{job_id}/state", "Waiting")
        assert client.get(f"/jobs/{job_id}") == (200, json.loads(JOB))
        assert client.call("POST", "/jobs", JOB.replace(b"bbb_0", b"bbb_9"))[0] == 404
        patience_ends = time.monotonic() + 60
        while not cloud.spawns:
            assert time.monotonic() < patience_ends
            time.sleep(0.02)
        order = cloud.spawns[0]
        play_worker(address, order.name, order.worker_id, client, job_id)
        assert client.get("/jobs") == (200, {"items": [job_id], "has_more": False})
        status, workers = client.get("/workers")
        assert (status, workers["has_more"]) == (200, False)
        assert order.worker_id in workers["items"]
        worker = client.get(f"/workers/{order.worker_id}")[1]
        assert worker.keys() == {"name", "id", "cpus", "memory", "node"}
        assert all(isinstance(value, str) for value in worker.values())
        assert worker["id"] == order.worker_id

    async def run() -> None:
        async with controller_in(tmp_path) as running:
            address = f"127.0.0.1:{running.controller.grpc_port}"
            app = create_app(RestSettings(controller=address))

            def serve_and_play() -> None:
                with serving(app) as url:
                    play(address, url, running.cloud)

            await asyncio.to_thread(serve_and_play)
            codes = [event["code"] for event in running.log()]
            wanted = ["EV1", "EV2", "EV11", "EV3", "EV4", "EV5", "EV6", "EV7"]
            assert [code for code in codes if code in wanted] == wanted

    asyncio.run(run())
