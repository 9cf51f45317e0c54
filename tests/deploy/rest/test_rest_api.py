"""The Job API's calls, over real HTTP and real gRPC."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import requests

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.rest.app import MAX_BODY_BYTES, RestSettings, create_app
from tests.deploy.rest.rest_controller import Script, controller_running
from tests.deploy.rest.rest_server import serving

JOB = {"id_video": "bbb_3.mp4", "bitrate": 2000, "speed": "fast"}
WORKER = pb.WorkerFullDesc(name="w", id="w-1", cpus="2", memory="4096", node="compute1")


@pytest.fixture(scope="module")
def _served() -> Iterator[tuple[Script, str]]:
    script = Script()
    with controller_running(script) as address:
        app = create_app(RestSettings(controller=address, timeout_s=1.0))
        with serving(app) as url:
            yield script, url


@pytest.fixture
def script(_served: tuple[Script, str]) -> Script:
    """The script of the controller, fresh for each test."""
    _served[0].__dict__.update(Script().__dict__)
    return _served[0]


@pytest.fixture
def url(script: Script, _served: tuple[Script, str]) -> str:
    return _served[1]


def get(url: str, **params: Any) -> tuple[int, Any]:
    reply = requests.get(url, params=params, timeout=30)
    return reply.status_code, reply.json()


def post(url: str, body: object) -> requests.Response:
    return requests.post(f"{url}/jobs", json=body, timeout=30)


def test_a_job_is_submitted(url: str, script: Script) -> None:
    reply = post(url, JOB)
    assert reply.status_code == 201
    assert reply.json() == "job-1"
    assert reply.headers["Location"] == f"{url}/jobs/job-1"
    assert script.jobs["job-1"] == pb.TCRequest(
        input_video="bbb_3.mp4", output_video="out-bbb_3.mp4", bitrate=2000, speed="fast"
    )
    assert get(f"{url}/jobs/job-1") == (200, JOB)
    assert get(reply.headers["Location"]) == (200, JOB)


def test_the_location_has_the_name_by_which_the_client_called(url: str) -> None:
    reply = requests.post(
        f"{url}/jobs", json=JOB, headers={"Host": "transcode.example:81"}, timeout=30
    )
    assert reply.headers["Location"] == "http://transcode.example:81/jobs/job-1"


@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-8"])
def test_other_fields_and_a_missing_content_type_are_no_hindrance(
    url: str, content_type: str | None
) -> None:
    reply = requests.post(
        f"{url}/jobs",
        data=json.dumps(JOB | {"user": "me", "priority": 5}),
        headers={"Content-Type": content_type},
        timeout=30,
    )
    assert reply.status_code == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"bitrate": 499}, "bitrate"),
        ({"bitrate": 8001}, "bitrate"),
        ({"bitrate": 10**400}, "bitrate"),
        ({"bitrate": "499"}, "bitrate"),
        ({"bitrate": "2000k"}, "bitrate"),
        ({"bitrate": ""}, "bitrate"),
        ({"bitrate": "0x7d0"}, "bitrate"),
        ({"bitrate": "9" * 5000}, "bitrate"),
        ({"bitrate": 2000.5}, "bitrate"),
        ({"bitrate": [2000]}, "bitrate"),
        ({"bitrate": True}, "bitrate"),
        ({"bitrate": None}, "bitrate"),
        ({"bitrate": float("nan")}, "bitrate"),
        ({"speed": "slow"}, "speed"),
        ({"speed": "FAST"}, "speed"),
        ({"speed": 1}, "speed"),
        ({"id_video": ""}, "id_video"),
        ({"id_video": "../secret.mp4"}, "id_video"),
        ({"id_video": "/etc/passwd"}, "id_video"),
        ({"id_video": "a\\b.mp4"}, "id_video"),
        ({"id_video": ".hidden"}, "id_video"),
        ({"id_video": "a\x00.mp4"}, "id_video"),
        ({"id_video": "\ud800"}, "id_video"),
        ({"id_video": "a" * 201}, "id_video"),
        ({"id_video": "é" * 101}, "id_video"),
        ({"id_video": "e\u0301.mp4"}, "id_video"),
        ({"id_video": 5}, "id_video"),
    ],
)
def test_a_bad_value_is_422_with_the_field(
    url: str, script: Script, change: dict[str, Any], field: str
) -> None:
    body = json.dumps(JOB | change)
    headers = {"Content-Type": "application/json"}
    reply = requests.post(f"{url}/jobs", data=body, headers=headers, timeout=30)
    assert reply.status_code == 422
    [problem] = reply.json()["detail"]
    assert problem["loc"] == ["body", field]
    assert len(problem["msg"]) > 10
    assert script.calls == []


@pytest.mark.parametrize("bitrate", ["2000", " 2000 ", "2000.0", 2000.0])
def test_a_number_may_be_written_as_the_existing_system_takes_it(
    url: str, script: Script, bitrate: object
) -> None:
    reply = post(url, JOB | {"bitrate": bitrate})
    assert reply.status_code == 201
    assert script.jobs[reply.json()].bitrate == 2000
    assert get(f"{url}/jobs/{reply.json()}") == (200, JOB)


@pytest.mark.parametrize("field", JOB)
def test_a_missing_field_is_422(url: str, field: str) -> None:
    reply = post(url, {key: value for key, value in JOB.items() if key != field})
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["body", field]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b'"\xff"', 400),
        (b"[" * 5000, 400),
        (b'{"bitrate": ' + b"9" * 5000 + b"}", 400),
    ],
)
def test_a_body_that_is_no_job(url: str, script: Script, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    reply = requests.post(f"{url}/jobs", data=body, headers=headers, timeout=30)
    assert reply.status_code == status
    assert reply.json()["detail"]
    assert script.calls == []


def test_a_body_that_is_too_large_is_not_read(url: str, script: Script) -> None:
    pieces = (b" " * 1024 for _ in range(64))  # their length is not told
    for body in (b" " * (MAX_BODY_BYTES + 1), pieces):
        reply = requests.post(f"{url}/jobs", data=body, timeout=30)
        assert (reply.status_code, script.calls) == (413, [])
        assert "Too Large" in reply.text


def test_a_form_is_not_taken_for_a_job(url: str) -> None:
    assert requests.post(f"{url}/jobs", data=JOB, timeout=30).status_code == 422


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("not-found", 404),
        ("invalid", 422),
        ("storage", 503),
        ("overloaded", 503),
        ("", 400),
        ("new-reason", 400),
    ],
)
def test_a_refused_job(url: str, script: Script, reason: str, status: int) -> None:
    script.refusal = ("the disk is gone", reason)
    reply = post(url, JOB)
    assert reply.status_code == status
    assert "the disk is gone" in str(reply.json()["detail"])
    assert ("Retry-After" in reply.headers) == (status == 503)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (pb.REQUEST_STATUS_WAITING, "Waiting"),
        (pb.REQUEST_STATUS_STARTED, "Started"),
        (pb.REQUEST_STATUS_COMPLETED, "Completed"),
        (pb.REQUEST_STATUS_ERROR, "Error"),
    ],
)
def test_the_states_of_a_job(url: str, script: Script, state: int, word: str) -> None:
    script.jobs["j"] = pb.TCRequest(input_video="a")
    script.job_states["j"] = state
    assert get(f"{url}/jobs/j/state") == (200, word)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (pb.WORKER_STATUS_BOOTING, "Booting"),
        (pb.WORKER_STATUS_DOWNLOADING_FILE, "Downloading File"),
        (pb.WORKER_STATUS_TRANSCODING, "Transcoding"),
        (pb.WORKER_STATUS_UPLOADING_FILE, "Uploading File"),
        (pb.WORKER_STATUS_IDLE, "Idle"),
        (pb.WORKER_STATUS_STOPPED, "Stopped"),
    ],
)
def test_the_states_of_a_worker(url: str, script: Script, state: int, word: str) -> None:
    script.worker_states["w-1"] = state
    assert get(f"{url}/workers/w-1/state") == (200, word)


@pytest.mark.parametrize("state", [0, 99])
def test_a_state_that_the_contract_does_not_know_is_502(
    url: str, script: Script, state: int
) -> None:
    script.jobs["j"] = pb.TCRequest(input_video="a")
    script.job_states["j"] = script.worker_states["w"] = state
    assert get(f"{url}/jobs/j/state")[0] == 502
    assert get(f"{url}/workers/w/state")[0] == 502


def test_a_worker_is_described_in_strings(url: str, script: Script) -> None:
    script.workers["w-1"] = WORKER
    assert get(f"{url}/workers") == (200, {"items": ["w-1"], "has_more": False})
    assert get(f"{url}/workers/w-1") == (
        200,
        {"name": "w", "id": "w-1", "cpus": "2", "memory": "4096", "node": "compute1"},
    )


@pytest.mark.parametrize(
    "path",
    [
        "jobs/x",
        "jobs/x/state",
        "workers/x",
        "workers/x/state",
        "jobs/%F0%9F%98%80",
        "jobs/%FF",
        "x",
    ],
)
@pytest.mark.parametrize("status", [None, grpc.StatusCode.NOT_FOUND])
def test_what_is_not_there_is_404(
    url: str, script: Script, path: str, status: grpc.StatusCode | None
) -> None:
    script.status = status
    code, body = get(f"{url}/{path}")
    assert (code, list(body)) == (404, ["detail"])


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("jobs", "GET, POST"), ("jobs/x", "DELETE, GET"), ("workers", "GET"), ("docs", "GET, HEAD")],
)
def test_another_method_is_405_with_those_that_are_allowed(
    url: str, path: str, allowed: str
) -> None:
    reply = requests.put(f"{url}/{path}", timeout=30)
    assert (reply.status_code, reply.headers["Allow"]) == (405, allowed)


def test_lists_are_whole_or_in_pages(url: str, script: Script) -> None:
    ids = [f"j{n}" for n in range(5)]
    script.jobs = dict.fromkeys(ids, pb.TCRequest(input_video="a"))
    script.workers = dict.fromkeys(ids, WORKER)
    for kind in ("jobs", "workers"):
        assert get(f"{url}/{kind}") == (200, {"items": ids, "has_more": False})
        pages = [get(f"{url}/{kind}", limit=2, offset=offset)[1] for offset in (0, 2, 4, 6)]
        assert [page["items"] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
        assert [page["has_more"] for page in pages] == [True, True, False, False]
        assert get(f"{url}/{kind}", limit=5)[1]["has_more"] is False
        assert get(f"{url}/{kind}", offset=3)[1] == {"items": ids[3:], "has_more": False}
        for wrong in (
            {"limit": 0},
            {"limit": -1},
            {"limit": "x"},
            {"offset": -1},
            {"limit": 10**9},
        ):
            assert get(f"{url}/{kind}", **wrong)[0] == 422


def test_health_is_of_the_process_and_readiness_of_the_controller(url: str, script: Script) -> None:
    assert get(f"{url}/ready") == (200, {"status": "ready"})
    script.status = grpc.StatusCode.UNAVAILABLE
    assert get(f"{url}/ready")[0] == 503
    assert get(f"{url}/health") == (200, {"status": "ok"})


def test_a_read_is_tried_again_but_never_a_job(url: str, script: Script) -> None:
    script.status, script.failures_left = grpc.StatusCode.UNAVAILABLE, 2
    assert get(f"{url}/jobs")[0] == 200
    assert script.calls == ["get_requests"] * 3
    script.calls, script.failures_left = [], 2
    reply = post(url, JOB)
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "2")
    assert script.calls == ["submit_request"]


def test_a_controller_that_does_not_answer_is_504(url: str, script: Script) -> None:
    script.silent.set()
    reply = post(url, JOB)
    assert (reply.status_code, "Retry-After" in reply.headers) == (504, False)
    assert "has not answered within 1 s" in reply.json()["detail"]


@pytest.mark.parametrize("status", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED])
def test_a_controller_that_fails_is_502(url: str, script: Script, status: grpc.StatusCode) -> None:
    script.status = status
    assert post(url, JOB).status_code == 502
    assert get(f"{url}/workers")[0] == 502


def test_a_controller_that_is_away_and_comes_back() -> None:
    script = Script()
    with controller_running(script) as address:
        pass
    app = create_app(RestSettings(controller=address, timeout_s=10.0))
    with serving(app) as url:
        reply = post(url, JOB)
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "2")
        assert get(f"{url}/health")[0] == 200
        with controller_running(script, address):
            patience_ends = time.monotonic() + 30
            while post(url, JOB).status_code != 201:
                assert time.monotonic() < patience_ends
                time.sleep(0.1)
            assert list(script.jobs) == ["job-1"]


def test_the_description_is_served(url: str) -> None:
    assert "swagger" in requests.get(f"{url}/docs", timeout=30).text.lower()
    code, document = get(f"{url}/openapi.json")
    assert code == 200
    assert {"/jobs", "/jobs/{job_id}/state", "/workers/{worker_id}"} <= document["paths"].keys()
    assert "securitySchemes" not in document["components"]
