"""What the calls of the Job API share: the controller, and paging through lists."""

from __future__ import annotations

from typing import Annotated, Final, cast

from fastapi import Depends, Query, Request

from deploy.rest.controller_client import ControllerClient
from deploy.rest.models import IdList

MAX_PAGE: Final = 10_000


def _controller(request: Request) -> ControllerClient:
    return cast(ControllerClient, request.app.state.controller)


Controller = Annotated[ControllerClient, Depends(_controller)]
Limit = Annotated[
    int | None,
    Query(ge=1, le=MAX_PAGE, description="How many items at most; without it: all of them."),
]
Offset = Annotated[
    int, Query(ge=0, le=2**31 - 1, description="How many items to pass over from the start.")
]


def page(ids: list[str], limit: int | None, offset: int) -> IdList:
    """A part of a list: `limit` items from `offset` on."""
    end = len(ids) if limit is None else offset + limit
    return IdList(items=ids[offset:end], has_more=end < len(ids))
