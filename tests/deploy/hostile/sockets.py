"""Raw connections to a server, for what no HTTP library would send."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 60.0


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def answer(connection: socket.socket) -> bytes:
    """What the server sends until it closes."""
    got = bytearray()
    try:
        while piece := connection.recv(65536):
            got += piece
    except ConnectionError:
        pass
    return bytes(got)


def ask(port: int, *pieces: bytes) -> bytes:
    """Send a request piece by piece, as far as the server takes it, and return its answer."""
    with connect(port) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except ConnectionError:
            pass
        return answer(connection)


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1]) if reply else 0


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection on which it has sent nothing."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def drips_until_closed(connection: socket.socket, drop: bytes) -> bool:
    """Send little again and again; whether the server closes one day."""
    deadline = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < deadline:
            connection.sendall(drop)
            time.sleep(0.05)
    except ConnectionError:
        return True
    return False


def await_closed(connections: list[socket.socket]) -> None:
    """Wait until the server has closed all of them."""
    deadline = time.monotonic() + PATIENCE_S
    while not all(map(is_closed, connections)):
        assert time.monotonic() < deadline, "the server keeps connections open"
        time.sleep(0.05)


@contextmanager
def held_open(port: int, number: int, begin: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that have sent the beginning of a request, or nothing."""
    connections: list[socket.socket] = []
    try:
        for _ in range(number):
            connection = connect(port)
            connections.append(connection)
            if begin:
                connection.sendall(begin)
        yield connections
    finally:
        for connection in connections:
            connection.close()
