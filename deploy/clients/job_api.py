"""The Job API as its clients see it; works against the existing system's and ours."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
        body = {
            "id_video": request.movie,
            "bitrate": request.bitrate_kbps,
            "speed": request.speed,
        }
        return _text(self._call("POST", "jobs", body))

    def job_ids(self) -> list[str]:
        """All jobs."""
        return _ids(self._call("GET", "jobs"))

    def job(self, job_id: str) -> dict[str, Any]:
        """What a job was asked to do: ``id_video``, ``bitrate``, ``speed``."""
        return _object(self._call("GET", f"jobs/{quote(job_id, safe='')}"))

    def job_state(self, job_id: str) -> str:
        """The state of a job, e.g. ``Waiting``."""
        return _text(self._call("GET", f"jobs/{quote(job_id, safe='')}/state"))

    def worker_ids(self) -> list[str]:
        """All workers, those that have stopped too."""
        return _ids(self._call("GET", "workers"))

    def worker(self, worker_id: str) -> dict[str, Any]:
        """``name``, ``id``, ``cpus``, ``memory`` and ``node`` of a worker."""
        return _object(self._call("GET", f"workers/{quote(worker_id, safe='')}"))

    def worker_state(self, worker_id: str) -> str:
        """The state of a worker, e.g. ``Idle``."""
        return _text(self._call("GET", f"workers/{quote(worker_id, safe='')}/state"))

    def _call(self, method: str, path: str, body: object = None) -> object:
        try:
            reply = self._session.request(
                method, f"{self.url}/{path}", json=body, timeout=TIMEOUT_S, allow_redirects=False
            )
        # A host name that cannot be one is told by libraries below in their own words.
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            raise ApiAwayError(f"cannot reach the Job API at {self.url}: {_why(error)}") from error
        if reply.status_code in (200, 201):
            try:
                return reply.json()
            except requests.JSONDecodeError:
                raise _foreign(self.url) from None
        message = f"{method} {path}: {reply.status_code} {reply.reason}: {_detail(reply)}"
        if reply.status_code in (502, 503, 504):
            raise ApiAwayError(message)
        raise ApiError(reply.status_code, message)


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


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ApiError(200, f"the Job API gave {str(value)[:80]!r} where a text is due")
    return value


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ApiError(200, f"the Job API gave {str(value)[:80]!r} where an object is due")
    return value


def _ids(value: object) -> list[str]:
    return [_text(each) for each in _object(value).get("items", [])]
