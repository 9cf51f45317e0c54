"""A thousand connections that are only held open, against the programs as they are started."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from deploy.system.descriptors import raise_descriptor_limit
from tests.deploy.controller_process import ROOT, controller, states, submit
from tests.deploy.hostile.sockets import PATIENCE_S, ask, held_open, status

pytestmark = pytest.mark.slow
MANY = 1100
USUAL_LIMIT = 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def rest_api(folder: Path, grpc_port: int) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "deploy.rest.command", "--port", str(port)]
    command += ["--grpc-server", "127.0.0.1", "--grpc-port", str(grpc_port)]
    with (folder / "rest.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                requests.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None, (folder / "rest.txt").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def usual_limit() -> Iterator[None]:
    """The limit of descriptors that a shell gives; what is started here must raise it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4 * MANY:
        pytest.skip(f"this process may have {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL_LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nobody_is_kept_from_his_call(tmp_path: Path, usual_limit: None) -> None:
    http_port = free_port()
    with (
        controller(tmp_path, "--http-port", str(http_port)) as (process, grpc_port),
        rest_api(tmp_path, grpc_port) as rest_port,
    ):
        raise_descriptor_limit()  # ours
        half = b"POST /jobs HTTP/1.1\r\nHost: local"
        with (
            held_open(rest_port, MANY, half),
            held_open(http_port, MANY),
            held_open(grpc_port, MANY),
        ):
            job = {"id_video": "bbb_0.mp4", "bitrate": 800, "speed": "fast"}
            rest = f"http://127.0.0.1:{rest_port}"
            reply = requests.post(f"{rest}/jobs", json=job, timeout=PATIENCE_S)
            assert reply.status_code == 201
            assert requests.get(f"{rest}/ready", timeout=PATIENCE_S).ok
            evil = {"Host": "evil.example"}
            assert requests.get(f"{rest}/jobs", headers=evil, timeout=60).status_code == 421
            metrics = requests.get(f"http://127.0.0.1:{http_port}/metrics", timeout=PATIENCE_S)
            assert "dacirco" in metrics.text
            ids = asyncio.run(submit(grpc_port, 1))  # over a connection of its own
            assert len(asyncio.run(states(grpc_port, ids))) == 1
        assert process.poll() is None
    for log in ("rest.txt", "errors.txt"):
        lines = (tmp_path / log).read_text().splitlines()
        assert sum("HTTP connections" in line for line in lines) <= 10
        assert not [line for line in lines if "Too many open files" in line]


def test_a_large_body_takes_no_memory(tmp_path: Path) -> None:
    http_port = free_port()
    piece = b" " * 2**20
    with controller(tmp_path, "--http-port", str(http_port)) as (process, _):
        head = b"PUT /preference HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        measured = psutil.Process(process.pid)
        before = measured.memory_info().rss
        for length in (b"Content-Length: 419430400", b"Transfer-Encoding: chunked"):
            chunk = piece if b"Length" in length else b"100000\r\n" + piece + b"\r\n"
            reply = ask(http_port, head + length + b"\r\n\r\n", *[chunk] * 400)
            assert status(reply) in (413, 0)  # a reset may overtake the answer
        assert measured.memory_info().rss - before < 20 * 2**20
        assert requests.get(f"http://127.0.0.1:{http_port}/health", timeout=PATIENCE_S).ok


def test_a_page_of_a_stranger_does_not_turn_the_dial(tmp_path: Path) -> None:
    http_port = free_port()
    with controller(tmp_path, "--http-port", str(http_port), "--allowed-host", "dial.example") as _:
        url = f"http://127.0.0.1:{http_port}/preference"
        before = requests.get(url, timeout=PATIENCE_S).json()
        for headers, refused in (
            ({"Host": "evil.example", "Content-Type": "application/json"}, 421),
            ({"Origin": "http://evil.example", "Content-Type": "text/plain"}, 403),
        ):
            reply = requests.put(url, data=b'{"preference": 0.9}', headers=headers, timeout=60)
            assert reply.status_code == refused
        assert requests.get(url, timeout=PATIENCE_S).json() == before
        named = {"Host": "dial.example"}
        reply = requests.put(url, json={"preference": 0.9}, headers=named, timeout=PATIENCE_S)
        assert reply.json() == {"preference": 0.9}
