"""A typed client of our own Job API: all that it can do with jobs; see docs/jobs.md.

`JobApi` keeps to the contract and works against the existing system, too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests

from deploy.clients.job_api import TIMEOUT_S, ApiAwayError, ApiError, JobApi
from env.jobs import Request

_CHUNK_BYTES: Final = 1024 * 1024
_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Expected:
    """When a job is expected to end; four of five do between the earliest and the latest."""

    earliest: datetime
    likely: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class JobInfo:
    """All that is known of a job; see `deploy.rest.job_models.JobDetails` for the fields."""

    id: str
    id_video: str
    bitrate: int
    speed: str
    output_video: str
    state: str
    error: str | None
    attempts: int
    worker_id: str | None
    times: Mapping[str, datetime | None]
    failed_attempts: Sequence[Mapping[str, str]]
    step: str | None
    progress_percent: float | None
    encoding_speed: float | None
    queue_position: int | None
    held: bool
    expected: Expected | None
    labels: Mapping[str, str]
    priority: str
    deadline: datetime | None
    webhook: str | None

    @property
    def ended(self) -> bool:
        """Whether nothing more becomes of it, unless it is retried."""
        return self.state in ("Completed", "Error", "Cancelled")


def read_job(told: Mapping[str, Any]) -> JobInfo:
    """A job as the API tells of it; fields that a later API adds are passed over.

    Raises:
        ApiError: it tells what cannot be.
    """
    try:
        values = {name: told[name] for name in JobInfo.__slots__}
        values["times"] = {name: _moment(text) for name, text in told["times"].items()}
        values["deadline"] = _moment(told["deadline"])
        expected = told["expected"]
        if expected is not None:
            values["expected"] = Expected(
                *(datetime.fromisoformat(expected[name]) for name in Expected.__slots__)
            )
        return JobInfo(**values)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ApiError(200, f"the Job API told of a job what cannot be: {error!r}") from None


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


class JobClient(JobApi):
    """A connection to our Job API; see `JobApi`. A controller of the existing system gives 501."""

    def submit_once(
        self,
        request: Request,
        *,
        labels: Mapping[str, str] | None = None,
        priority: str = "normal",
        deadline: datetime | None = None,
        webhook: str | None = None,
        key: str | None = None,
        patience_s: float = 60.0,
        pause_s: float = 2.0,
    ) -> str:
        """Submit a job and return its id; it is done once, however often that has to be tried.

        Args:
            request: what is asked.
            labels: by which it is found.
            priority: ``low``, ``normal`` or ``high``.
            deadline: when it should be complete, with an offset from UTC.
            webhook: a URL that is told of its end.
            key: the idempotency key; by default a new one.
            patience_s: how long the server may be away.
            pause_s: between two tries.

        Raises:
            ApiError: it was refused.
            ApiAwayError: the server is away for too long.
        """
        options: dict[str, Any] = {"labels": dict(labels or {}), "priority": priority}
        if deadline is not None:
            options["deadline"] = deadline.isoformat()
        if webhook is not None:
            options["webhook"] = webhook
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        body = self.body_of(request) | {"options": options}
        gives_up = time.monotonic() + patience_s
        while True:
            try:
                return self.as_text(self.call("POST", "jobs", body, headers=headers))
            except ApiAwayError:
                if time.monotonic() + pause_s > gives_up:
                    raise
                time.sleep(pause_s)

    def details(self, job_id: str) -> JobInfo:
        """All that is known of a job."""
        return self._job("GET", f"{_path(job_id)}/details")

    def cancel(self, job_id: str) -> JobInfo:
        """End a job that waits or is in process; ApiError 409 if it has ended."""
        return self._job("DELETE", _path(job_id))

    def retry(self, job_id: str) -> JobInfo:
        """Let a job that has failed or was cancelled be done all the same; else ApiError 409."""
        return self._job("POST", f"{_path(job_id)}/retry")

    def find(
        self,
        *,
        states: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        newest_first: bool = False,
        page: int = _PAGE,
    ) -> Iterator[JobInfo]:
        """The jobs that are wanted, read page by page as they are taken; see docs/jobs.md."""
        params: list[tuple[str, str]] = [("state", state) for state in states]
        params += [("label", f"{name}={value}") for name, value in (labels or {}).items()]
        for name, moment in (("since", since), ("before", before)):
            if moment is not None:
                params.append((name, moment.isoformat()))
        params += [("limit", str(page)), ("newest_first", str(newest_first).lower())]
        after = ""
        while True:
            told = self.as_object(
                self.call("GET", "job-details", params=[*params, ("after", after)])
            )
            found = [read_job(each) for each in told.get("items", [])]
            yield from found
            if not (told.get("has_more") and found):
                return
            after = found[-1].id

    def download(self, job_id: str, target: Path) -> Path:
        """Fetch the result of a job to a file, which appears whole or not at all.

        Raises:
            ApiError: it has none (409), or the storage does not give it.
            ApiAwayError: the server cannot be reached, or breaks off.
        """
        partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
        reply = self.request("GET", f"{_path(job_id)}/result", stream=True)
        try:
            if reply.status_code == 307:  # a signed address: nobody else may see our key
                reply.close()
                reply = requests.get(reply.headers["Location"], stream=True, timeout=TIMEOUT_S)
            if reply.status_code != 200:
                raise self.error_of(reply, f"the result of job {job_id}")
            with partial.open("xb") as file:
                for chunk in reply.iter_content(_CHUNK_BYTES):
                    file.write(chunk)
            partial.replace(target)
        except requests.RequestException as error:
            raise ApiAwayError(f"the result of job {job_id} broke off: {error}") from error
        finally:
            reply.close()
            partial.unlink(missing_ok=True)
        return target

    def _job(self, method: str, path: str) -> JobInfo:
        return read_job(self.as_object(self.call(method, path)))


def _path(job_id: str) -> str:
    return f"jobs/{quote(job_id, safe='')}"
