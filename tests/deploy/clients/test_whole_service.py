"""Controller, Job API and clients, each a process of its own, with simulated workers."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.analysis import process_logs
from deploy.clients import monitor, scenario, wait_scenario
from deploy.clients.job_api import JobApi
from deploy.clients.snapshot import Watcher
from env.moments import parse_duration
from tests.deploy.clients.job_api_server import wait_until
from tests.deploy.eventlog.existing_reader import existing_process_log

pytestmark = pytest.mark.slow

KEY = "the-key-of-this-test"
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(Path(__file__).parents[3]),
    "DACIRCO_API_KEY": KEY,
    "PYTHONUNBUFFERED": "1",
}
ROWS = "".join(f"0.05,bbb_{n}.mp4,{500 + n},ultrafast\n" for n in range(6))


# Time passes 300 times as fast: a stall of this machine must not look like the death of a worker.
SIMULATED = (
    *("-r", "simulated", "--speed-up", "300", "--port", "0", "--http-port", "0"),
    *("--boot-timeout", "1000000", "--keepalive-timeout", "1000000", "--task-timeout", "1000000"),
)


@contextmanager
def program(folder: Path, module: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A program with its output in a pipe; it is gone at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *options],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def port_told(process: subprocess.Popen[str], pattern: str) -> int:
    """The number that the program prints where the pattern says."""
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if found := re.search(pattern, line):
            return int(found[1])
    raise AssertionError(f"it ended without telling its port:\n{output}")


@contextmanager
def front_end(folder: Path, grpc_port: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A Job API and its port."""
    options = ("--port", "0", "--grpc-server", "127.0.0.1", "--grpc-port", str(grpc_port))
    with program(folder, "deploy.rest.command", *options) as rest:
        yield rest, port_told(rest, r"Job API on http://127\.0\.0\.1:(\d+),")


def test_jobs_from_the_player_to_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Job API is killed in between: it keeps nothing, and another one tells the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DACIRCO_API_KEY", KEY)
    Path("mine.csv").write_text(ROWS)
    Path("one.csv").write_text("9999,bbb_0.mp4,600,ultrafast\n")
    with program(tmp_path, "deploy.controller.command", *SIMULATED) as controller:
        grpc_port = port_told(controller, r"controller ready: gRPC port (\d+)")
        with front_end(tmp_path, grpc_port) as (rest, port):
            assert scenario.main(["-f", "mine.csv", "-p", str(port)]) == 0
            rest.kill()
        with front_end(tmp_path, grpc_port) as (rest, port):
            assert wait_scenario.main(["one.csv", "--api-port", str(port)]) == 0
            with JobApi("127.0.0.1", port) as api:
                watcher = Watcher(api)
                wait_until(
                    lambda: all(job.state == "Completed" for job in watcher.look().jobs), "all jobs"
                )
            capsys.readouterr()
            assert monitor.main(["--once", "--json", "-p", str(port)]) == 0
            look = json.loads(capsys.readouterr().out)
            for process in (rest, controller):
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)
    assert [job["bitrate"] for job in look["jobs"]] == [500, 501, 502, 503, 504, 505, 600]
    assert {job["state"] for job in look["jobs"]} == {"Completed"}
    assert process_logs.main(["tc-events-01.txt"]) == 0
    with Path("tc-events-01-ok-requests.csv").open() as file:
        requests = list(csv.DictReader(file))
    assert [row["request_id"] for row in requests] == [job["id"] for job in look["jobs"]]
    durations = [text for row in requests for key, text in row.items() if "diff" in key]
    assert all(parse_duration(text) >= 0 for text in durations)
    assert existing_process_log(Path("tc-events-01.txt")).ok == {job["id"] for job in look["jobs"]}
    with Path("tc-events-01-workers.csv").open() as file:
        workers = {row["worker_id"]: row for row in csv.DictReader(file)}
    assert workers.keys() == {worker["id"] for worker in look["workers"]}
    assert all(workers[row["worker_id"]]["node"] for row in requests)
    assert KEY not in "".join(path.read_text() for path in tmp_path.glob("tc-events-*"))
