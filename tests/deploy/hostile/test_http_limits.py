"""Peers that send too much, too slowly, or hold connections open, against real servers."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from deploy.listening import listen
from deploy.system.bounded_log import BoundedRate
from deploy.system.descriptors import raise_descriptor_limit
from deploy.system.http_guard import HttpGuard
from deploy.system.http_server import HttpLimits, HttpServer
from tests.deploy.hostile.sockets import (
    PATIENCE_S,
    answer,
    ask,
    await_closed,
    connect,
    drips_until_closed,
    held_open,
    is_closed,
    status,
)

MOST = 20
PATIENT = HttpLimits(connections=MOST)
HURRIED = HttpLimits(
    connections=MOST, head_bytes=4096, head_s=0.5, body_s=0.5, idle_s=0.5, stall_s=0.5
)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def app() -> FastAPI:
    made = FastAPI(max_body_size=1000)
    made.add_middleware(HttpGuard, hosts=None)

    @made.get("/")
    async def read() -> str:
        return "here"

    @made.post("/")
    async def write(request: Request) -> int:
        return len(await request.body())

    @made.get("/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> Any:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)

        return StreamingResponse(pieces())

    return made


@contextmanager
def server(limits: HttpLimits) -> Iterator[int]:
    with listen("127.0.0.1", 0, "") as listener:
        made = HttpServer(app(), limits, patience_s=1)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            made.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def patient() -> Iterator[int]:
    with server(PATIENT) as port:
        yield port


@pytest.fixture(scope="module")
def hurried() -> Iterator[int]:
    with server(HURRIED) as port:
        yield port


# -- too much -------------------------------------------------------------------------


def test_a_body_of_a_told_length_is_refused_unread(patient: int) -> None:
    head = POST + b"Content-Length: 419430400\r\n\r\n"
    with connect(patient) as connection:
        connection.sendall(head)  # and nothing of the body
        assert status(connection.recv(4096)) == 413


@pytest.mark.parametrize("pieces", [2, 2000])
def test_a_body_in_pieces_is_refused_while_it_comes(patient: int, pieces: int) -> None:
    chunk = b"400\r\n" + b" " * 0x400 + b"\r\n"
    reply = ask(patient, POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * pieces)
    assert status(reply) in (413, 0)  # the reset may overtake the answer
    if pieces == 2:
        assert status(reply) == 413


def test_a_body_within_the_limit_is_taken(patient: int) -> None:
    head = POST + b"Connection: close\r\n"
    assert ask(patient, head + b"Content-Length: 1000\r\n\r\n", b" " * 1000).endswith(b"1000")
    chunked = b"3E8\r\n" + b" " * 1000 + b"\r\n0\r\n\r\n"
    assert ask(patient, head + b"Transfer-Encoding: chunked\r\n\r\n", chunked).endswith(b"1000")


def test_a_body_that_tells_two_lengths_is_refused(patient: int) -> None:
    head = POST + b"Content-Length: 3\r\nContent-Length: 400000\r\n\r\n"
    assert status(ask(patient, head + b"abc")) == 400


def test_a_long_head_is_refused(hurried: int) -> None:
    line = b"X-Long: " + b"x" * 500 + b"\r\n"
    assert status(ask(hurried, b"GET / HTTP/1.1\r\nHost: localhost\r\n", *[line] * 20)) in (400, 0)


def test_too_many_headers_are_refused(patient: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + b"A: b\r\n" * 99
    assert status(ask(patient, head + b"\r\n")) == 431


# -- too slow -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: loc",
        POST + b"Content-Length: 900\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{",
        GET.replace(b"close", b"keep-alive"),
    ],
    ids=["nothing", "head", "body", "chunk", "idle"],
)
def test_who_says_nothing_more_is_closed(hurried: int, begin: bytes) -> None:
    with connect(hurried) as connection:
        connection.sendall(begin)
        answer(connection)  # ends: the server closes


@pytest.mark.parametrize(
    ("begin", "drop"),
    [(b"GET / HTTP/1.1\r\n", b"A: b\r\n"), (POST + b"Content-Length: 900\r\n\r\n", b" ")],
    ids=["head", "body"],
)
def test_dripping_wins_no_time(hurried: int, begin: bytes, drop: bytes) -> None:
    for first in (b"", GET.replace(b"close", b"keep-alive")):
        with connect(hurried) as connection:
            connection.sendall(first + begin)
            if first:
                assert status(connection.recv(4096)) == 200
            assert drips_until_closed(connection, drop)


def test_who_takes_no_answer_is_closed(hurried: int) -> None:
    with connect(hurried) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(2)  # many times the limit, on a machine however slow
        got = 0
        while piece := _received(connection):
            got += len(piece)
        assert got < 64 * 2**20


def _received(connection: Any) -> bytes:
    try:
        return bytes(connection.recv(65536))
    except ConnectionError:
        return b""


def test_who_goes_on_with_a_refused_body_is_closed(patient: int) -> None:
    with connect(patient) as connection:
        connection.sendall(POST + b"Content-Length: 419430400\r\n\r\n")
        assert drips_until_closed(connection, b" " * 1000)


# -- too many -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: loc",
        POST + b"Content-Length: 900\r\n\r\n{",
        GET.replace(b"close", b"keep-alive"),
    ],
    ids=["nothing", "head", "body", "idle"],
)
def test_connections_that_are_only_held_open_cost_nobody_a_call(patient: int, begin: bytes) -> None:
    with held_open(patient, 5 * MOST, begin) as connections:
        for _ in range(MOST):
            assert status(ask(patient, GET)) == 200
        if begin != GET.replace(b"close", b"keep-alive"):
            await_closed(connections[: 4 * MOST])
            assert sum(map(is_closed, connections)) >= 5 * MOST - PATIENT.connections


def test_readers_that_do_not_read_cost_nobody_a_call(patient: int) -> None:
    begin = b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with held_open(patient, 2 * MOST, begin):
        deadline = time.monotonic() + PATIENCE_S
        while status(ask(patient, GET)) != 200:  # until the readers' buffers are full
            assert time.monotonic() < deadline, "readers keep others out"
            time.sleep(0.05)


def test_a_pipelining_client_is_served(patient: int) -> None:
    reply = ask(patient, GET.replace(b"close", b"keep-alive") * 3 + GET)
    assert reply.count(b"200 OK") == 4


def test_refused_connections_do_not_fill_the_log(
    patient: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        with held_open(patient, 10 * MOST):
            pass
        for _ in range(100):
            ask(patient, b"nonsense\r\n\r\n")
    assert len(caplog.records) <= 70


def test_a_logger_tells_how_many_lines_it_left_out() -> None:
    now = [0.0]
    bound = BoundedRate(lines=2, period_s=60, clock=lambda: now[0])

    def passes(text: str) -> str | None:
        record = logging.LogRecord("n", logging.INFO, "f", 1, "a %s", (text,), None)
        return record.getMessage() if bound.filter(record) else None

    assert [passes("b") for _ in range(5)] == ["a b", "a b", None, None, None]
    now[0] = 61.0
    assert passes("c") == "a c (3 lines were left out before)"
    assert passes("c") == "a c"


def test_the_limit_of_descriptors_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        assert raise_descriptor_limit() == min(hard, 65_536)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_answer_is_whole(patient: int) -> None:
    head, body = ask(patient, GET).split(b"\r\n\r\n")
    assert json.loads(body) == "here"
    assert b"server:" not in head.lower()
