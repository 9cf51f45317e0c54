"""A controller as a program of its own, with simulated workers; and what tests ask of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread

import grpc
import grpc.aio

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import DaCircogRPCServiceStub
from tests.deploy.live_controller import PATIENCE_S

ROOT = Path(__file__).parents[2]


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
