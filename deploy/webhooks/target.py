"""Where webhooks may go: a client must not make the controller call what only that can reach.

A name is looked up and the connection made to the very address that was checked, so that a name
which leads elsewhere the second time gains nothing. Redirections are not followed.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from deploy.grpc_api.peers import IpAddress, Network, is_inside, plain_address
from deploy.job_bounds import MOST_URL
from env.errors import DaCircoError

_TRANSLATED: Final[Sequence[Network]] = (
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("64:ff9b:1::/48"),
)
"""IPv6 addresses behind which any IPv4 address may be."""


class TargetError(DaCircoError):
    """A webhook may not go there; the message names what is wrong and holds no more of the URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts.

    Attributes:
        secure: over TLS.
        host: a name or an address, lower case.
        port: of the server.
        path: with the query; begins with a slash.
        authority: as it goes into the header ``Host``.
    """

    secure: bool
    host: str
    port: int
    path: str
    authority: str


def parse_target(url: str) -> Target:
    """The parts of a webhook's URL.

    Raises:
        TargetError: it is none that could be called.
    """
    if len(url) > MOST_URL or not (url.isascii() and url.isprintable()) or " " in url:
        raise TargetError(f"a webhook's URL has up to {MOST_URL} printable ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetError("the webhook's URL cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise TargetError("a webhook's URL begins with https:// or http://")
    if parts.username is not None or parts.password is not None or "\\" in url:
        raise TargetError("a webhook's URL has no user, password or backslash")
    host = (parts.hostname or "").rstrip(".")
    if not host or port == 0:
        raise TargetError("the webhook's URL names no host, or the port 0")
    if any(len(label) > 63 or not label for label in host.split(".")) and ":" not in host:
        raise TargetError("the webhook's URL names a host that cannot be one")
    secure = parts.scheme == "https"
    usual = 443 if secure else 80
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port in (None, usual) else f"{shown}:{port}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, host, port or usual, path, authority)


Lookup = Callable[[str, int], Iterable[str]]
"""The addresses of a name, as text."""


def _look_up(host: str, port: int) -> Iterable[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Allowed:
    """Public addresses, and what the operator adds.

    Args:
        more: names, ``*.DOMAIN`` for all names below, addresses, and networks as 10.0.0.0/8.
        look_up: finds the addresses of a name.

    Raises:
        DaCircoError: one of them is none of these.
    """

    def __init__(self, more: Iterable[str] = (), look_up: Lookup = _look_up) -> None:
        self._look_up = look_up
        self._names: set[str] = set()
        self._networks: list[Network] = []
        for each in more:
            try:
                self._networks.append(ipaddress.ip_network(each))
            except ValueError:
                if "/" in each or ":" in each or not each.strip("*."):
                    raise DaCircoError(
                        f"--webhook-allow {each!r}: write a name, *.DOMAIN, an address, or a "
                        "network as 10.0.0.0/8"
                    ) from None
                self._names.add(each.lower().rstrip("."))

    def check_early(self, target: Target) -> None:
        """See at once that a literal address is allowed; names are looked up when they are called.

        Raises:
            TargetError: it is not.
        """
        address = plain_address(target.host)
        if address is not None:
            self._check(target, address)
        elif target.host == "localhost" and not self._is_named(target.host):
            raise TargetError(_NOT_PUBLIC)

    def address_of(self, target: Target) -> str:
        """The address to connect to; blocks while the name is looked up.

        Raises:
            TargetError: the host has none, or one that is not allowed.
        """
        try:
            found = list(self._look_up(target.host, target.port))
        except (OSError, UnicodeError):
            found = []
        addresses = [plain_address(text.partition("%")[0]) for text in found]
        if not addresses or None in addresses:
            raise TargetError("the webhook's host cannot be found")
        for address in addresses:  # one that is not allowed among them is a trick
            assert address is not None
            self._check(target, address)
        return str(addresses[0])

    def _check(self, target: Target, address: IpAddress) -> None:
        if is_public(address) or is_inside(address, self._networks) or self._is_named(target.host):
            return
        raise TargetError(_NOT_PUBLIC)

    def _is_named(self, host: str) -> bool:
        parents = (host[i:] for i, letter in enumerate(host) if letter == ".")
        return host in self._names or any(f"*{parent}" in self._names for parent in parents)


_NOT_PUBLIC: Final = (
    "the webhook's host is not a public one: the controller's operator may allow it with "
    "--webhook-allow"
)


def is_public(address: IpAddress) -> bool:
    """Whether an address is one of the open internet, and hides no other."""
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    hides = address.sixtofour is not None or address.teredo is not None
    return not hides and not is_inside(address, _TRANSLATED)
