"""``dacirco_wait_scenario`` sends a job only when the one before has ended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from deploy.clients.wait_scenario import main
from deploy.grpc_api import dacirco_pb2 as pb
from tests.deploy.clients.job_api_server import job_api, wait_until
from tests.deploy.rest.rest_controller import Script

ROWS = "0,a.mp4,500,fast\n3600,b.mp4,600,fast\n"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.csv"
    path.write_text(ROWS)
    return str(path)


def test_one_job_at_a_time(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = Script()
    with job_api(script) as port, ThreadPoolExecutor(1) as pool:
        options = [file, "--api-server", "127.0.0.1", "--api-port", str(port)]
        code = pool.submit(main, [*options, "--poll-interval", "0.02"])
        for state in (pb.REQUEST_STATUS_COMPLETED, pb.REQUEST_STATUS_ERROR):
            n = len(script.jobs) + (len(script.job_states) == len(script.jobs))
            wait_until(lambda n=n: len(script.jobs) == n, f"job {n}")
            script.job_states[f"job-{n}"] = pb.REQUEST_STATUS_STARTED
            looked = script.calls.count("get_request_status")
            wait_until(
                lambda looked=looked: script.calls.count("get_request_status") > looked + 3,
                "four looks at the job's state",
            )
            assert len(script.jobs) == n
            script.job_states[f"job-{n}"] = state
        assert code.result(timeout=60) == 2
    out, err = capsys.readouterr()
    assert [line.rpartition(" (")[0] for line in out.splitlines()] == [
        "1/2 a.mp4: Completed",
        "2/2 b.mp4: Error",
    ]
    assert "1 of 2 jobs were not completed" in err


def test_a_controller_that_is_away_for_a_while_is_waited_for(file: str) -> None:
    script = Script()
    with job_api(script) as port, ThreadPoolExecutor(1) as pool:
        code = pool.submit(main, [file, "--api-port", str(port), "--poll-interval", "0.02"])
        for n in (1, 2):
            wait_until(lambda n=n: len(script.jobs) == n, f"job {n}")
            script.status = grpc.StatusCode.UNAVAILABLE
            looked = len(script.calls)
            wait_until(lambda looked=looked: len(script.calls) > looked + 5, "calls that fail")
            script.job_states[f"job-{n}"] = pb.REQUEST_STATUS_COMPLETED
            script.status = None
        assert code.result(timeout=60) == 0


def test_patience_ends(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = Script()
    with job_api(script) as port, ThreadPoolExecutor(1) as pool:
        options = [file, "--api-port", str(port), "--poll-interval", "0.02", "--patience", "0.01"]
        code = pool.submit(main, options)
        wait_until(lambda: script.jobs, "the first job")
        script.status = grpc.StatusCode.UNAVAILABLE
        assert code.result(timeout=60) == 2
    assert "503" in capsys.readouterr().err


def test_bad_rows_are_skipped_unless_it_is_strict(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(file).write_text("0,a.mp4,1,fast\n0,b.mp4,500,fast\n")
    script = Script(refusal=("no such video", "not-found"))
    with job_api(script) as port:
        assert main([file, "--api-port", str(port), "--strict"]) == 2
        assert script.calls == []
        assert main([file, "--api-port", str(port)]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("1/1 b.mp4: ")
    assert f"skipped: {file}, line 1: bitrate '1'" in err
    assert "1 of 1 jobs were not completed and 1 rows of the file were skipped, see above" in err


def test_a_job_that_is_refused_or_forgotten(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(refusal=("no such video", "not-found"))
    with job_api(script) as port:
        assert main([file, "--api-port", str(port)]) == 2
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert all("404 Not Found: no such video" in line for line in out)
