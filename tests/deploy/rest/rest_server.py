"""The Job API over real HTTP, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from deploy.listening import listen
from deploy.system.http_server import HttpServer


@contextmanager
def serving(app: FastAPI, port: int = 0) -> Iterator[str]:
    """The base URL of the application; it is stopped at the end."""
    with listen("127.0.0.1", port, "end the other test") as listener:
        server = HttpServer(app, patience_s=1)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
