"""The live page's calls to the controller; see ``page.proto``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

from deploy.grpc_api import page_pb2 as pb
from deploy.grpc_api.page_pb2_grpc import DaCircoPageStub

Ask = Callable[[Any, Any], Awaitable[Any]]
"""Makes a call of a stub with a request, and tells of failures as `ControllerClient` does."""


class PageCalls:
    """The calls.

    Args:
        channel: to the controller.
        ask: see `Ask`.
    """

    def __init__(self, channel: grpc.aio.Channel, ask: Ask) -> None:
        self._stub: Any = DaCircoPageStub(channel)  # type: ignore[no-untyped-call]
        self._ask = ask

    async def cluster(self) -> str:
        """The cluster and the last half hour, as JSON."""
        return str((await self._ask(self._stub.read_cluster, pb.PageQuery())).json)

    async def comparison(self) -> str:
        """What the last hour would have cost otherwise, as JSON."""
        return str((await self._ask(self._stub.compare_dials, pb.PageQuery())).json)

    async def turn_dial(self, preference: float) -> float:
        """Set the preference."""
        return float(
            (await self._ask(self._stub.turn_dial, pb.Dial(preference=preference))).preference
        )
