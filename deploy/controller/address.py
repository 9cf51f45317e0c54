"""The address under which workers on other machines reach this one."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

_ANYWHERE: Final = ("192.0.2.1", 9)
"""Of a network that is reserved for documentation: only the route to it is asked for."""


def workers_address(given: str | None, bound: str) -> str:
    """What workers are told to call.

    Args:
        given: by the operator.
        bound: where the controller listens; an address of all interfaces tells nothing.
    """
    if given:
        return given
    if not _is_any(bound):
        return bound
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)  # sends nothing
            address: str = probe.getsockname()[0]
        except OSError:  # no route out: a machine on its own
            return "127.0.0.1"
    return address


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
