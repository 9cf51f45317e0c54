"""A real controller process is killed between submission and completion, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread

import grpc
import grpc.aio
import pytest
from live_controller import PATIENCE_S

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import DaCircogRPCServiceStub
from env.event_log import read_events
from env.log_parts import logs_in

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
JOBS = 12


@contextmanager
def controller(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A controller with simulated workers, 60 times as fast, that listens; and its port."""
    command = [sys.executable, "-m", "deploy.controller.command", "-r", "simulated"]
    command += ["--speed-up", "60", "-p", "0", "--http-port", "0", "--max-attempts", "9"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (folder / "errors.txt").open("ab") as errors:
        process = subprocess.Popen(
            [*command, *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    lines: Queue[str] = Queue()
    assert process.stdout is not None
    out = process.stdout

    def read() -> None:
        for line in out:
            lines.put(line)
        lines.put("")

    reader = Thread(target=read)
    reader.start()
    try:
        line = lines.get(timeout=PATIENCE_S)
        assert "listens" in line, (folder / "errors.txt").read_text()
        yield process, int(line.split("gRPC port ")[1].split(",")[0])
    finally:
        process.kill()
        process.wait()
        reader.join()
        out.close()


async def submit(port: int, n: int) -> list[str]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
        ids = []
        for i in range(n):
            request = pb.TCRequest(
                input_video=f"bbb_{i % 10}.mp4", output_video="out", bitrate=800, speed="ultrafast"
            )
            reply = await stub.submit_request(request)
            assert reply.success, reply.error_message
            ids.append(reply.request_id)
        return ids


async def states(port: int, ids: list[str]) -> list[int]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
        listed = (await stub.get_requests(pb.Empty())).request_ids
        assert [job for job in listed if job in set(ids)] == ids
        replies = [await stub.get_request_status(pb.RequestID(request_id=job)) for job in ids]
        return [reply.request_status for reply in replies]


async def completed(port: int, ids: list[str], least: int) -> None:
    async with asyncio.timeout(2 * PATIENCE_S):
        while (await states(port, ids)).count(pb.REQUEST_STATUS_COMPLETED) < least:
            await asyncio.sleep(0.05)


def test_no_job_is_lost_or_done_twice_when_the_controller_is_killed(tmp_path: Path) -> None:
    ids: list[str] = []
    for life in range(3):
        with controller(tmp_path) as (process, port):
            ids += asyncio.run(submit(port, JOBS // 3))
            if life > 0:  # killed while some jobs are done and others are on their way
                asyncio.run(completed(port, ids, 2 * life))
            process.kill()
    with controller(tmp_path) as (process, port):
        asyncio.run(completed(port, ids, JOBS))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    logs = logs_in(tmp_path)
    assert len(logs) == 4
    events = [event for log in logs for _, event in read_events(log)]
    received = [event["request_id"] for event in events if event["code"] == "EV1"]
    uploaded = [event["request_id"] for event in events if event["code"] == "EV7"]
    assert set(received) <= set(ids)
    assert len(uploaded) == len(set(uploaded))  # a kill may have cost a line, never made two
    assert set(uploaded) <= set(ids)
    assert any(event["code"] == "EV24" for event in events)  # simulated workers die with it


def test_two_controllers_never_share_a_store(tmp_path: Path) -> None:
    with controller(tmp_path):
        second = subprocess.run(
            [sys.executable, "-m", "deploy.controller.command", "-r", "simulated", "-p", "0"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert second.returncode == 2
    assert "another controller has the store" in second.stderr
    assert len(second.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(number: signal.Signals, tmp_path: Path) -> None:
    with controller(tmp_path) as (process, port):
        ids = asyncio.run(submit(port, 2))
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in (tmp_path / "errors.txt").read_text()
    with controller(tmp_path) as (process, port):
        asyncio.run(completed(port, ids, 2))
