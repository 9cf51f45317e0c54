"""The secret that front ends and the controller share: in a file on both sides."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from deploy.secret_file import read_secret_file
from env.errors import DaCircoError

METADATA_KEY: Final = "authorization"
OPTION: Final = "--front-end-token-file"
_SCHEME: Final = "Bearer"
_LEAST: Final = 16
"""Characters; 32 hexadecimal digits are 128 bits."""


def read_tokens(path: Path) -> tuple[SecretStr, ...]:
    """The tokens of a file, one a line; empty lines and those that begin with # are passed over.

    A front end shows the first one, a controller takes them all: to change the token, put the new
    one before the old one on the controller's side first.

    Raises:
        DaCircoError: the file is not usable (see `read_secret_file`), or a line is no token.
    """
    try:
        lines = read_secret_file(path, OPTION).decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise DaCircoError(f"{OPTION} {path}: it holds other than ASCII") from None
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for token in tokens:
        if len(token) < _LEAST or not token.isprintable() or " " in token:
            raise DaCircoError(
                f"{OPTION} {path}: a token is shorter than {_LEAST} characters or has a blank: "
                "make one with openssl rand -hex 32"
            )
    if not tokens:
        raise DaCircoError(f"{OPTION} {path}: it is empty: make one with openssl rand -hex 32")
    return tuple(SecretStr(token) for token in tokens)


def as_metadata(token: SecretStr) -> tuple[str, str]:
    """How a front end shows its token with each call."""
    return METADATA_KEY, f"{_SCHEME} {token.get_secret_value()}"


class Tokens:
    """The tokens that a controller takes."""

    def __init__(self, tokens: Sequence[SecretStr]) -> None:
        self._digests = [_digest(token.get_secret_value()) for token in tokens]

    def shown_in(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool | None:
        """Whether a call's metadata shows one of them; none if it shows nothing at all."""
        shown = None
        for key, value in metadata:
            if key == METADATA_KEY:
                text = value.decode("latin-1") if isinstance(value, bytes) else value
                scheme, _, token = text.partition(" ")
                right = scheme.lower() == _SCHEME.lower() and self._is_one(token.strip())
                shown = bool(shown) or right
        return shown

    def _is_one(self, token: str) -> bool:
        # Digests have one length, and every one is compared: the time tells nothing.
        digest = _digest(token)
        found = [hmac.compare_digest(digest, each) for each in self._digests]
        return any(found)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
