"""Waiting for a condition, with a limit and a reason."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    probe: Callable[[], T | None], what: str, *, timeout_s: float = 180.0, every_s: float = 0.2
) -> T:
    """The first truthy answer of `probe`.

    Raises:
        TimeoutError: none within `timeout_s` seconds; the message says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(every_s)


def listens(port: int) -> bool:
    """Whether something on 127.0.0.1 takes connections on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Whether the URL answers with anything below status 500."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            reply.read()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True
