"""What the Job API serves for the page, before a real controller."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from deploy.rest import page_routes
from deploy.rest.app import RestSettings, create_app

KEY = {"X-API-Key": "secret"}


class Caller:
    """Calls an application in the test's process, from an address of choice."""

    def __init__(self, settings: RestSettings, address: str = "127.0.0.1") -> None:
        self._transport = httpx.ASGITransport(create_app(settings), client=(address, 5))

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            base = "http://localhost"
            async with httpx.AsyncClient(transport=self._transport, base_url=base) as client:
                return await client.request(method, path, **more)

        return asyncio.run(call())

    def get(self, path: str) -> httpx.Response:
        return self("GET", path)

    def put(self, path: str, **more: Any) -> httpx.Response:
        return self("PUT", path, **more)


@pytest.fixture
def client() -> Caller:
    return Caller(RestSettings("127.0.0.1:1", api_key=SecretStr("secret")))


def test_pages_and_files_are_open_and_may_load_nothing_from_elsewhere(client: Caller) -> None:
    for path in ("/", "/docs", *(f"/static/{name}" for name in page_routes._FILES)):
        answer = client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "http" not in policy
    assert client.get("/static/..%2froutes.py").status_code == 404
    assert client.get("/static/LICENSE.uplot").status_code == 404


@pytest.mark.parametrize("path", ["/live", "/live/comparison"])
def test_the_state_wants_the_key(client: Caller, path: str) -> None:
    assert client.get(path).status_code == 401


def test_the_dial_wants_the_key_and_a_preference(client: Caller) -> None:
    assert client.put("/live/preference", json={"preference": 0.5}).status_code == 401
    for wrong in (0.05, 0.95, "fast"):
        told = client.put("/live/preference", json={"preference": wrong}, headers=KEY)
        assert told.status_code == 422


def test_without_a_key_the_dial_is_turned_from_this_machine_only() -> None:
    client = Caller(RestSettings("127.0.0.1:1"), "192.0.2.7")
    told = client.put("/live/preference", json={"preference": 0.5})
    assert told.status_code == 403
    assert "without an API key" in told.json()["detail"]


def test_files_of_the_page_name_no_other_server() -> None:
    own = ("index.html", "page.js", "api.js", "jobs.js", "charts.js", "dom.js", "page.css")
    for name in own:
        text = page_routes._FILES[name].decode()
        assert "http://" not in text
        assert "https://" not in text
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text


def test_all_files_are_in_the_package_data() -> None:
    declared = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert json.dumps(["page/static/*"]) in declared
