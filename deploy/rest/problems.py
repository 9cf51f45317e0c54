"""How failures are told over HTTP, and described in the OpenAPI document."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.routing import Match, Route

from deploy.rest.controller_client import (
    ControllerAwayError,
    ControllerError,
    ControllerTimeoutError,
    RefusedError,
    UnknownCallError,
    UnknownIdError,
)
from deploy.rest.job_calls import StrangeAnswerError
from deploy.rest.models import InvalidRequest, Problem

RETRY_AFTER_S: Final = 2
"""What a client is told to wait when the controller is away; it is looked for as often."""

_STATUS_OF_REASON: Final = {
    "not-found": 404,
    "invalid": 422,
    "storage": 503,
    "overloaded": 503,
    "conflict": 409,
}
_WITHOUT_REASON: Final = 400

_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
}
_MEANINGS: Final[dict[int, dict[str, Any]]] = {
    400: {"model": Problem, "description": "The request cannot be read, or was refused."},
    403: {"model": Problem, "description": "A page of another origin sent what is not JSON."},
    421: {"model": Problem, "description": "The server is not known by this Host."},
    431: {"model": Problem, "description": "There are too many headers."},
    401: {"model": Problem, "description": "The API key is missing or wrong."},
    404: {"model": Problem, "description": "There is no such thing."},
    409: {"model": Problem, "description": "The state of things does not allow it."},
    413: {
        "model": Problem,
        "description": "The body is too large.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
    422: {"model": InvalidRequest, "description": "The request is not valid: tells which field."},
    501: {"model": Problem, "description": "The controller does not know this call."},
    502: {"model": Problem, "description": "The controller answered something unknown."},
    503: {
        "model": Problem,
        "description": "The controller is away or has no capacity: try again.",
        "headers": _RETRY_AFTER,
    },
    504: {
        "model": Problem,
        "description": "The controller has not answered in time; a job that was posted may have "
        "been accepted.",
    },
}

_LOGGER = logging.getLogger(__name__)


def documented(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a call that can fail with these codes."""
    return {code: _MEANINGS[code] for code in codes}


def problem(status: int, detail: str) -> JSONResponse:
    """The answer of a call that failed."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return JSONResponse({"detail": detail}, status, headers)


def invalid(field: tuple[str | int, ...], message: str, kind: str) -> dict[str, Any]:
    """One entry of a `FieldProblem` list.

    What the client sent is not repeated: it may be text that JSON cannot carry.
    """
    return {"loc": list(field), "msg": message, "type": kind}


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Tell the app how to answer when a request is not valid or the controller fails."""
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]

    async def on_wrong_method(request: Request, _error: Exception) -> JSONResponse:
        # Of a path with several routes Starlette names the methods of the first one only.
        here = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
        methods = sorted({method for route in here for method in route.methods or ()})
        headers = {"Allow": ", ".join(methods or ("GET", "HEAD"))}  # descriptions have no router
        return JSONResponse({"detail": "Method Not Allowed"}, 405, headers)

    app.add_exception_handler(405, on_wrong_method)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(ControllerError, _on_controller_error)
    app.add_exception_handler(StrangeAnswerError, _on_controller_error)


async def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [invalid(each["loc"], each["msg"], each["type"]) for each in error.errors()]
    return JSONResponse({"detail": fields}, 422)


async def _on_controller_error(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RefusedError):
        status = _STATUS_OF_REASON.get(error.reason, _WITHOUT_REASON)
        if status == 422:
            return JSONResponse({"detail": [invalid(("body",), str(error), "refused")]}, status)
        return problem(status, str(error))
    if isinstance(error, UnknownIdError):
        return problem(404, str(error))
    if isinstance(error, UnknownCallError):
        return problem(501, str(error))
    _LOGGER.warning("%s", error)
    if isinstance(error, ControllerAwayError):
        return problem(503, str(error))
    return problem(504 if isinstance(error, ControllerTimeoutError) else 502, str(error))
