"""Sockets of HTTP servers."""

from __future__ import annotations

import socket

import pytest

from deploy.listening import is_loopback, join_host_port, listen
from env.errors import DaCircoError


def test_accepted_sockets_tell_their_protocol() -> None:
    """Asyncio switches off Nagle's algorithm only for those that do."""
    with listen("localhost", 0, "") as listener:
        address = listener.getsockname()
        with socket.create_connection(address[:2], timeout=30), listener.accept()[0] as accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_a_port_is_free_again_at_once() -> None:
    with listen("127.0.0.1", 0, "") as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=30):
            listener.accept()[0].close()  # this side closes first: its port lingers
    with listen("127.0.0.1", port, "") as again:
        assert again.getsockname()[1] == port


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0, "") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(DaCircoError, match=f"127.0.0.1:{port}: Address already .*; do this"):
            listen("127.0.0.1", port, "do this")


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine(host: str) -> None:
    with pytest.raises(DaCircoError, match=f"cannot listen on {host}:0: .*; do this"):
        listen(host, 0, "do this")


def test_addresses_in_words() -> None:
    assert join_host_port("compute1", 80) == "compute1:80"
    assert join_host_port("::1", 80) == "[::1]:80"
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "0.0.0.0", "192.0.2.1")] == [
        True,
        True,
        False,
        False,
    ]
