"""Where a gRPC call comes from."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import unquote

import psutil

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FRESH_S: Final = 30.0
"""How long the machine's own addresses are believed before they are looked up again, seconds."""


def is_unix(peer: str) -> bool:
    """Whether it comes over a socket of the file system, or an abstract one, of this machine."""
    return peer.startswith(("unix:", "unix-abstract:"))


def address_of(peer: str) -> IpAddress | None:
    """The address in gRPC's ``ipv4:HOST:PORT`` or ``ipv6:[HOST]:PORT``, none if there is none.

    An IPv4 address that a socket of IPv6 shows (``::ffff:192.0.2.1``) is the IPv4 address.
    """
    kind, _, place = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    host = place.rpartition(":")[0].strip("[]").partition("%")[0]
    return plain_address(host)


def plain_address(host: str) -> IpAddress | None:
    """An address as numbers; none for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class OwnAddresses:
    """The addresses of this machine's interfaces; they may change while it runs.

    Args:
        read: gives them.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[IpAddress]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._clock = read or _interfaces, clock
        self._known: frozenset[IpAddress] = frozenset()
        self._due = clock()

    def __contains__(self, address: IpAddress) -> bool:
        # An address that has moved away must not be believed for long, either.
        if self._clock() >= self._due:
            self._known = frozenset(self._read())
            self._due = self._clock() + _FRESH_S
        return address in self._known


def _interfaces() -> list[IpAddress]:
    found = []
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            address = plain_address(each.address.partition("%")[0])
            if address is not None:
                found.append(address)
    return found


def is_inside(address: IpAddress, networks: Iterable[Network]) -> bool:
    """Whether one of the networks holds the address."""
    return any(address.version == network.version and address in network for network in networks)
