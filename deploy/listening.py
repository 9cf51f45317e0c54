"""Sockets that HTTP servers listen on."""

from __future__ import annotations

import ipaddress
import socket

from env.errors import DaCircoError


def listen(host: str, port: int, fix: str) -> socket.socket:
    """A listening TCP socket.

    Args:
        host: name or address of this machine; empty: all of its addresses.
        port: 0 lets the system choose one.
        fix: what the user can do if it is not possible, for the error.

    Raises:
        DaCircoError: the port is taken, or the address is not one of this machine.
    """
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        # Only for a socket that tells its protocol does asyncio switch off Nagle's algorithm,
        # which would hold back each answer for the 40 ms of a delayed acknowledgement.
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # a name that cannot be one is not an OSError
        raise _error(host, port, error, fix) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _error(host, port, error, fix) from error
    return listener


def join_host_port(host: str, port: int) -> str:
    """``HOST:PORT``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _error(host: str, port: int, error: OSError | UnicodeError, fix: str) -> DaCircoError:
    reason = error.strerror if isinstance(error, OSError) else "this is no name of a machine"
    return DaCircoError(f"cannot listen on {join_host_port(host, port)}: {reason}; {fix}")
