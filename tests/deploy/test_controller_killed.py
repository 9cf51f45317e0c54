"""A real controller process is killed between submission and completion, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from env.event_log import read_events
from env.log_parts import logs_in
from tests.deploy.controller_process import ROOT, completed, controller, submit
from tests.deploy.live_controller import PATIENCE_S

pytestmark = pytest.mark.slow
JOBS = 12


def test_no_job_is_lost_or_done_twice_when_the_controller_is_killed(tmp_path: Path) -> None:
    ids: list[str] = []
    for life in range(3):
        with controller(tmp_path) as (process, port):
            ids += asyncio.run(submit(port, JOBS // 3))
            if life > 0:  # killed while some jobs are done and others are on their way
                asyncio.run(completed(port, ids, 2 * life))
            process.kill()
    with controller(tmp_path) as (process, port):
        asyncio.run(completed(port, ids, JOBS))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    logs = logs_in(tmp_path)
    assert len(logs) == 4
    events = [event for log in logs for _, event in read_events(log)]
    received = [event["request_id"] for event in events if event["code"] == "EV1"]
    uploaded = [event["request_id"] for event in events if event["code"] == "EV7"]
    assert set(received) <= set(ids)
    assert len(uploaded) == len(set(uploaded))  # a kill may have cost a line, never made two
    assert set(uploaded) <= set(ids)
    assert any(event["code"] == "EV24" for event in events)  # simulated workers die with it


def test_two_controllers_never_share_a_store(tmp_path: Path) -> None:
    with controller(tmp_path):
        second = subprocess.run(
            [sys.executable, "-m", "deploy.controller.command", "-r", "simulated", "-p", "0"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert second.returncode == 2
    assert "another controller has the store" in second.stderr
    assert len(second.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(number: signal.Signals, tmp_path: Path) -> None:
    with controller(tmp_path) as (process, port):
        ids = asyncio.run(submit(port, 2))
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in (tmp_path / "errors.txt").read_text()
    with controller(tmp_path) as (process, port):
        asyncio.run(completed(port, ids, 2))
