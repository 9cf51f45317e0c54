"""What the calls of the Job API share: the controller, and lists of ids."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Final, cast

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from deploy.rest.controller_client import ControllerClient, Page
from deploy.rest.models import IdList

MAX_PAGE: Final = 10_000
_LONGEST_ID: Final = 64

PageOf = Callable[[int | None, str, int], Awaitable[Page]]
"""See `ControllerClient.job_page`."""


def _controller(request: Request) -> ControllerClient:
    return cast(ControllerClient, request.app.state.controller)


Controller = Annotated[ControllerClient, Depends(_controller)]
Limit = Annotated[
    int | None,
    Query(ge=1, le=MAX_PAGE, description="How many items at most; without it: all of them."),
]
Offset = Annotated[
    int,
    Query(
        ge=0,
        le=2**31 - 1,
        description="How many items to pass over; the more, the longer it takes.",
    ),
]
After = Annotated[
    str,
    Query(
        max_length=_LONGEST_ID,
        description="The id before the first one: the last of the page before. However long the "
        "list is, the next page takes as long.",
    ),
]


async def id_list(
    page_of: PageOf, limit: int | None, after: str, offset: int
) -> IdList | StreamingResponse:
    """The answer to a call for a list: a page of it, or all of it as it is read."""
    page = await page_of(limit, after, offset)
    if limit is not None:
        return IdList(items=page.ids, has_more=page.has_more)
    return StreamingResponse(_whole(page, page_of), media_type="application/json")


async def _whole(page: Page, page_of: PageOf) -> AsyncIterator[str]:
    """What `IdList` looks like, piece by piece; it breaks off if the controller goes away."""
    yield '{"items":['
    before = ""
    while page.ids:
        yield before + json.dumps(page.ids, separators=(",", ":"))[1:-1]
        before = ","
        if not page.has_more:
            break
        page = await page_of(None, page.ids[-1], 0)
    yield '],"has_more":false}'
