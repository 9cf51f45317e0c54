"""ASGI middleware that keeps web pages of others out, and heads that are too long."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_HEADERS: Final = 100
_BRACKETED: Final = re.compile(r"\[([^][]*)\](?::\d*)?")
"""An IPv6 address, and perhaps a port."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OUR_PAGES: Final = frozenset({"", "same-origin", "none"})


class HostNames:
    """The names by which a server may be called.

    A page of a stranger can make its own name lead to this machine (DNS rebinding), and a browser
    then takes the server for that page's. It cannot do so with an address, nor, from outside, with
    a name without a dot. So these are allowed, ``localhost``, this machine's name, and what the
    operator adds.

    Args:
        more: names; ``*.example.com`` stands for all names below, ``*`` for any.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        self._names = {_plain(name) for name in (*more, socket.gethostname())}

    def allow(self, host: str) -> bool:
        """Whether a Host header is one of them."""
        name = _plain(_without_port(host))
        if "." not in name or name in self._names or "*" in self._names:
            return True
        if name.endswith(".localhost") or _is_address(name):
            return True
        parents = (name[i:] for i, letter in enumerate(name) if letter == ".")
        return any(f"*{parent}" in self._names for parent in parents)


class HttpGuard:
    """Refuses calls that no client of ours makes, before anything of them is read.

    Args:
        app: what is guarded.
        hosts: the names of this server; none: they are not checked.
    """

    def __init__(self, app: ASGIApp, hosts: HostNames | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal is not None:
                status, detail = refusal
                await JSONResponse({"detail": detail}, status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if len(scope["headers"]) > MOST_HEADERS:
            return 431, f"there are more than {MOST_HEADERS} headers"
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and not self._hosts.allow(host):
            name = _without_port(host)[:100]
            return 421, (
                f"this server is not known as {name!r}: if that is a name of it, start it with "
                f"--allowed-host {name}"
            )
        if scope["method"] not in _SAFE and _is_cross_site(headers, host):
            kind = headers.get("content-type", "")
            if not is_json(kind):
                return 403, (
                    f"a page of another origin may not send {kind[:100] or 'a body without type'!r}"
                    " here: send application/json"
                )
        return None


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON: a browser sends it to another origin only if that agrees."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind[-5:] == "+json")


def _is_cross_site(headers: Headers, host: str) -> bool:
    """Whether a browser says that the page of another origin calls. Other clients say nothing."""
    if headers.get("sec-fetch-site", "").lower() not in _OUR_PAGES:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


def _without_port(host: str) -> str:
    bracketed = _BRACKETED.fullmatch(host)
    if bracketed is not None:
        return bracketed[1]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _plain(name: str) -> str:
    return name.strip().lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
