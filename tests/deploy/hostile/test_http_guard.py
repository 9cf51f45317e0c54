"""Web pages of strangers can neither order anything nor read through a name of their own."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import requests
from fastapi import FastAPI, Request

from deploy.system.http_guard import HostNames, HttpGuard, is_json
from tests.deploy.rest.rest_server import serving

JSON = "application/json"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    app = FastAPI()
    app.add_middleware(HttpGuard, hosts=HostNames(["jobs.example.com", "*.inner.example"]))

    @app.api_route("/", methods=["GET", "POST", "PUT", "DELETE"])
    async def here(request: Request) -> str:
        return (await request.body()).decode()

    with serving(app) as served:
        yield served


def call(url: str, method: str = "POST", **headers: str | None) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, url, data=b"{}", headers=named, timeout=30).status_code


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None, JSON])
def test_clients_that_are_no_browsers_send_as_ever(url: str, kind: str | None) -> None:
    assert call(url, Content_Type=kind) == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "whose",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_origin_sends_json_or_nothing(
    url: str, method: str, whose: dict[str, str]
) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        assert call(url, method, Content_Type=kind, **whose) == 403
    assert call(url, method, Content_Type=f"{JSON}; charset=utf-8", **whose) == 200
    assert call(url, "GET", **whose) == 200


def test_our_own_page_sends_what_it_likes(url: str) -> None:
    assert call(url, Origin=url, Sec_Fetch_Site="same-origin", Content_Type="text/plain") == 200
    assert call(url, Sec_Fetch_Site="none", Content_Type="text/plain") == 200


def test_the_answer_names_the_fix(url: str) -> None:
    reply = requests.get(url, headers={"Host": "evil.example:8000"}, timeout=30)
    assert reply.status_code == 421
    assert "--allowed-host evil.example" in reply.json()["detail"]
    reply = requests.post(url, data=b"{}", headers={"Origin": "http://evil.example"}, timeout=30)
    assert "send application/json" in reply.json()["detail"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1:8000",
        "[::1]:8000",
        "10.1.2.3",
        "controller:9464",
        "api.localhost",
        "jobs.example.com",
        "Jobs.Example.Com.:80",
        "a.inner.example",
        "a.b.inner.example:1",
        socket.gethostname(),
    ],
)
def test_a_name_that_nobody_else_can_own(url: str, host: str) -> None:
    assert call(url, Host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "jobs.example.com.evil.example",
        "evil-jobs.example.com",
        "inner.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "1.2.3.4.5",
        "[::1].evil.example",
    ],
)
def test_a_name_of_a_stranger(url: str, host: str) -> None:
    assert call(url, "GET", Host=host) == 421
    assert call(url, "POST", Host=host, Content_Type=JSON) == 421


def test_a_star_switches_the_check_off() -> None:
    assert HostNames(["*"]).allow("evil.example")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (JSON, True),
        ("Application/JSON;charset=x", True),
        ("application/problem+json", True),
        ("text/plain; application/json", False),
        ("text/json", False),
        ("application/jsonp", False),
        ("", False),
    ],
)
def test_what_counts_as_json(kind: str, expected: bool) -> None:
    assert is_json(kind) is expected
