"""An HTTP server for a door that strangers reach: everything that a peer can use up is limited.

uvicorn waits for a head or a body as long as the peer likes, and for as many peers as there are
descriptors. Here a connection on which the server waits for its peer has a deadline; and when
there are as many connections as may be, the one that has waited longest makes room for the next.
So peers that only hold connections open cost each other theirs, and nobody else's call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from deploy.system.bounded_log import BoundedRate
from deploy.system.descriptors import raise_descriptor_limit

_SWEEP_S: Final = 0.5
_SHARE: Final = 4
"""A server may use this part of the process's descriptors."""
_LINGER_S: Final = 2.0
"""How long a peer may go on sending a body that was answered already."""

_LOGGER = logging.getLogger(__name__)
_LOGGER.addFilter(BoundedRate())


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What peers may use.

    Attributes:
        connections: most of them at once.
        head_bytes: longest head of a request.
        head_s: from the connection, or the first byte of a further request, to the head's end.
        body_s: from the head's end to the body's.
        idle_s: between two requests of a connection.
        stall_s: how long a peer may take nothing of its answer.
    """

    connections: int = 500
    head_bytes: int = 16 * 1024
    head_s: float = 10.0
    body_s: float = 20.0
    idle_s: float = 15.0
    stall_s: float = 30.0


class _Wait(Enum):
    """What the server waits for; the peer's to give."""

    HEAD = "head_s"
    BODY = "body_s"
    IDLE = "idle_s"
    READER = "stall_s"
    LINGER = "linger"


class Room:
    """The connections of one server. Used from its event loop."""

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self._waiting: dict[_Connection, float] = {}
        """Deadlines of those on which the server waits; who waits longest is first."""
        self._answering: set[_Connection] = set()
        self._sweeping = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._answering)

    def enter(self, connection: _Connection) -> bool:
        """Let a connection in, in the place of another one if need be."""
        if len(self) >= self.limits.connections:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                _LOGGER.warning("all %d HTTP connections are in use", len(self))
                return False
            _LOGGER.warning("%d HTTP connections: the one that waits longest is closed", len(self))
            self.close(oldest)
        self._answering.add(connection)
        return True

    def waits(self, connection: _Connection, seconds: float) -> None:
        """The server waits for the connection's peer from now on."""
        if connection in self:
            self._answering.discard(connection)
            self._waiting.pop(connection, None)
            self._waiting[connection] = asyncio.get_running_loop().time() + seconds
            self._begin_sweeping()

    def answers(self, connection: _Connection) -> None:
        """The peer waits for the server."""
        if connection in self:
            self._waiting.pop(connection, None)
            self._answering.add(connection)

    def leave(self, connection: _Connection) -> None:
        """The connection is gone."""
        self._waiting.pop(connection, None)
        self._answering.discard(connection)

    def close(self, connection: _Connection) -> None:
        """Close a connection, whatever its peer has not taken yet."""
        self.leave(connection)
        connection.transport.abort()

    def __contains__(self, connection: _Connection) -> bool:
        return connection in self._waiting or connection in self._answering

    def _begin_sweeping(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = False
        now = asyncio.get_running_loop().time()
        for connection in [each for each, due in self._waiting.items() if due <= now]:
            self.close(connection)
        if self._waiting:
            self._begin_sweeping()


class _Config(uvicorn.Config):
    """Carries the room to the connections, which uvicorn makes."""

    room: Room


class _Connection(H11Protocol):
    """A connection whose peer is waited for no longer than the limits say."""

    def __init__(
        self,
        config: _Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._room = config.room
        self._waits_for: tuple[_Wait, object] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._room.enter(self):
            self._look()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.leave(self)
        super().connection_lost(exc)

    def _look(self) -> None:
        """See who waits for whom. A deadline is set when it begins, not by each byte."""
        wait = self._wait()
        begun = None if wait is None else (wait, self.cycle)
        if begun == self._waits_for:
            return
        self._waits_for = begun
        if wait is None:
            self._room.answers(self)
        elif wait is _Wait.LINGER:
            self._room.waits(self, _LINGER_S)
        else:
            self._room.waits(self, getattr(self._room.limits, wait.value))

    def _wait(self) -> _Wait | None:
        if self.flow.write_paused:
            return _Wait.READER
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            if self.conn.their_state is h11.SEND_BODY:
                return _Wait.LINGER
            begun = cycle is None or self.conn.trailing_data[0]
            return _Wait.HEAD if begun else _Wait.IDLE
        return _Wait.BODY if cycle.more_body else None


class HttpServer(uvicorn.Server):
    """Serves an application within limits.

    Args:
        app: the application.
        limits: what peers may use.
        handle_signals: end on SIGINT and SIGTERM; otherwise they stay whose they are.
        access_log: log every call.
        patience_s: for the calls under way when it ends.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: HttpLimits | None = None,
        *,
        handle_signals: bool = True,
        access_log: bool = False,
        patience_s: int = 5,
    ) -> None:
        self._handle_signals = handle_signals
        limits = limits or default_limits()
        config = _Config(
            app,
            http=_Connection,
            ws="none",
            log_config=None,
            log_level=None if handle_signals else logging.WARNING,
            access_log=access_log,
            server_header=False,
            backlog=128,
            h11_max_incomplete_event_size=limits.head_bytes,
            timeout_keep_alive=int(limits.idle_s) + 1,
            timeout_graceful_shutdown=patience_s,
        )
        config.room = Room(limits)
        bound = logging.getLogger("uvicorn.error")
        if not any(isinstance(each, BoundedRate) for each in bound.filters):
            bound.addFilter(BoundedRate(lines=50))
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle them, or leave them alone."""
        handle: Callable[[], contextlib.AbstractContextManager[None]] = super().capture_signals
        with handle() if self._handle_signals else contextlib.nullcontext():
            yield


def default_limits() -> HttpLimits:
    """Limits well below the descriptors of this process, whose limit is raised if it can be."""
    limits = HttpLimits()
    most = max(1, raise_descriptor_limit() // _SHARE)
    return HttpLimits(connections=min(limits.connections, most))
