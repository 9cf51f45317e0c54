"""``dacirco_rest_api`` as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from deploy.rest.command import main
from tests.deploy.rest.rest_controller import Script, controller_running

COMMAND = [sys.executable, "-m", "deploy.rest.command"]


@contextmanager
def program(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program and its URL; it is killed at the end."""
    process = subprocess.Popen(
        [*COMMAND, *options], env=os.environ | environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "it ended before it told its URL"
            found = re.search(r"Job API on (\S+),", line)
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_end(ending: signal.Signals) -> None:
    with controller_running(Script(jobs={})) as address:
        host, port = address.split(":")
        options = ("--port", "0", "--grpc-server", host, "--grpc-port", port)
        with program(*options, DACIRCO_API_KEY="secret-of-this-test") as (process, url):
            assert requests.get(f"{url}/ready", timeout=30).status_code == 200
            assert requests.get(f"{url}/jobs", timeout=30).status_code == 401
            process.send_signal(ending)
            _, log = process.communicate(timeout=30)
            assert process.returncode in (130, -ending)
            assert "Traceback" not in log
            assert "secret-of-this-test" not in log


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{port}: " in error
    assert "choose others with --host and --port\n" in error


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for option in ("-v", "-p", "--port", "--grpc-server", "--grpc-port", "--host"):
        assert option in text
    for default in ("8000", "localhost", "50051", "127.0.0.1"):
        assert f"({default})" in text
