"""``dacirco_client`` against a Job API with a scripted controller behind it."""

from __future__ import annotations

import pytest

from deploy.clients.one_job import main
from deploy.grpc_api import dacirco_pb2 as pb
from tests.deploy.clients.job_api_server import job_api
from tests.deploy.rest.rest_controller import Script


def test_a_name_alone_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    script = Script()
    with job_api(script) as port:
        assert main(["--input-video", "vid-07", "-p", str(port)]) == 0
    (request,) = script.jobs.values()
    assert (request.input_video, request.output_video) == ("vid-07", "out-vid-07")
    assert capsys.readouterr().out == "job-1\n"


@pytest.mark.parametrize(
    ("state", "name", "code"),
    [(pb.REQUEST_STATUS_COMPLETED, "Completed", 0), (pb.REQUEST_STATUS_ERROR, "Error", 2)],
)
def test_the_end_can_be_waited_for(
    state: int, name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(job_states={"job-1": state})
    words = ["--input-video", "a.mp4", "--bitrate", "700", "--speed", "ultrafast", "--wait"]
    with job_api(script) as port:
        assert main([*words, "-p", str(port), "--poll-interval", "0.01"]) == code
    (request,) = script.jobs.values()
    assert (request.bitrate, request.speed) == (700, "ultrafast")
    assert capsys.readouterr().out == f"job-1\n{name}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--input-video"),
        (["--input-video", "../a"], "slash"),
        (["--input-video", ""], "empty"),
        (["--input-video", "a", "--bitrate", "499"], "'499' is not a whole number from 500"),
        (["--input-video", "a", "--speed", "slow"], "invalid choice: 'slow'"),
    ],
)
def test_a_wrong_command_line_is_told(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_refused_job_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with job_api(Script(refusal=("there is no input video", "not-found"))) as port:
        assert main(["--input-video", "none.mp4", "-p", str(port)]) == 2
    assert "there is no input video" in capsys.readouterr().err
