"""The controller's own HTTP: metrics, health, and the operator's dial."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field

from deploy.controller.service import Service
from deploy.listening import listen
from deploy.metrics import Metrics
from deploy.system.http_guard import HostNames, HttpGuard
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE

READY: Final = "ready"
MAX_BODY_BYTES: Final = 1024
"""A preference takes some twenty bytes."""


class Preference(BaseModel):
    """The operator's dial: 0.1 lean .. 0.9 fast."""

    model_config = ConfigDict(extra="forbid", strict=True)

    preference: float = Field(ge=MIN_PREFERENCE, le=MAX_PREFERENCE, allow_inf_nan=False)


class Status(BaseModel):
    """Health and readiness in words."""

    status: str


def make_app(
    service: Service,
    metrics: Metrics,
    *,
    health: Callable[[], str],
    state: Callable[[], str],
    hosts: HostNames | None = None,
) -> FastAPI:
    """The application.

    Args:
        service: holds the preference.
        metrics: what ``/metrics`` shows.
        health: empty while all is well, else what is wrong.
        state: ``ready``, or what is missing for it.
        hosts: by what names it may be called; None: by any.
    """
    app = FastAPI(
        title="DaCirco controller",
        docs_url="/docs",
        redoc_url=None,
        max_body_size=MAX_BODY_BYTES,
    )
    app.add_middleware(HttpGuard, hosts=hosts)

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
        """As FastAPI does, without what was sent: it need not be JSON (NaN is not)."""
        kept = ("loc", "msg", "type")
        detail = [{key: problem[key] for key in kept} for problem in error.errors()]
        return JSONResponse({"detail": detail}, status_code=422)

    @app.get("/metrics", response_class=Response)
    async def read_metrics() -> Response:
        """All metrics in Prometheus' text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/health", response_model=Status)
    async def read_health() -> Response:
        """Whether the controller and its store work (200, else 503)."""
        wrong = health()
        return JSONResponse({"status": wrong or "ok"}, status_code=503 if wrong else 200)

    @app.get("/ready", response_model=Status)
    async def read_ready() -> Response:
        """Whether jobs are scheduled (200) or only accepted (503)."""
        now = health() or state()
        return JSONResponse({"status": now}, status_code=200 if now == READY else 503)

    @app.get("/preference")
    async def read_preference() -> Preference:
        """The dial."""
        return Preference(preference=service.preference)

    @app.put("/preference", responses={403: {"model": Status}})
    async def write_preference(wanted: Preference, request: Request) -> Preference:
        """Turn the dial; it stays so after a restart. Only from the controller's own machine."""
        if not _is_local(request):
            raise HTTPException(403, "the preference is set from the controller's machine only")
        await service.set_preference(wanted.preference)
        return Preference(preference=service.preference)

    return app


def _is_local(request: Request) -> bool:
    """Whether the caller is on this machine: metrics may be open to others, orders are not."""
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        DaCircoError: the port is taken, or the address is not one of this machine.
    """
    return listen(host, port, "give another --http-port")
