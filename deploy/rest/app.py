"""The Job API as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI, Security
from pydantic import SecretStr

from deploy.grpc_api.dialect import DEFAULT_DIALECT, DIALECTS, DialectName
from deploy.grpc_api.tls import ClientTls
from deploy.page.feed import Feed
from deploy.rest import job_life, jobs, page_routes, problems, result, status, workers
from deploy.rest.api_key import AS_BEARER, IN_HEADER, RequireApiKey
from deploy.rest.controller_client import ControllerClient
from deploy.system.http_guard import HostNames, HttpGuard

MAX_BODY_BYTES: Final = 16 * 1024
"""A job takes less than one KiB."""


@dataclass(frozen=True, slots=True)
class RestSettings:
    """How the Job API runs.

    Attributes:
        controller: address of the controller's gRPC server, ``HOST:PORT``.
        api_key: what every call must carry; None: calls are open.
        timeout_s: after which a call to the controller is given up.
        token: what the controller knows a front end of another machine by.
        tls: how to check the controller; none: it speaks no TLS.
        dialect: generation of the existing system that the controller speaks as.
        hosts: by what names the Job API may be called; None: by any.
    """

    controller: str
    api_key: SecretStr | None = None
    timeout_s: float = 10.0
    token: SecretStr | None = None
    tls: ClientTls | None = None
    dialect: DialectName = DEFAULT_DIALECT
    hosts: HostNames | None = None


def create_app(settings: RestSettings) -> FastAPI:
    """The application; it speaks to the controller from its start to its shutdown."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        controller = ControllerClient(
            settings.controller,
            settings.timeout_s,
            DIALECTS[settings.dialect],
            token=settings.token,
            tls=settings.tls,
        )
        app.state.controller = controller
        app.state.feed = Feed(controller.page.cluster)
        yield
        await app.state.feed.close()
        await controller.close()

    app = FastAPI(
        title="DaCirco Job API",
        description="Transcoding on demand: post a job, follow its state.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # the page's own: Swagger UI's files come with it
        redoc_url=None,
        max_body_size=MAX_BODY_BYTES,
        # The existing system also takes a body whose type is not told as JSON.
        strict_content_type=False,
    )
    app.state.keyed = settings.api_key is not None
    of_clients = (jobs.router, job_life.router, result.router, workers.router, page_routes.router)
    problems.install(app, (*of_clients, status.router))
    guarded = []
    if settings.api_key is not None:
        app.add_middleware(RequireApiKey, key=settings.api_key)
        guarded = [Security(IN_HEADER), Security(AS_BEARER)]  # described; checked before
    app.add_middleware(HttpGuard, hosts=settings.hosts)
    responses = problems.documented(401) if guarded else {}
    for router in of_clients:
        app.include_router(router, dependencies=guarded, responses=responses)
    app.include_router(status.router)
    app.include_router(page_routes.files_router)
    return app
