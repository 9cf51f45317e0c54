"""``dacirco_rest_monitor``: what it shows, how often it asks, and that it does not give up."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from deploy.clients.job_api import JobApi
from deploy.clients.monitor import main
from deploy.clients.monitor_view import view
from deploy.clients.snapshot import JobView, Snapshot, Watcher, WorkerView
from deploy.grpc_api import dacirco_pb2 as pb
from tests.deploy.clients.job_api_server import job_api, wait_until
from tests.deploy.rest.rest_controller import Script

PROGRAM = [sys.executable, "-m", "deploy.clients.monitor"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "TERM": "xterm"}


def script_with_work() -> Script:
    script = Script()
    for n, state in enumerate(
        (pb.REQUEST_STATUS_COMPLETED, pb.REQUEST_STATUS_STARTED, pb.REQUEST_STATUS_WAITING), start=1
    ):
        job = pb.TCRequest(input_video=f"bbb_{n}.mp4", bitrate=500 + n, speed="fast")
        script.jobs[f"job-{n}"] = job
        script.job_states[f"job-{n}"] = state
    for n, worker_state in enumerate(
        (pb.WORKER_STATUS_STOPPED, pb.WORKER_STATUS_TRANSCODING, pb.WORKER_STATUS_BOOTING), start=1
    ):
        known = {"cpus": "2", "memory": "4096", "node": f"compute{n}"} if n < 3 else {}
        script.workers[f"w{n}"] = pb.WorkerFullDesc(name=f"worker-{n}", id=f"w{n}", **known)
        script.worker_states[f"w{n}"] = worker_state
    return script


def test_one_look_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with job_api(script_with_work()) as port:
        assert main(["--once", "--json", "-p", str(port), "--rest-server", "127.0.0.1"]) == 0
    look = json.loads(capsys.readouterr().out)
    assert look.pop("time") > 0
    assert look["jobs"][1] == {
        "id": "job-2",
        "id_video": "bbb_2.mp4",
        "bitrate": 502,
        "speed": "fast",
        "state": "Started",
    }
    assert look["workers"][1] == {
        "id": "w2",
        "name": "worker-2",
        "cpus": "2",
        "memory": "4096",
        "node": "compute2",
        "state": "Transcoding",
    }
    assert look["nodes"] == {
        "": {"workers": 1, "busy": 0, "states": {"Booting": 1}},
        "compute2": {"workers": 1, "busy": 1, "states": {"Transcoding": 1}},
    }
    assert look["job_states"] == {"Completed": 1, "Started": 1, "Waiting": 1}
    assert look["worker_states"] == {"Booting": 1, "Stopped": 1, "Transcoding": 1}


def test_one_look_as_tables(capsys: pytest.CaptureFixture[str]) -> None:
    with job_api(script_with_work()) as port:
        assert main(["--once", "-p", str(port)]) == 0
    shown = capsys.readouterr().out
    for text in ("bbb_1.mp4", "Waiting", "worker-3", "Transcoding", "compute2", "(not known yet)"):
        assert text in shown


def test_once_without_a_server_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with job_api(Script()) as port:
        pass
    assert main(["--once", "-p", str(port)]) == 2
    assert "cannot reach the Job API" in capsys.readouterr().err


def test_what_has_ended_is_not_asked_for_again() -> None:
    script = script_with_work()
    with job_api(script) as port, JobApi("127.0.0.1", port) as api:
        watcher = Watcher(api)
        first = watcher.look()
        script.calls.clear()
        assert watcher.look() == first
        asked = {call: script.calls.count(call) for call in set(script.calls)}
        assert asked == {
            "get_requests": 1,
            "get_request_status": 2,  # two of three live
            "get_workers": 1,
            "get_worker_status": 2,
            "get_worker": 1,  # the one that boots: its node is not known yet
        }
        script.job_states["job-3"] = pb.REQUEST_STATUS_ERROR
        script.workers["w3"].node = "compute3"
        script.worker_states["w3"] = pb.WORKER_STATUS_IDLE
        look = watcher.look()
        assert [job.state for job in look.jobs] == ["Completed", "Started", "Error"]
        assert (look.workers[2].node, look.workers[2].state) == ("compute3", "Idle")
        script.calls.clear()
        watcher.look()
        assert "get_worker" not in script.calls


def render(snapshot: Snapshot, height: int, trouble: str = "") -> list[str]:
    console = Console(width=120, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(view(snapshot, height=height, trouble=trouble))
    return capture.get().splitlines()


def test_a_screen_holds_what_lives_first() -> None:
    states = ["Waiting", "Started"] + ["Completed"] * 98
    jobs = tuple(JobView(f"j{n}", "v", 500, "fast", state) for n, state in enumerate(states))
    lines = render(Snapshot(jobs), height=30)
    assert len(lines) <= 30
    text = "\n".join(lines)
    for shown in (
        "j0 ",
        "j1 ",
        "j99",
        "Jobs: 100 (98 Completed, 1 Started, 1 Waiting), 85 not shown",
    ):
        assert shown in text
    assert "j2 " not in text


def test_text_of_the_server_cannot_steer_the_terminal() -> None:
    evil = "\x1b]0;owned\x07[red]\x9b2J"
    worker = WorkerView("w", evil, evil, evil, evil, evil)
    job = JobView("j", evil, evil, evil, evil)
    text = "\n".join(render(Snapshot((job,), (worker,)), height=30, trouble=evil))
    assert "?]0;owned?[red]?2J" in text
    assert not {"\x1b", "\x07", "\x9b"} & set(text)


def test_a_live_view_is_refreshed_in_place_and_survives_the_server() -> None:
    script = script_with_work()
    ours, theirs = pty.openpty()
    shown = b""

    def sees(text: str) -> bool:
        nonlocal shown
        shown += os.read(ours, 65536)
        return text.encode() in shown

    try:
        with job_api(script) as port:
            options = ["-p", str(port), "--rest-server", "127.0.0.1", "--refresh-interval", "0.1"]
            process = subprocess.Popen(
                [*PROGRAM, *options], stdin=theirs, stdout=theirs, stderr=theirs, env=ENVIRONMENT
            )
            wait_until(lambda: sees("bbb_2.mp4"), "the first view")
            script.jobs["job-9"] = pb.TCRequest(input_video="another.mp4")
            wait_until(lambda: sees("another.mp4"), "the next view")
        wait_until(lambda: sees("cannot reach the Job API"), "the trouble")
        shown = b""
        with job_api(script, port=port):
            script.jobs["job-10"] = pb.TCRequest(input_video="afterwards.mp4")
            wait_until(lambda: sees("afterwards.mp4"), "the server again")
            process.send_signal(signal.SIGINT)
            wait_until(lambda: sees("\x1b[?1049l"), "the end")  # back to the normal screen
            assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    assert b"Traceback" not in shown


@pytest.mark.parametrize("option", [["--json"], []])
def test_looks_go_on_where_there_is_no_terminal(option: list[str]) -> None:
    script = script_with_work()
    with (
        job_api(script) as port,
        subprocess.Popen(
            [*PROGRAM, *option, "-p", str(port), "--refresh-interval", "0.05"],
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            script.jobs["job-9"] = pb.TCRequest(input_video="another.mp4")
            seen = 0
            for line in process.stdout:
                seen += "another.mp4" in line
                if seen == 2:
                    break
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
