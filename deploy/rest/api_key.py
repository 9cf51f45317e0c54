"""The optional API key: one secret that every call on jobs and workers must carry."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.rest.problems import problem
from env.errors import ConfigError

KEY_HEADER: Final = "X-API-Key"
KEY_VARIABLE: Final = "DACIRCO_API_KEY"
OPEN_PATHS: Final = frozenset({"/", "/health", "/ready", "/docs", "/redoc", "/openapi.json"})
OPEN_FOLDER: Final = "/static/"
"""What is answered without a key: probes, the page, and the description of the calls."""

IN_HEADER: Final = APIKeyHeader(name=KEY_HEADER, auto_error=False, scheme_name="api-key")
AS_BEARER: Final = HTTPBearer(auto_error=False, scheme_name="bearer")


def read_api_key(file: Path | None, environment: Mapping[str, str]) -> SecretStr | None:
    """The key from a file, else from the environment; None if neither is given.

    Raises:
        ConfigError: the file cannot be read, or the key is empty or not plain ASCII.
    """
    if file is not None:
        try:
            key, source = file.read_text(encoding="utf-8").strip(), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the API key from {file}: {error}") from error
    elif KEY_VARIABLE in environment:
        key, source = environment[KEY_VARIABLE].strip(), KEY_VARIABLE
    else:
        return None
    if not (key and key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError(
            f"the API key of {source} is empty or has other than printable ASCII characters: "
            "make one with openssl rand -hex 32"
        )
    return SecretStr(key)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


class RequireApiKey:
    """ASGI middleware that answers 401 to calls without the key, before it reads their bodies.

    Args:
        app: what to protect.
        key: the key; it is compared in constant time.
    """

    def __init__(self, app: ASGIApp, key: SecretStr) -> None:
        self._app = app
        self._key = key.get_secret_value().encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]) or self._allows(scope):
            await self._app(scope, receive, send)
            return
        response = problem(401, f"give the API key in the header {KEY_HEADER} or as bearer token")
        response.headers["WWW-Authenticate"] = "Bearer"
        await response(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        given = headers.get(KEY_HEADER)
        if given is None:
            scheme, _, token = headers.get("Authorization", "").partition(" ")
            given = token.strip() if scheme.lower() == "bearer" else ""
        return secrets.compare_digest(given.encode("latin-1"), self._key)
