"""A small HTTP server that answers the queries of the analysis as Prometheus does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LOAD = re.compile(r'node_load1\{instance="([^"]+):9100"\}\[(\d+)s\]')
MEMORY = re.compile(
    r'\(node_memory_MemTotal_bytes\{instance="([^"]+):9100"\}'
    r' - node_memory_MemFree_bytes\{instance="\1:9100"\}'
    r' - node_memory_Buffers_bytes\{instance="\1:9100"\}'
    r' - node_memory_Cached_bytes\{instance="\1:9100"\}\)\[(\d+)s:10s\]'
)
QUERY = re.compile(r"(?P<f>min|avg|max)\((?P=f)_over_time\((?P<samples>.+)\)\)")
Samples = Mapping[str, Sequence[tuple[float, float]]]
"""By node: moments (seconds since the epoch) and its load; so many GB are in use, too."""


def evaluate(query: str, moment: float, samples: Samples) -> list[object]:
    """The result of a query.

    Raises:
        ValueError: it is not one that this server knows.
    """
    match = QUERY.fullmatch(query)
    if match is None:
        raise ValueError(f"parse error: {query}")
    function = match["f"]
    load, memory = (form.fullmatch(match["samples"]) for form in (LOAD, MEMORY))
    form = load or memory
    if form is None:
        raise ValueError(f"parse error: {query}")
    node, stretch = form.groups()
    values = [
        value if load else value * 1e9
        for time, value in samples.get(node, ())
        if moment - int(stretch) < time <= moment
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
