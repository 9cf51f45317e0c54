"""A job that cannot be done is not lost behind a front end of the existing system.

That front end answers 201 with whatever id the controller's reply holds. In the existing system
each request has one, and what cannot be done ends in ``Error``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.compatibility.test_existing_system_on_our_controller import Started, play
from tests.deploy.scripted_controller import wait_until

JOB = {"id_video": "none.mp4", "bitrate": 2000, "speed": "fast"}


@pytest.mark.parametrize(
    "changes",
    [{}, {"bitrate": 100}, {"bitrate": 70_000}, {"speed": "veryslow"}],
    ids=["no such video", "too few bits", "too many bits", "no such speed"],
)
def test_it_gets_an_id_and_ends_in_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    def scene(started: Started) -> None:
        client = started.client
        status, job_id, location = client.post(**JOB | changes)
        assert (status, location) == (201, f"{client.url}/jobs/{job_id}")
        assert job_id
        client.wait_for(f"/jobs/{job_id}/state", "Error")
        assert client.get("/jobs")["items"] == [job_id]
        # The log is written a moment after the answer.
        wait_until(lambda: said_why(started, job_id), "the reason in the event log")

    play(tmp_path, scene)


def said_why(started: Started, job_id: str) -> bool:
    """Whether the event log tells why the job has failed."""
    return any(
        event["code"] == "EV25"
        and event["request_id"] == job_id
        and (event.get("reason") or event.get("error_message"))
        for event in started.running.log()
    )
