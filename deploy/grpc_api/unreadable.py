"""Bytes that are no message of the contract: refused in a word, not in a traceback.

gRPC's asyncio server treats them as a failure of ours: status UNKNOWN, and a traceback in the log
for each, which anyone could fill the disk with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

REFUSAL: Final = "the bytes are no message of this call"

if TYPE_CHECKING:  # only the stubs know of type arguments
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    Interceptor = grpc.aio.ServerInterceptor


class Unreadable(Interceptor):
    """Answers INTERNAL to what cannot be parsed, as gRPC's status codes have it."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Let the call's own handler see only what could be parsed."""
        handler: Any = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return cast("Handler", handler)
        make = (
            grpc.unary_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        behaviour: Callable[[Any, Context], Awaitable[Any]] = (
            handler.unary_stream if handler.response_streaming else handler.unary_unary
        )
        parse = handler.request_deserializer

        def parse_or_none(data: bytes) -> Any:
            try:
                return parse(data)
            except DecodeError:
                return None

        async def answer(request: Any, context: Context) -> Any:
            if request is None:
                await context.abort(grpc.StatusCode.INTERNAL, REFUSAL)
            return await behaviour(request, context)

        made: Handler = make(
            cast("Any", answer),
            request_deserializer=parse_or_none,
            response_serializer=handler.response_serializer,
        )
        return made
