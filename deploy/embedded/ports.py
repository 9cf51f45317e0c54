"""Ports on the loopback interface: is it free, and which one is."""

from __future__ import annotations

import socket

from deploy.embedded.settings import LOOPBACK
from env.errors import DaCircoError


def claim(port: int, what: str, option: str) -> int:
    """The port, or with 0 one that is free.

    Args:
        port: 0 or the wanted one.
        what: what will listen on it, for the message.
        option: that chooses another one.

    Raises:
        DaCircoError: something listens on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise DaCircoError(
                f"port {port} for {what} cannot be used ({error.strerror}): "
                f"choose another with {option}"
            ) from None
        return int(probe.getsockname()[1])
