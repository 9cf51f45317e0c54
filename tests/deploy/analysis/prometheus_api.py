"""A small HTTP server that answers the queries of the analysis as Prometheus does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

QUERY = re.compile(
    r'(min|avg|max)\(\1_over_time\(node_load1\{instance="([^"]+):9100"\}\[(\d+)ms\]\)\)'
)
Samples = Mapping[str, Sequence[tuple[float, float]]]
"""By node: moments (seconds since the epoch) and values."""


def evaluate(query: str, moment: float, samples: Samples) -> list[object]:
    """The result of a query.

    Raises:
        ValueError: it is not one that this server knows.
    """
    match = QUERY.fullmatch(query)
    if match is None:
        raise ValueError(f"parse error: {query}")
    function, node, stretch = match.groups()
    values = [
        value
        for time, value in samples.get(node, ())
        if moment - int(stretch) / 1000 < time <= moment
    ]
    if not values:
        return []
    result = {"min": min(values), "max": max(values), "avg": sum(values) / len(values)}[function]
    return [{"metric": {}, "value": [moment, str(result)]}]


@contextmanager
def prometheus_api(samples: Samples) -> Iterator[str]:
    """``HOST:PORT`` of the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: value[0] for key, value in parse_qs(url.query).items()}
            status, answer = 200, {}
            try:
                assert url.path == "/api/v1/query"
                result = evaluate(query["query"], float(query["time"]), samples)
                answer = {"status": "success", "data": {"resultType": "vector", "result": result}}
            except ValueError as error:
                status = 400
                answer = {"status": "error", "errorType": "bad_data", "error": str(error)}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
