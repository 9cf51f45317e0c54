"""``dacirco_scenario`` sends what it should, when it should, and says what became of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from deploy.clients.job_api import JobApi
from deploy.clients.scenario import SAVED_AS, main, play
from deploy.clients.scenario_file import generate_jobs, read_jobs
from deploy.grpc_api import dacirco_pb2 as pb
from env.catalog import load_catalog
from env.jobs import Request
from env.scenario import read_scenario
from tests.deploy.clients.job_api_server import job_api, wait_until
from tests.deploy.rest.rest_controller import Script

ROWS = """# delay,movie,bitrate,speed
0,bbb_1.mp4,500,fast

0.05, holiday.mov ,8000,ultrafast
1,bbb_2.mp4,600
#1,bbb_3.mp4,700,fast
0.05,bbb_4.mp4,700,fast,more
"""
SENT = [
    pb.TCRequest(input_video="bbb_1.mp4", output_video="out-bbb_1.mp4", bitrate=500, speed="fast"),
    pb.TCRequest(
        input_video="holiday.mov", output_video="out-holiday.mov", bitrate=8000, speed="ultrafast"
    ),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_replayed_without_comments_and_short_rows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.csv").write_text(ROWS)
    script = Script()
    with job_api(script) as port:
        assert main(["-f", "mine.csv", "-p", str(port), "-d"]) == 0
    assert list(script.jobs.values()) == SENT
    out, err = capsys.readouterr()
    assert out == "2 of 2 jobs were accepted\n"
    assert "job 2: holiday.mov, 8000 kbit/s, ultrafast: job-2" in err
    assert not (folder / "last_scenario.csv").exists()


def test_generated_jobs_are_saved_and_sent(folder: Path) -> None:
    script = Script()
    with job_api(script) as port:
        assert main(["-n", "1", "-p", str(port), "--seed", "7"]) == 0
    [saved] = read_scenario(folder / "last_scenario.csv").requests
    [sent] = script.jobs.values()
    assert saved.arrival_s == 0
    assert (sent.input_video, sent.bitrate, sent.speed) == (
        saved.movie,
        saved.bitrate_kbps,
        saved.speed,
    )


def test_without_arguments_one_job_is_sent_and_no_scenario_overwritten(folder: Path) -> None:
    SAVED_AS.write_text("an earlier one")
    script = Script()
    with job_api(script) as port:
        assert main(["-p", str(port)]) == 0
    (request,) = script.jobs.values()
    assert request.input_video in load_catalog()
    assert SAVED_AS.read_text() == "an earlier one"


def test_a_seed_gives_the_same_jobs_and_its_file_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "last_scenario.csv"
    jobs = generate_jobs(50, 3, path)
    assert generate_jobs(50, 3, tmp_path / "other.csv") == jobs
    assert generate_jobs(50, 4, tmp_path / "other.csv") != jobs
    assert read_jobs(path, strict=True).jobs == jobs
    rows = [row for row in path.read_text().splitlines() if not row.startswith("#")]
    assert len(rows) == 50
    assert rows[0].startswith("0.000,bbb_")


BAD_ROWS = [
    "0,../x.mp4,500,fast",
    "0,a.mp4,499,fast",
    "0,a.mp4,500.5,fast",
    "0,a.mp4,1e999999999,fast",
    "0,a.mp4,500,slow",
    "-1,a.mp4,500,fast",
    "x,a,1,b",
]


def test_bad_rows_are_skipped_and_the_rest_is_sent(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = "0.01,bbb_9.mp4,7000.0,fast"
    (folder / "mine.csv").write_text("\n".join([ROWS, *BAD_ROWS, last, ""]))
    script = Script()
    with job_api(script) as port:
        assert main(["-f", "mine.csv", "-p", str(port)]) == 2
    sent = [(job.input_video, job.bitrate) for job in script.jobs.values()]
    assert sent == [("bbb_1.mp4", 500), ("holiday.mov", 8000), ("bbb_9.mp4", 7000)]
    out, err = capsys.readouterr()
    assert out == "3 of 3 jobs were accepted\n"
    *warned, end = err.splitlines()
    for number, (line, row) in enumerate(zip(warned, BAD_ROWS, strict=True), start=9):
        assert line.startswith(f"skipped: mine.csv, line {number}: "), row
    assert end == "dacirco_scenario: 7 rows of the file were skipped, see above"


@pytest.mark.parametrize("row", BAD_ROWS)
def test_strictly_a_file_with_a_bad_row_is_not_sent_at_all(
    folder: Path, capsys: pytest.CaptureFixture[str], row: str
) -> None:
    (folder / "mine.csv").write_text(f"{ROWS}{row}\n")
    script = Script()
    with job_api(script) as port:
        assert main(["-f", "mine.csv", "-p", str(port), "--strict"]) == 2
    assert script.calls == []
    assert "mine.csv, line 8: " in capsys.readouterr().err


def test_the_rows_after_a_bad_one_keep_their_times(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = ["1,a.mp4,500,fast", "2,a.mp4,1,fast", "x,a.mp4,500,fast", "4,b.mp4,500,fast"]
    path.write_text("\n".join(rows))
    given = read_jobs(path)
    assert [job.arrival_s for job in given.jobs] == [1.0, 7.0]
    assert given.skipped == 2


def test_a_long_file_with_a_few_bad_rows_is_played(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    rows = [f"6.0,vid-{n % 41:02d},{500 if n % 1000 else 20},fast" for n in range(9000)]
    path.write_text("\n".join(rows))
    given = read_jobs(path)
    assert (len(given.jobs), given.skipped) == (8991, 9)
    assert given.jobs[-1].arrival_s == 54000.0


def test_a_file_of_bad_rows_only_is_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.csv").write_text("0,a.mp4,1,fast\n")
    assert main(["-f", "mine.csv"]) == 2
    assert "mine.csv: no request" in capsys.readouterr().err


def test_jobs_that_are_refused_make_the_command_fail(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.csv").write_text(ROWS)
    script = Script(refusal=("no such video", "not-found"))
    with job_api(script) as port:
        assert main(["-f", "mine.csv", "-p", str(port)]) == 2
        out, err = capsys.readouterr()
    assert out == "0 of 2 jobs were accepted\n"
    assert "job 1 (bbb_1.mp4) failed: POST jobs: 404 Not Found: no such video" in err
    assert "2 of 2 jobs were not accepted" in err


def test_a_job_that_fails_does_not_hold_up_the_next(tmp_path: Path) -> None:
    jobs = [Request(0.01 * n, f"{n}.mp4", 500, "fast") for n in range(4)]
    script = Script(status=grpc.StatusCode.INTERNAL, failures_left=0)

    class FailsOnce(JobApi):
        """Has the controller fail for the second job."""

        def submit(self, request: Request) -> str:
            script.failures_left = int(request.movie == "1.mp4")
            return super().submit(request)

    with job_api(script) as port, FailsOnce("127.0.0.1", port) as api:
        assert play(api, jobs) == 1
    assert [job.input_video for job in script.jobs.values()] == ["0.mp4", "2.mp4", "3.mp4"]


def test_a_server_that_is_not_there_is_told_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.csv").write_text(ROWS)
    with job_api(Script()) as port:
        pass
    assert main(["-f", "mine.csv", "-t", "127.0.0.1", "-p", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"dacirco_scenario: cannot reach the Job API at http://127.0.0.1:{port}: "
        "no connection; is it running there?\n"
    )


def test_the_key_comes_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.csv").write_text(ROWS)
    script = Script()
    with job_api(script, key="of-this-test") as port:
        assert main(["-f", "mine.csv", "-p", str(port)]) == 2
        assert "401 Unauthorized: give the API key" in capsys.readouterr().err
        monkeypatch.setenv("DACIRCO_API_KEY", "of-this-test")
        environment = dict(os.environ)
        with JobApi("127.0.0.1", port, environment) as api:
            assert play(api, read_jobs(folder / "mine.csv").jobs) == 0


def test_ctrl_c_tells_how_many_were_sent(folder: Path) -> None:
    (folder / "mine.csv").write_text("0,a.mp4,500,fast\n3600,b.mp4,500,fast\n")
    script = Script()
    with (
        job_api(script) as port,
        subprocess.Popen(
            [sys.executable, "-m", "deploy.clients.scenario", "-f", "mine.csv", "-p", str(port)],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            wait_until(lambda: script.jobs, "the first job")
            # The answer must have been read too: Ctrl-C while it is under way says 0.
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "of 2 jobs were sent" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "options", [["-n", "0"], ["-n", "1", "-f", "x.csv"], ["-n", "1", "--seed", "-1"]]
)
def test_a_wrong_command_line(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 2
    assert "(see dacirco_scenario --help)" in capsys.readouterr().err
