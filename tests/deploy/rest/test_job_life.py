"""The calls on one job that go beyond the contract, over real HTTP and real gRPC."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import jobs_pb2 as jobs
from deploy.rest.app import RestSettings, create_app
from tests.deploy.rest.rest_controller import Script, controller_running
from tests.deploy.rest.rest_server import serving

ASKED = pb.TCRequest(
    input_video="bbb_3.mp4", output_video="out-bbb_3.mp4", bitrate=2000, speed="fast"
)


@pytest.fixture(scope="module")
def _served() -> Iterator[tuple[Script, str]]:
    script = Script()
    with controller_running(script) as address:
        app = create_app(RestSettings(controller=address, timeout_s=5.0))
        with serving(app) as url:
            yield script, url


@pytest.fixture
def script(_served: tuple[Script, str]) -> Script:
    """The script of the controller, fresh for each test, with one job."""
    _served[0].__dict__.update(Script(jobs={"j": ASKED}).__dict__)
    return _served[0]


@pytest.fixture
def url(script: Script, _served: tuple[Script, str]) -> str:
    return _served[1]


def call(method: str, url: str) -> requests.Response:
    return requests.request(method, url, timeout=30)


def test_a_job_that_waits(url: str) -> None:
    reply = call("GET", f"{url}/jobs/j/details")
    assert reply.status_code == 200
    assert (
        reply.json().items()
        >= {
            "id": "j",
            "id_video": "bbb_3.mp4",
            "bitrate": 2000,
            "speed": "fast",
            "output_video": "out-bbb_3.mp4",
            "state": "Waiting",
            "error": None,
            "attempts": 0,
            "worker_id": None,
            "times": {
                "received": "2023-11-14T22:13:20.250000Z",
                **dict.fromkeys(
                    ("retried", "assigned", "started", "downloaded", "transcoded", "uploaded")
                ),
                "ended": None,
            },
            "failed_attempts": [],
            "step": None,
            "progress_percent": None,
            "encoding_speed": None,
            "queue_position": None,
            "held": False,
            "labels": {},
        }.items()
    )


def test_a_job_in_process(url: str, script: Script) -> None:
    script.details["j"] = jobs.JobDetails(
        job_id="j",
        state="Started",
        step="transcoding",
        attempts=2,
        worker_id="w",
        done_percent=0.0,
        encoding_speed=1.5,
        times=jobs.JobTimes(received=10.0, assigned=20.0),
        failed_attempts=[jobs.FailedAttempt(worker_id="v", reason="no disk", fault="worker")],
    )
    told = call("GET", f"{url}/jobs/j/details").json()
    assert (told["state"], told["step"], told["attempts"]) == ("Started", "transcoding", 2)
    assert (told["progress_percent"], told["encoding_speed"]) == (0.0, 1.5)
    assert told["times"]["assigned"] == "1970-01-01T00:00:20Z"
    assert told["failed_attempts"][0] == {
        "worker_id": "v",
        "reason": "no disk",
        "fault": "worker",
        "time": "1970-01-01T00:00:00Z",
    }


def test_a_job_is_cancelled_once_and_then_retried_once(url: str) -> None:
    assert call("POST", f"{url}/jobs/j/retry").status_code == 409
    cancelled = call("DELETE", f"{url}/jobs/j")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "Cancelled")
    again = call("DELETE", f"{url}/jobs/j")
    assert (again.status_code, again.json()) == (409, {"detail": "it has ended"})
    assert call("POST", f"{url}/jobs/j/retry").json()["state"] == "Waiting"
    assert call("POST", f"{url}/jobs/j/retry").status_code == 409


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "x/details"), ("DELETE", "x"), ("POST", "x/retry")]
)
def test_an_unknown_job_is_404(url: str, method: str, path: str) -> None:
    reply = call(method, f"{url}/jobs/{path}")
    assert (reply.status_code, reply.json()) == (404, {"detail": "there is no such job"})


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "j/details"), ("DELETE", "j"), ("POST", "j/retry")]
)
def test_a_controller_of_the_contract_is_told_of_as_501(method: str, path: str) -> None:
    with (
        controller_running(Script(jobs={"j": ASKED}), of_contract=True) as address,
        serving(create_app(RestSettings(controller=address))) as url,
    ):
        reply = call(method, f"{url}/jobs/{path}")
        assert reply.status_code == 501
        assert "of the existing system" in reply.json()["detail"]
        assert call("GET", f"{url}/jobs/j").status_code == 200


def test_what_cannot_be_is_502(url: str, script: Script) -> None:
    script.details["j"] = jobs.JobDetails(job_id="j", state="Paused")
    assert call("GET", f"{url}/jobs/j/details").status_code == 502
    script.details["j"] = jobs.JobDetails(
        job_id="j", state="Waiting", times=jobs.JobTimes(received=float("inf"))
    )
    assert call("GET", f"{url}/jobs/j/details").status_code == 502


JOB = {"id_video": "bbb_3.mp4", "bitrate": 2000, "speed": "fast"}


def post(url: str, body: object, **headers: str) -> requests.Response:
    return requests.post(f"{url}/jobs", json=body, headers=headers, timeout=30)


def test_a_job_with_labels_and_a_key(url: str, script: Script) -> None:
    wanted = JOB | {"options": {"labels": {"team": "news", "a/b.c_d-e": ""}}}
    first, second = (post(url, wanted, **{"Idempotency-Key": "k 1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json() == "job-2"
    assert first.headers["Location"] == second.headers["Location"] == f"{url}/jobs/job-2"
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert script.new_jobs["job-2"] == jobs.NewJob(
        input_video="bbb_3.mp4",
        output_video="out-bbb_3.mp4",
        bitrate=2000,
        speed="fast",
        idempotency_key="k 1",
        labels={"team": "news", "a/b.c_d-e": ""},
        priority="normal",
    )


def test_a_job_without_wishes_is_handed_over_as_the_contract_has_it(
    url: str, script: Script
) -> None:
    assert post(url, JOB).status_code == 201
    assert script.calls == ["submit_request"]


@pytest.mark.parametrize(
    "labels",
    [
        {"": "x"},
        {"-a": "x"},
        {"a" * 64: "x"},
        {"é": "x"},
        {"a": "x" * 201},
        {"a": "line\nbreak"},
        {"a": 5},
        {f"n{n}": "x" for n in range(17)},
        ["a"],
    ],
)
def test_labels_have_bounds(url: str, script: Script, labels: object) -> None:
    reply = post(url, JOB | {"options": {"labels": labels}})
    assert reply.status_code == 422
    assert "labels" in str(reply.json()["detail"][0]["loc"])
    assert script.calls == []


def test_a_wish_that_is_not_known_is_refused_and_a_field_that_is_not_is_ignored(url: str) -> None:
    assert post(url, JOB | {"options": {"label": {}}}).status_code == 422
    assert post(url, JOB | {"labels": 5, "priority": "x"}).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "\xe9", "a\tb"])
def test_a_key_has_bounds(url: str, script: Script, key: str) -> None:
    reply = post(url, JOB, **{"Idempotency-Key": key})
    assert reply.status_code == 422
    assert script.calls == []


def test_lists_are_chosen_by_state_label_and_time(url: str, script: Script) -> None:
    script.jobs = {f"j{n}": ASKED for n in range(5)}
    reply = requests.get(
        f"{url}/jobs",
        params=[
            ("state", "Waiting"),
            ("state", "Cancelled"),
            ("label", "team=news"),
            ("label", "a=b=c"),
            ("since", "2026-11-30T12:00:00"),
            ("before", "2026-11-30T14:00:00+01:00"),
            ("newest_first", "true"),
            ("limit", "2"),
            ("after", "j1"),
        ],
        timeout=30,
    )
    assert (reply.status_code, reply.json()) == (200, {"items": ["j2", "j3"], "has_more": True})
    noon = 1796040000.0
    assert script.queries == [
        jobs.JobQuery(
            limit=2,
            after="j1",
            states=["Waiting", "Cancelled"],
            labels={"team": "news", "a": "b=c"},
            since=noon,
            before=noon + 3600,
            newest_first=True,
        )
    ]
    whole = requests.get(f"{url}/jobs", params={"state": "Waiting"}, timeout=30)
    assert whole.json() == {"items": list(script.jobs), "has_more": False}
    assert requests.get(f"{url}/jobs", timeout=30).json()["items"] == list(script.jobs)
    assert script.calls[-1] == "get_requests"  # the contract's, as ever


@pytest.mark.parametrize(
    "params",
    [
        [("state", "waiting")],
        [("label", "team")],
        [("label", "=x")],
        [("since", "0.5")],
        [("since", "yesterday")],
        [("label", f"n{n}=x") for n in range(17)],
    ],
)
def test_a_choice_that_cannot_be_is_422(url: str, params: list[tuple[str, str]]) -> None:
    for path in ("jobs", "job-details"):
        reply = requests.get(f"{url}/{path}", params=params, timeout=30)
        assert reply.status_code == 422
        assert reply.json()["detail"][0]["loc"][0] == "query"


def test_no_job_has_two_values_of_one_label(url: str, script: Script) -> None:
    params = [("label", "a=1"), ("label", "a=2")]
    for path in ("jobs", "job-details"):
        reply = requests.get(f"{url}/{path}", params=params, timeout=30)
        assert reply.json() == {"items": [], "has_more": False}
    assert script.calls == []


def test_details_of_many_jobs(url: str, script: Script) -> None:
    script.jobs = {f"j{n}": ASKED for n in range(3)}
    reply = requests.get(f"{url}/job-details", params={"limit": 2}, timeout=30).json()
    assert ([each["id"] for each in reply["items"]], reply["has_more"]) == (["j0", "j1"], True)
    assert reply["items"][0] == call("GET", f"{url}/jobs/j0/details").json()
    gone = requests.get(f"{url}/job-details", params={"after": "gone"}, timeout=30)
    assert gone.status_code == 404


def test_wishes_go_to_the_controller(url: str, script: Script) -> None:
    options = {
        "priority": "high",
        "deadline": "2026-11-30T14:00:00+01:00",
        "webhook": "https://client.example.com/hook?a=b",
    }
    job_id = post(url, JOB | {"options": options}).json()
    job = script.new_jobs[job_id]
    assert (job.priority, job.deadline) == ("high", 1796043600.0)
    assert job.webhook == options["webhook"]


@pytest.mark.parametrize(
    "options",
    [
        {"priority": "urgent"},
        {"priority": 1},
        {"deadline": 1796043600},
        {"deadline": "2026-11-30T14:00:00"},  # of which place?
        {"deadline": "soon"},
        {"webhook": "ftp://client.example.com/"},
        {"webhook": "https://a/" + "x" * 1000},
        {"webhook": "https://a/ b"},
    ],
)
def test_wishes_have_bounds(url: str, script: Script, options: dict[str, object]) -> None:
    reply = post(url, JOB | {"options": options})
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"][:2] == ["body", "options"]
    assert script.calls == []
