"""The API key: nothing about jobs and workers without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr

from deploy.rest.api_key import read_api_key
from deploy.rest.app import RestSettings, create_app
from env.errors import ConfigError
from tests.deploy.rest.rest_controller import Script, controller_running
from tests.deploy.rest.rest_server import serving

KEY = "0123456789abcdef"
JOB = {"id_video": "bbb_3.mp4", "bitrate": 2000, "speed": "fast"}
PATHS = ("jobs", "jobs/x", "jobs/x/state", "workers", "workers/x", "workers/x/state", "none")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with controller_running(Script()) as address:
        app = create_app(RestSettings(controller=address, api_key=SecretStr(KEY)))
        with serving(app) as url:
            yield url


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY + "0"},
        {"X-API-Key": "ÿ"},
        {"X-API-Key": "wrong", "Authorization": f"Bearer {KEY}"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
    ],
)
def test_without_the_key_everything_is_401(url: str, headers: dict[str, str]) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    for path in PATHS:
        reply = requests.get(f"{url}/{path}", headers=raw, timeout=30)
        assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
    for body in (b"{", b'{"id_video": "a", "bitrate": 900, "speed": "fast"}'):
        reply = requests.post(f"{url}/jobs", data=body, headers=raw, timeout=30)
        assert reply.status_code == 401
        assert KEY not in reply.text


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": KEY}, {"x-api-key": KEY}, {"Authorization": f"bearer {KEY}"}]
)
def test_with_the_key_it_answers(url: str, headers: dict[str, str]) -> None:
    reply = requests.post(f"{url}/jobs", json=JOB, headers=headers, timeout=30)
    assert reply.status_code == 201
    assert requests.get(reply.headers["Location"], headers=headers, timeout=30).json() == JOB


def test_probes_and_description_are_open(url: str) -> None:
    for path in ("health", "ready", "docs", "openapi.json"):
        assert requests.get(f"{url}/{path}", timeout=30).status_code == 200
    document = requests.get(f"{url}/openapi.json", timeout=30).json()
    assert document["components"]["securitySchemes"].keys() == {"api-key", "bearer"}
    assert document["paths"]["/jobs"]["post"]["security"] == [{"api-key": []}, {"bearer": []}]
    assert "401" in document["paths"]["/workers"]["get"]["responses"]


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    from_file = read_api_key(file, {"DACIRCO_API_KEY": "another"})
    from_environment = read_api_key(None, {"DACIRCO_API_KEY": "another"})
    assert from_file is not None
    assert from_environment is not None
    assert from_file.get_secret_value() == KEY
    assert from_environment.get_secret_value() == "another"
    assert read_api_key(None, {}) is None


@pytest.mark.parametrize("text", ["", " \n", "two words", "ключ", "a\x00b"])
def test_a_key_that_no_client_can_send_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"the API key of {file} is empty or has other than"):
        read_api_key(file, {})


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the API key from"):
        read_api_key(tmp_path / "none", {})
