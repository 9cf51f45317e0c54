"""The result of a job, as a file: from the storage itself where that gives it away, else from here.

One range of bytes may be asked for (RFC 9110); with several the whole is given.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from email.utils import formatdate
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from deploy.names import attachment
from deploy.rest.parameters import Controller
from deploy.rest.problems import documented, problem

router = APIRouter(tags=["jobs"])

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The result.",
        "content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {
        "description": "The part of it that was asked for.",
        "content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "It is the one of `If-None-Match`."},
    307: {"description": "Where the storage gives it away, for 15 minutes."},
    416: {
        "description": "It has no such bytes.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
}


@router.api_route(
    "/jobs/{job_id}/result",
    methods=["GET"],
    summary="The result of a job",
    response_class=Response,
    responses=_FILE | documented(404, 409, 422, 501, 502, 503, 504),
)
async def get_result(
    job_id: str,
    controller: Controller,
    redirect: Annotated[
        bool,
        Query(
            description="False: give it from here, also where the storage gives it away itself "
            "(a client may not reach that)."
        ),
    ] = True,
    wanted_range: Annotated[str | None, Header(alias="Range", max_length=200)] = None,
    if_range: Annotated[str | None, Header(max_length=200)] = None,
    if_none_match: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """The transcoded video, whole or a range of its bytes.

    Where results are in S3, this leads to a signed address there. 409: there is none (yet).
    """
    place = await controller.jobs.result(job_id)
    etag = f'"{place.etag}"'
    headers = {
        "ETag": etag,
        "Last-Modified": formatdate(place.modified, usegmt=True),
        "Cache-Control": "private, no-cache",
    }
    if place.url and redirect:
        return RedirectResponse(place.url, 307, {"Cache-Control": "no-store"})
    if if_none_match is not None and (etag in if_none_match or if_none_match.strip() == "*"):
        return Response(status_code=304, headers=headers)
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Disposition": attachment(place.name),
        "X-Content-Type-Options": "nosniff",
    }
    first, length, status = 0, place.size, 200
    asked = None if if_range not in (None, etag) else read_range(wanted_range or "")
    if asked is not None:
        part = range_of(*asked, place.size)
        if part is None:
            refusal = problem(416, f"the result has {place.size} bytes")
            refusal.headers["Content-Range"] = f"bytes */{place.size}"
            return refusal
        first, length = part
        status = 206
        headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{place.size}"
    headers["Content-Length"] = str(length)
    pieces = _begun(controller.jobs.read_result(job_id, first, length))
    return StreamingResponse(await pieces, status, headers, media_type="video/mp4")


def read_range(header: str) -> tuple[int | None, int | None] | None:
    """First and last byte of ``bytes=FIRST-LAST``; none if it is not heeded: the whole is given."""
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return None
    first, last = (int(text) if text else None for text in match.groups())
    nonsense = last is None if first is None else last is not None and last < first
    return None if nonsense else (first, last)


def range_of(first: int | None, last: int | None, size: int) -> tuple[int, int] | None:
    """First byte and length of a range; none if there are no such bytes.

    Args:
        first: none: the last bytes of the file, `last` of them.
        last: none: to the end.
        size: of the file, bytes.
    """
    if first is None:
        length = min(last or 0, size)
        return (size - length, length) if length else None
    end = size - 1 if last is None else min(last, size - 1)
    return (first, end - first + 1) if first <= end else None


async def _begun(pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The pieces, when the first is there: a failure before that has a status of its own."""
    first = await anext(pieces, b"")

    async def all_of_them() -> AsyncIterator[bytes]:
        async with aclosing(pieces):  # a client that goes away ends the call to the controller
            yield first
            async for piece in pieces:
                yield piece

    return all_of_them()
