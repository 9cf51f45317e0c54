"""A Job API with a scripted controller behind it, and waiting for what it sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from deploy.rest.app import RestSettings, create_app
from tests.deploy.rest.rest_controller import Script, controller_running
from tests.deploy.rest.rest_server import serving


@contextmanager
def job_api(script: Script, key: str | None = None, port: int = 0) -> Iterator[int]:
    """The port of a Job API on 127.0.0.1."""
    secret = None if key is None else SecretStr(key)
    with controller_running(script) as address:
        app = create_app(RestSettings(controller=address, api_key=secret, timeout_s=5.0))
        with serving(app, port) as url:
            yield int(url.rpartition(":")[2])


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return when the condition holds.

    Raises:
        AssertionError: it does not within a minute.
    """
    patience_ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < patience_ends, f"waited in vain for {what}"
        time.sleep(0.02)
