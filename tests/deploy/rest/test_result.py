"""The result of a job over HTTP: whole, in ranges, or where the storage gives it away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.names import attachment
from deploy.rest.app import RestSettings, create_app
from deploy.rest.result import range_of, read_range
from tests.deploy.rest.rest_controller import Script, controller_running
from tests.deploy.rest.rest_server import serving

CONTENT = bytes(range(256)) * 10


@pytest.fixture(scope="module")
def _served() -> Iterator[tuple[Script, str]]:
    script = Script()
    with (
        controller_running(script) as address,
        serving(create_app(RestSettings(controller=address, timeout_s=5.0))) as url,
    ):
        yield script, url


@pytest.fixture
def script(_served: tuple[Script, str]) -> Script:
    fresh = Script(jobs={"j": pb.TCRequest(input_video="a")}, results={"r": CONTENT, "e": b""})
    _served[0].__dict__.update(fresh.__dict__)
    return _served[0]


@pytest.fixture
def url(script: Script, _served: tuple[Script, str]) -> str:
    return _served[1]


def get(url: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(url, headers=named, timeout=30, allow_redirects=False)


def test_the_whole(url: str) -> None:
    reply = get(f"{url}/jobs/r/result")
    assert (reply.status_code, reply.content) == (200, CONTENT)
    assert reply.headers["Content-Length"] == str(len(CONTENT))
    assert reply.headers["Content-Type"] == "video/mp4"
    assert reply.headers["Accept-Ranges"] == "bytes"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert 'filename="out-bbb_3.mp4"' in reply.headers["Content-Disposition"]
    again = get(f"{url}/jobs/r/result", If_None_Match=reply.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert get(f"{url}/jobs/e/result").content == b""


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-1500", 5, 1500),
        ("bytes=2550-", 2550, 2559),
        ("bytes=-4", 2556, 2559),
        ("bytes=2000-99999", 2000, 2559),
        ("bytes=-9999", 0, 2559),
    ],
)
def test_a_range(url: str, wanted: str, first: int, last: int) -> None:
    reply = get(f"{url}/jobs/r/result", Range=wanted)
    assert (reply.status_code, reply.content) == (206, CONTENT[first : last + 1])
    assert reply.headers["Content-Range"] == f"bytes {first}-{last}/2560"
    assert reply.headers["Content-Length"] == str(last - first + 1)
    old = get(f"{url}/jobs/r/result", Range=wanted, If_Range='"another"')
    assert (old.status_code, old.content) == (200, CONTENT)


@pytest.mark.parametrize("wanted", ["bytes=2560-", "bytes=9999-10000", "bytes=-0"])
def test_a_range_beyond_the_end(url: str, wanted: str) -> None:
    reply = get(f"{url}/jobs/r/result", Range=wanted)
    assert (reply.status_code, reply.headers["Content-Range"]) == (416, "bytes */2560")


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "bytes=-", "bytes=9-3", "lines=1-2", "bytes"])
def test_what_is_no_range_is_not_heeded(url: str, wanted: str) -> None:
    reply = get(f"{url}/jobs/r/result", Range=wanted)
    assert (reply.status_code, reply.content) == (200, CONTENT)


def test_a_job_without_a_result(url: str) -> None:
    assert get(f"{url}/jobs/j/result").status_code == 409
    assert get(f"{url}/jobs/x/result").status_code == 404


def test_a_storage_that_gives_it_away_itself(url: str, script: Script) -> None:
    script.result_url = "http://storage:9000/videos/x?signature=1"
    reply = get(f"{url}/jobs/r/result")
    assert (reply.status_code, reply.headers["Location"]) == (307, script.result_url)
    assert reply.headers["Cache-Control"] == "no-store"
    here = get(f"{url}/jobs/r/result?redirect=false")
    assert (here.status_code, here.content) == (200, CONTENT)


@pytest.mark.parametrize("name", ['a"; x="y.mp4', "é\u2028ß.mp4", "a\\b;c.mp4", "🎬.mp4"])
def test_whatever_a_name_is_the_header_is_one_line(url: str, script: Script, name: str) -> None:
    script.result_name = name
    header = get(f"{url}/jobs/r/result").headers["Content-Disposition"]
    assert header == attachment(name)
    assert header.count('"') == 2
    assert header.isascii()


@given(st.none() | st.integers(0, 40), st.none() | st.integers(0, 40), st.integers(0, 30))
def test_a_range_gives_the_bytes_that_it_names(
    first: int | None, last: int | None, size: int
) -> None:
    asked = read_range(f"bytes={'' if first is None else first}-{'' if last is None else last}")
    content = list(range(size))
    if first is None:
        expected = content[-last:] if last else []
    else:
        expected = content[first:] if last is None else content[first : last + 1]
    if asked is None:
        assert (first is None and last is None) or (first or 0) > (last or 0)
        return
    part = range_of(*asked, size)
    assert (part is None) == (not expected)
    if part is not None:
        assert content[part[0] : part[0] + part[1]] == expected
