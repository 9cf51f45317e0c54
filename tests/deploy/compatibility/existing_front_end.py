"""A REST front end as the existing system's behaves: lenient, and trusting its controller."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.deploy.compatibility.wire import (
    JOB_NOT_FOUND,
    JOB_WORDS,
    Wire,
    worker_not_found,
    worker_words,
)

NOT_FOUND: Final = (404, {"detail": "Not Found"})


class ExistingFrontEnd:
    """Answers the Job API's calls by calls to a controller.

    Whatever the reply to a submission says, the client gets 201 and the id that it holds, be it
    empty. Numbers may be strings.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._words = worker_words(wire.generation)

    def post_job(self, body: dict[str, Any]) -> str:
        """The id of a job that is handed on as it came."""
        video = str(body["id_video"])
        reply = self._wire.call(
            "submit_request",
            input_video=video,
            output_video=f"out-{video}",
            bitrate=int(float(body["bitrate"])),
            speed=str(body["speed"]),
        )
        return str(reply.request_id)

    def get(self, target: str) -> tuple[int, Any]:
        """Status and value of an answer."""
        kind, _, rest = target.strip("/").partition("/")
        name, _, what = rest.partition("/")
        if kind == "jobs":
            return self._job(name, what)
        if kind == "workers":
            return self._worker(name, what)
        return NOT_FOUND

    def _job(self, job_id: str, what: str) -> tuple[int, Any]:
        if not job_id:
            return _list(self._wire.call("get_requests").request_ids)
        status = self._wire.call("get_request_status", request_id=job_id).request_status
        if status == JOB_NOT_FOUND:
            return NOT_FOUND
        if what == "state":
            return 200, JOB_WORDS[status]
        job = self._wire.call("get_request", request_id=job_id)
        return 200, {"id_video": job.input_video, "bitrate": job.bitrate, "speed": job.speed}

    def _worker(self, worker_id: str, what: str) -> tuple[int, Any]:
        if not worker_id:
            return _list(self._wire.call("get_workers").worker_ids)
        status = self._wire.call("get_worker_status", worker_id=worker_id).worker_status
        if status == worker_not_found(self._wire.generation):
            return NOT_FOUND
        if what == "state":
            return 200, self._words[status]
        worker = self._wire.call("get_worker", worker_id=worker_id)
        return 200, {
            name: getattr(worker, name) for name in ("name", "id", "cpus", "memory", "node")
        }


def _list(items: Any) -> tuple[int, Any]:
    return 200, {"items": list(items), "has_more": False}


@contextmanager
def existing_front_end(controller: str, generation: str = "2022") -> Iterator[str]:
    """The base URL of a front end of the existing system on a controller."""
    with Wire(controller, generation) as wire:
        front_end = ExistingFrontEnd(wire)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                job_id = front_end.post_job(body)
                self._answer(201, job_id, f"http://{self.headers['Host']}/jobs/{job_id}")

            def do_GET(self) -> None:
                self._answer(*front_end.get(self.path))

            def _answer(self, status: int, value: Any, location: str = "") -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
