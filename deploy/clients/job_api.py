"""The Job API as its clients see it; works against the existing system's and ours."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from deploy.listening import join_host_port
from env.errors import DaCircoError
from env.jobs import Request

KEY_VARIABLE: Final = "DACIRCO_API_KEY"
"""Environment variable with the API key, where the server wants one."""
TIMEOUT_S: Final = (5.0, 30.0)
"""To connect, and between two bytes of an answer."""

ENDED_JOB: Final = frozenset({"Completed", "Error"})
STOPPED: Final = "Stopped"


class ApiError(DaCircoError):
    """The server answered a call with an error.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ApiAwayError(DaCircoError):
    """The server cannot be reached, or has lost its controller: it may come back."""


class JobApi:
    """A connection to a Job API.

    Args:
        host: of the server.
        port: of the server.
        environment: where the API key is looked for.
    """

    def __init__(self, host: str, port: int, environment: Mapping[str, str] = os.environ) -> None:
        self.url = f"http://{join_host_port(host, port)}"
        self._session = requests.Session()
        key = environment.get(KEY_VARIABLE, "").strip()
        if key:
            self._session.headers["X-API-Key"] = key

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    def submit(self, request: Request) -> str:
        """Submit a job and return its id.

        Raises:
            ApiError: it was refused.
            ApiAwayError: it is not known whether it was accepted.
        """
        return self.as_text(self.call("POST", "jobs", self.body_of(request)))

    @staticmethod
    def body_of(request: Request) -> dict[str, Any]:
        """A job as it is posted."""
        return {
            "id_video": request.movie,
            "bitrate": request.bitrate_kbps,
            "speed": request.speed,
        }

    def job_ids(self) -> list[str]:
        """All jobs."""
        return self._ids("jobs")

    def job(self, job_id: str) -> dict[str, Any]:
        """What a job was asked to do: ``id_video``, ``bitrate``, ``speed``."""
        return self.as_object(self.call("GET", f"jobs/{quote(job_id, safe='')}"))

    def job_state(self, job_id: str) -> str:
        """The state of a job, e.g. ``Waiting``."""
        return self.as_text(self.call("GET", f"jobs/{quote(job_id, safe='')}/state"))

    def worker_ids(self) -> list[str]:
        """All workers, those that have stopped too."""
        return self._ids("workers")

    def worker(self, worker_id: str) -> dict[str, Any]:
        """``name``, ``id``, ``cpus``, ``memory`` and ``node`` of a worker."""
        return self.as_object(self.call("GET", f"workers/{quote(worker_id, safe='')}"))

    def worker_state(self, worker_id: str) -> str:
        """The state of a worker, e.g. ``Idle``."""
        return self.as_text(self.call("GET", f"workers/{quote(worker_id, safe='')}/state"))

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> object:
        """The value that a call is answered with.

        Raises:
            ApiError: it was refused.
            ApiAwayError: the server cannot be reached, or has lost its controller.
        """
        reply = self.request(method, path, body, params=params, headers=headers)
        if reply.status_code in (200, 201):
            try:
                return reply.json()
            except requests.JSONDecodeError:
                raise _foreign(self.url) from None
        raise self.error_of(reply, f"{method} {path}")

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """The answer to a call, whatever its status.

        Raises:
            ApiAwayError: the server cannot be reached.
        """
        try:
            return self._session.request(
                method,
                f"{self.url}/{path}",
                params=list(params),
                json=body,
                headers=headers,
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=stream,
            )
        # A host name that cannot be one is told by libraries below in their own words.
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            raise ApiAwayError(f"cannot reach the Job API at {self.url}: {_why(error)}") from error

    @staticmethod
    def error_of(reply: requests.Response, what: str) -> ApiError | ApiAwayError:
        """What an answer with the status of an error means."""
        message = f"{what}: {reply.status_code} {reply.reason}: {_detail(reply)}"
        if reply.status_code in (502, 503, 504):
            return ApiAwayError(message)
        return ApiError(reply.status_code, message)

    @staticmethod
    def as_text(value: object) -> str:
        """An answer that is a text.

        Raises:
            ApiError: it is none.
        """
        if not isinstance(value, str):
            raise ApiError(200, f"the Job API gave {str(value)[:80]!r} where a text is due")
        return value

    @staticmethod
    def as_object(value: object) -> dict[str, Any]:
        """An answer that is an object.

        Raises:
            ApiError: it is none.
        """
        if not isinstance(value, dict):
            raise ApiError(200, f"the Job API gave {str(value)[:80]!r} where an object is due")
        return value

    def _ids(self, path: str) -> list[str]:
        return [
            self.as_text(each) for each in self.as_object(self.call("GET", path)).get("items", [])
        ]


def _why(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection; is it running there?"
    return str(error) if isinstance(error, requests.RequestException) else "not a host's name"


def _detail(reply: requests.Response) -> str:
    """What an error answer says: FastAPI's ``detail``, a text or a list of fields."""
    try:
        detail = reply.json()["detail"]
    except (requests.JSONDecodeError, KeyError, TypeError):
        return reply.text[:200]
    if isinstance(detail, list):
        return "; ".join(_field(each) for each in detail)
    return str(detail)


def _field(problem: object) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    where = problem.get("loc", [])
    name = str(where[-1]) if isinstance(where, list) and where else "request"
    return f"{name}: {problem.get('msg', 'not valid')}"


def _foreign(url: str) -> ApiError:
    return ApiError(200, f"{url} does not answer as a Job API does: check host and port")
