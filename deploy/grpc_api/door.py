"""The door of the gRPC server: who gets in, how many at once, and with what.

A call is looked at before its message is read: a front end's call from a stranger is turned away
with nothing read, and a caller that begins calls and sends nothing holds them for a few seconds
only, and only so many. Bytes that are no message of the contract are refused in a word: gRPC's
asyncio server would call them a failure of ours, with a traceback in the log for each.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from deploy.grpc_api.front_ends import CALLS, FrontEnds
from deploy.grpc_api.peers import address_of

REFUSAL: Final = "the bytes are no message of this call"
NONE_OR_TOO_LONG: Final = "the call has no message, or one longer than is taken"
REQUEST_TIMEOUT_S: Final = 10.0
"""From the beginning of a call until all of its message is here, seconds."""
MOST_UNREAD: Final = 2500
"""Calls at once whose message is not here yet: half of all calls, so that others have room."""
MOST_UNREAD_OF_PEER: Final = 500
"""The same of one address of another machine; many workers may be behind it."""

_EOF: Final = cast("Any", grpc.aio).EOF  # the stubs do not know of it

if TYPE_CHECKING:  # only the stubs know of type arguments
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    Interceptor = grpc.aio.ServerInterceptor

Refused = Callable[[str, str, str, str], None]
"""Is told of a call that is turned away: its name, its peer, the kind of refusal, and why."""


class Door(Interceptor):
    """Lets calls in, one by one.

    Args:
        front_ends: who may make front ends' calls.
        request_timeout_s: see `REQUEST_TIMEOUT_S`.
        most_unread: see `MOST_UNREAD`.
        most_unread_of_peer: see `MOST_UNREAD_OF_PEER`.

    Attributes:
        on_refused: see `Refused`.
    """

    def __init__(
        self,
        front_ends: FrontEnds | None = None,
        *,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        most_unread: int = MOST_UNREAD,
        most_unread_of_peer: int = MOST_UNREAD_OF_PEER,
    ) -> None:
        self.on_refused: Refused = lambda *_: None
        self._front_ends = front_ends or FrontEnds()
        self._timeout_s = request_timeout_s
        self._most, self._most_of_peer = most_unread, most_unread_of_peer
        self._unread: Counter[str] = Counter()
        self._n_unread = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Let the call's own handler see only what may come in and could be parsed."""
        handler: Any = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return cast("Handler", handler)
        name = str(handler_call_details.method).rpartition("/")[2]
        # To the wire a request of one message is a stream of one. Only as a stream is the call
        # handed over before its message is here, with its peer and under our clock.
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        behaviour: Callable[[Any, Context], Awaitable[Any]] = (
            handler.unary_stream if handler.response_streaming else handler.unary_unary
        )
        parse = handler.request_deserializer

        async def answer(_: Any, context: Context) -> Any:
            await self._check(name, context)
            message = await self._message(name, context)
            try:
                request = parse(message)
            except DecodeError:
                await self._turn_away(
                    name, context, "unreadable", REFUSAL, grpc.StatusCode.INTERNAL
                )
            return await behaviour(request, context)

        made: Handler = make(
            cast("Any", answer),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )
        return made

    async def _check(self, name: str, context: Context) -> None:
        if name not in CALLS:
            return
        metadata = cast("Any", context.invocation_metadata() or ())
        refusal = self._front_ends.refusal(context.peer(), metadata, context.auth_context())
        if refusal is not None:
            await self._turn_away(
                name, context, refusal.kind, refusal.words, grpc.StatusCode.UNAUTHENTICATED
            )

    async def _message(self, name: str, context: Context) -> bytes:
        """The call's one message."""
        peer = self._peer(context)
        if self._n_unread >= self._most or (peer and self._unread[peer] >= self._most_of_peer):
            await self._turn_away(
                name,
                context,
                "too-many",
                "too many calls are begun and send nothing: try again",
                grpc.StatusCode.RESOURCE_EXHAUSTED,
            )
        message: Any = _EOF
        with self._counted(peer):
            try:
                async with asyncio.timeout(self._timeout_s):
                    message = await context.read()
            except TimeoutError:
                pass
            else:
                if message is not _EOF:
                    return cast("bytes", message)
                # The caller has ended its side, or gRPC has refused the message by its size: it
                # tells the caller then, and us only that there is no message.
                await self._turn_away(
                    name,
                    context,
                    "unreadable",
                    NONE_OR_TOO_LONG,
                    grpc.StatusCode.INVALID_ARGUMENT,
                )
        await self._turn_away(
            name,
            context,
            "no-message",
            f"no message came within {self._timeout_s:g} s",
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )
        raise AssertionError("an abort returns to nobody")

    def _peer(self, context: Context) -> str:
        """The address by which calls are counted; empty on this machine, where all are one."""
        peer = context.peer()
        return "" if self._front_ends.is_local(peer) else str(address_of(peer) or peer)

    @contextmanager
    def _counted(self, peer: str) -> Iterator[None]:
        self._n_unread += 1
        self._unread[peer] += 1
        try:
            yield
        finally:
            self._n_unread -= 1
            self._unread[peer] -= 1
            if not self._unread[peer]:
                del self._unread[peer]

    async def _turn_away(
        self, name: str, context: Context, kind: str, why: str, status: grpc.StatusCode
    ) -> None:
        self.on_refused(name, context.peer(), kind, why)
        await context.abort(status, why)
