"""The gRPC service of the live page; see `page.proto`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from deploy.grpc_api import page_pb2 as pb
from deploy.grpc_api import page_pb2_grpc as rpc
from deploy.grpc_api.reasons import REASON_KEY
from env.errors import DaCircoError

Context = grpc.aio.ServicerContext[Any, Any]


class PageServicer(rpc.DaCircoPageServicer):
    """Answers the calls.

    Args:
        cluster: gives the snapshot.
        comparison: gives what the last hour would have cost.
        turn: sets the dial, and raises `DaCircoError` if it cannot be so.
    """

    def __init__(
        self,
        cluster: Callable[[], dict[str, Any]],
        comparison: Callable[[], dict[str, Any]],
        turn: Callable[[float], Awaitable[None]],
    ) -> None:
        self._cluster, self._comparison, self._turn = cluster, comparison, turn

    async def read_cluster(self, request: pb.PageQuery, context: Context) -> pb.PageAnswer:
        """The cluster as it is, and the last half hour."""
        return pb.PageAnswer(json=json.dumps(self._cluster(), allow_nan=False))

    async def compare_dials(self, request: pb.PageQuery, context: Context) -> pb.PageAnswer:
        """What the last hour would have cost otherwise, as far as it is known."""
        return pb.PageAnswer(json=json.dumps(self._comparison(), allow_nan=False))

    async def turn_dial(self, request: pb.Dial, context: Context) -> pb.Dial:
        """Set the preference, for this life of the controller and later ones."""
        try:
            await self._turn(request.preference)
        except DaCircoError as error:
            context.set_trailing_metadata(((REASON_KEY, "invalid"),))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return pb.Dial(preference=request.preference)


def add_page(server: grpc.aio.Server, servicer: PageServicer) -> None:
    """Let a server that has not started answer the page."""
    rpc.add_DaCircoPageServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
