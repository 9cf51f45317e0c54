"""What the Job API serves for the live page: its files, the live state, and the dial."""

from __future__ import annotations

import ipaddress
import json
from importlib.resources import files
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from deploy.page.feed import Feed, FullError
from deploy.rest.problems import documented
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE

STATIC: Final = "/static/"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Charts and Swagger UI set styles of elements; neither can be made to load anything by one.
_LOOSE_STYLES: Final = _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_FOLDER: Final = files("deploy.page") / "static"
_FILES: Final = {
    each.name: each.read_bytes()
    for each in _FOLDER.iterdir()
    if "." + each.name.rpartition(".")[2] in _TYPES
}

files_router = APIRouter(include_in_schema=False)
router = APIRouter(prefix="/live", tags=["live page"])


class DialSetting(BaseModel):
    """The operator's dial: 0.1 lean .. 0.9 fast."""

    model_config = ConfigDict(extra="forbid")

    preference: Annotated[
        float,
        Field(ge=MIN_PREFERENCE, le=MAX_PREFERENCE, allow_inf_nan=False, examples=[0.5]),
    ]


def _file(name: str, policy: str = _POLICY) -> Response:
    if name not in _FILES:
        raise HTTPException(404, "there is no such file")
    kind = _TYPES["." + name.rpartition(".")[2]]
    headers = {**HEADERS, "Content-Security-Policy": policy}
    return Response(_FILES[name], media_type=kind, headers=headers)


@files_router.get("/")
async def read_page() -> Response:
    """The live page."""
    return _file("index.html")


@files_router.get("/docs")
async def read_docs() -> Response:
    """Swagger UI."""
    return _file("docs.html", _LOOSE_STYLES)


@files_router.get("/redoc")
async def read_redoc() -> Response:
    """Where the description is."""
    return RedirectResponse("/docs")


@files_router.get("/static/{name}")
async def read_file(name: str) -> Response:
    """A file of the pages."""
    return _file(name)


@router.get("", include_in_schema=False)  # a stream without end is nothing for OpenAPI
async def watch_cluster(request: Request) -> StreamingResponse:
    """An event `cluster` a second: now and the last half hour; `away` if that is not known."""
    feed: Feed = request.app.state.feed
    try:
        events = feed.watch()
    except FullError as error:
        raise HTTPException(503, str(error)) from None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


@router.get(
    "/comparison",
    summary="What the last hour would have cost otherwise",
    responses=documented(501, 502, 503, 504),
)
async def read_comparison(request: Request) -> dict[str, Any]:
    """At other settings of the dial, and under the naive algorithms; simulated from the log.

    It is made in the background: while `running` is true, ask again.
    """
    told: dict[str, Any] = json.loads(await request.app.state.controller.page.comparison())
    return told


@router.put(
    "/preference",
    summary="Turn the dial",
    responses=documented(400, 403, 413, 422, 501, 502, 503, 504),
)
async def turn_dial(wanted: DialSetting, request: Request) -> DialSetting:
    """It stays so after a restart. Without an API key only callers on this machine may."""
    if not request.app.state.keyed and not _is_local(request):
        raise HTTPException(
            403, "without an API key the dial is turned from the Job API's machine only"
        )
    return DialSetting(
        preference=await request.app.state.controller.page.turn_dial(wanted.preference)
    )


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
