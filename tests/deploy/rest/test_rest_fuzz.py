"""The Job API answers as its own OpenAPI document says, whatever it is sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis.checks import positive_data_acceptance

from deploy.clients.job_api import JobApi
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.names import VideoNameError, check_video_name
from deploy.rest.app import RestSettings, create_app
from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, SPEEDS, Request
from tests.deploy.rest.rest_controller import Script, controller_running
from tests.deploy.rest.rest_server import serving

KEY = "the-key-of-this-test"

api = schemathesis.openapi.from_dict(
    create_app(RestSettings(controller="unused:1", api_key=SecretStr(KEY))).openapi()
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Script, str]]:
    script = Script()
    script.jobs["job"] = pb.TCRequest(input_video="a.mp4", bitrate=900, speed="fast")
    script.results["job"] = bytes(1000)
    script.workers["worker"] = pb.WorkerFullDesc(name="w", id="worker")
    with controller_running(script) as address:
        rest = RestSettings(controller=address, api_key=SecretStr(KEY))
        with serving(create_app(rest)) as url:
            yield script, url


@pytest.mark.slow
@api.parametrize()
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented(case: schemathesis.Case, served: tuple[Script, str]) -> None:
    # JSON Schema cannot say all that makes a name or a whole number, so that some posted jobs
    # that it takes for valid are refused; the test below shows that valid ones are not.
    excluded = [positive_data_acceptance] if case.method == "POST" else []
    case.call_and_validate(base_url=served[1], headers={"X-API-Key": KEY}, excluded_checks=excluded)


def names() -> st.SearchStrategy[str]:
    """Names that the existing clients use, and any others that may be used."""

    def is_name(text: str) -> bool:
        try:
            check_video_name(text)
        except VideoNameError:
            return False
        return True

    return st.from_regex(r"bbb_[0-9]\.mp4", fullmatch=True) | st.text(max_size=60).filter(is_name)


@pytest.mark.slow
@given(
    name=names(),
    bitrate=st.integers(MIN_BITRATE_KBPS, MAX_BITRATE_KBPS),
    speed=st.sampled_from(SPEEDS),
)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_every_valid_job_is_handed_over_as_it_is(
    served: tuple[Script, str], name: str, bitrate: int, speed: str
) -> None:
    script, url = served
    with JobApi("127.0.0.1", int(url.rpartition(":")[2]), {"DACIRCO_API_KEY": KEY}) as api:
        job_id = api.submit(Request(0.0, name, bitrate, speed))  # type: ignore[arg-type]
        assert script.jobs[job_id] == pb.TCRequest(
            input_video=name, output_video=f"out-{name}", bitrate=bitrate, speed=speed
        )
        assert api.job(job_id) == {"id_video": name, "bitrate": bitrate, "speed": speed}
