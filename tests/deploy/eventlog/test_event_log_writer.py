"""The event log on disk: its name, its lines, and what is left after a kill."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deploy.eventlog.writer import EventLog
from env.errors import EventLogError
from env.event_log import EVENT_KEYS, EventCode, read_events

CONTRACT_KEYS = {
    "EV1": ["request_id", "input_video", "bitrate", "speed"],
    "EV2": ["name", "worker_id"],
    "EV11": ["name", "worker_id", "node", "cpus", "memory"],
    **{f"EV{n}": ["request_id", "worker_id", "task_id"] for n in (3, 4, 5, 6, 7)},
    "EV8": ["name", "worker_id"],
    **{f"EV{n}": ["worker_id", "task_id", "error_message"] for n in (9, 10)},
}


def events(log: EventLog) -> list[dict[str, str]]:
    return [event for _, event in read_events(log.path)]


def any_keys(code: EventCode) -> dict[str, str]:
    return {key: f"a {key}" for key in EVENT_KEYS[code]}


@pytest.mark.parametrize("code", CONTRACT_KEYS)
def test_a_line_has_the_contracts_keys_in_their_order(tmp_path: Path, code: str) -> None:
    log = EventLog(tmp_path)
    log.write(EventCode(code), **dict(reversed(any_keys(EventCode(code)).items())))
    [line] = log.path.read_text(encoding="ascii").splitlines()
    assert list(json.loads(line)) == ["time", "code", "description", *CONTRACT_KEYS[code]]
    log.close()


def test_all_values_are_strings(tmp_path: Path) -> None:
    log = EventLog(tmp_path, clock=lambda: 12.5)
    log.write(
        EventCode.REQUEST_RECEIVED, speed="fast", bitrate=800, request_id="r", input_video="ü\n"
    )
    log.close()
    assert events(log) == [
        {
            "time": "12.500000",
            "code": "EV1",
            "description": "request received",
            "request_id": "r",
            "input_video": "ü\n",
            "bitrate": "800",
            "speed": "fast",
        }
    ]


def test_only_our_own_codes_take_other_keys(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.write(EventCode.WORKER_PLACED, worker_id="w", node="n", why="told", moment=3.0)
    log.write(EventCode.WORKER_CREATED, worker_id="w", name="x", node="n", flavor="tiny")
    for code in CONTRACT_KEYS:
        with pytest.raises(ValueError, match="unknown keys \\['more'\\]"):
            log.write(EventCode(code), **any_keys(EventCode(code)), more="1")
    for code in EventCode:
        with pytest.raises(ValueError, match=f"missing keys \\['{EVENT_KEYS[code][0]}'"):
            log.write(code)
    log.close()
    placed, created = events(log)
    assert (placed["code"], placed["time"], placed["why"]) == ("EV32", "3.000000", "told")
    assert (created["code"], created["flavor"]) == ("EV2", "tiny")


def test_each_start_takes_the_first_free_name(tmp_path: Path) -> None:
    logs = [EventLog(tmp_path) for _ in range(3)]
    assert [log.path.name for log in logs] == [f"tc-events-0{n}.txt" for n in (1, 2, 3)]
    logs[1].path.unlink()
    logs.append(EventLog(tmp_path))
    assert logs[3].path.name == "tc-events-02.txt"
    for log in logs:
        log.close()


def test_with_99_logs_it_refuses(tmp_path: Path) -> None:
    for number in range(1, 100):
        (tmp_path / f"tc-events-{number:02d}.txt").touch()
    with pytest.raises(EventLogError, match=r"tc-events-99\.txt in .* are taken: move or delete"):
        EventLog(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match="No such file"):
        EventLog(tmp_path / "none")
    with pytest.raises(EventLogError, match="No such file"):
        EventLog(path=tmp_path / "none" / "log.txt")


def test_a_named_log_goes_on_where_the_last_whole_line_ended(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    for node in ("a", "b"):
        log = EventLog(path=path)
        log.write(EventCode.WORKER_PLACED, worker_id="w", node=node)
        log.close()
        with path.open("a") as torn:
            torn.write('{"time": "7", "co')
    assert [event["node"] for event in events(log)] == ["a", "b"]


@pytest.mark.parametrize("text", ["my thesis", "my thesis\n", "two\nlines\n"])
def test_a_named_file_that_is_no_event_log_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text(text)
    with pytest.raises(EventLogError, match=r"cannot add to .*thesis\.txt"):
        EventLog(path=path)
    assert path.read_text() == text


def test_a_closed_log_refuses(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.close()
    log.close()
    with pytest.raises(ValueError, match="is closed"):
        log.write(EventCode.WORKER_DRAINING, worker_id="w")


def test_a_full_disk_costs_lines_but_not_the_service(tmp_path: Path) -> None:
    """The file may grow by one and a half lines: a stand-in for a disk that is full."""
    log = EventLog(tmp_path)
    log.write(EventCode.WORKER_DRAINING, worker_id="w")
    size = log.path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 5 // 2, limits[1]))
    try:
        for _ in range(3):
            log.write(EventCode.WORKER_DRAINING, worker_id="w")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    log.write(EventCode.WORKER_DRAINING, worker_id="x")
    log.close()
    assert log.lost == 2
    assert [event["worker_id"] for event in events(log)] == ["w", "w", "x"]


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    log = EventLog(tmp_path)

    def write() -> None:
        for _ in range(100):
            log.write(EventCode.WORKER_DRAINING, worker_id="w" * 500)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len(events(log)) == 400


def test_a_killed_process_leaves_every_event_that_it_told_of(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from deploy.eventlog.writer import EventLog;"
        "from env.event_log import EventCode; log = EventLog(Path()); n = 0\n"
        "while True:\n"
        "    log.write(EventCode.WORKER_DRAINING, worker_id=n); print(n, flush=True); n += 1"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for told in process.stdout:
            if int(told) >= 50:
                break
        process.kill()
        told_all = [int(told), *(int(n) for n in process.stdout.read().split("\n")[:-1])]
    written = [int(event["worker_id"]) for _, event in read_events(tmp_path / "tc-events-01.txt")]
    assert written == list(range(len(written)))
    assert written[-1] >= told_all[-1]
