"""The event log on disk: its name, its lines, and what is left after a kill."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from deploy.eventlog.config_file import write_config
from deploy.eventlog.writer import EventLog
from env.errors import EventLogError
from env.event_log import EVENT_KEYS, EventCode, read_events
from env.log_parts import parts_of

CONTRACT_KEYS = {
    "EV1": ["request_id", "input_video", "bitrate", "speed"],
    "EV2": ["name", "worker_id"],
    "EV11": ["name", "worker_id", "node", "cpus", "memory"],
    **{f"EV{n}": ["request_id", "worker_id", "task_id"] for n in (3, 4, 5, 6, 7)},
    "EV8": ["name", "worker_id"],
    **{f"EV{n}": ["worker_id", "task_id", "error_message"] for n in (9, 10)},
}
DESCRIPTIONS = {
    "EV1": "Request received",
    "EV2": "Runner created",
    "EV3": "Task assigned",
    "EV4": "Task started",
    "EV5": "File dowloaded",
    "EV6": "Transcoding completed",
    "EV7": "File uploaded",
    "EV8": "Runner destroyed",
    "EV9": "Transcoding error",
    "EV10": "Storage error",
    "EV11": "Runner registered",
}
"""To the letter."""


def events(log: EventLog) -> list[dict[str, str]]:
    return [event for _, event in read_events(log.path)]


def any_keys(code: EventCode) -> dict[str, str]:
    return {key: f"a {key}" for key in EVENT_KEYS[code]}


@pytest.mark.parametrize("code", CONTRACT_KEYS)
def test_a_line_has_the_contracts_keys_in_their_order(tmp_path: Path, code: str) -> None:
    log = EventLog(tmp_path)
    log.write(EventCode(code), **dict(reversed(any_keys(EventCode(code)).items())))
    [line] = log.path.read_text(encoding="ascii").splitlines()
    written = json.loads(line)
    head = ["time", "code", "description"]
    assert list(written) == [*head, *CONTRACT_KEYS[code], "time_epoch"]
    assert written["description"] == DESCRIPTIONS[code]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", written["time"])
    log.close()


def test_all_values_are_strings(tmp_path: Path) -> None:
    log = EventLog(tmp_path, clock=lambda: 1_796_045_429.643842)
    log.write(
        EventCode.REQUEST_RECEIVED, speed="fast", bitrate=800, request_id="r", input_video="ü\n"
    )
    log.close()
    assert events(log) == [
        {
            "time": datetime.fromtimestamp(1_796_045_429.643842).isoformat(" "),
            "code": "EV1",
            "description": "Request received",
            "request_id": "r",
            "input_video": "ü\n",
            "bitrate": "800",
            "speed": "fast",
            "time_epoch": "1796045429.643842",
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
    assert (placed["code"], placed["time_epoch"], placed["why"]) == ("EV32", "3.000000", "told")
    assert placed["description"] == "Worker placed"
    assert (created["code"], created["flavor"]) == ("EV2", "tiny")


def test_each_start_takes_the_first_free_name(tmp_path: Path) -> None:
    logs = [EventLog(tmp_path) for _ in range(3)]
    for log in logs:
        log.write(EventCode.WORKER_DRAINING, worker_id="w")
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


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file can grow beyond this: a stand-in for a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_costs_lines_but_not_the_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is room for one and a half lines more."""
    log = EventLog(tmp_path)
    log.write(EventCode.WORKER_DRAINING, worker_id="w")
    with small_disk(log.path.stat().st_size * 5 // 2):
        for _ in range(3):
            log.write(EventCode.WORKER_DRAINING, worker_id="w")
    log.write(EventCode.WORKER_DRAINING, worker_id="x", moment=5.0)
    log.write(EventCode.WORKER_DRAINING, worker_id="y")
    log.close()
    assert log.lost == 2
    told = [event.get("worker_id") or event["lines"] for event in events(log)]
    assert told == ["w", "w", "2", "x", "y"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "events are lost: cannot write" in caplog.text
    assert "2 events were lost, now it goes on" in caplog.text


def test_a_lost_failure_does_not_count_as_told(tmp_path: Path) -> None:
    """What the existing readers must know stands in the file, not in what was meant to."""
    log = EventLog(tmp_path)
    ids = {"request_id": "r", "worker_id": "w"}
    log.write(EventCode.TASK_ASSIGNED, **ids, task_id="t1")
    with small_disk(log.path.stat().st_size):
        log.write(EventCode.TRANSCODING_ERROR, worker_id="w", task_id="t1", error_message="bad")
    log.write(EventCode.TASK_ASSIGNED, **ids, task_id="t2")
    log.close()
    assert [event["code"] for event in events(log)] == ["EV3", "EV46", "EV49", "EV3"]


# -- what can stand only once in a file ---------------------------------------------------


def test_a_second_line_of_a_worker_or_request_is_a_repetition(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    for _ in range(2):
        log = EventLog(path=path)
        log.write(EventCode.WORKER_CREATED, worker_id="w", name="x", node="n", flavor="tiny")
        log.write(EventCode.WORKER_DESTROYED, worker_id="w", name="x")
        log.write(EventCode.WORKER_DESTROYED, worker_id="other", name="x")
        log.close()
    codes = [json.loads(line)["code"] for line in path.read_text().splitlines()]
    assert codes == ["EV2", "EV8", "EV8", "EV48", "EV48", "EV48"]
    assert [event["code"] for event in events(log)] == ["EV2", "EV8", "EV8"] * 2


# -- parts --------------------------------------------------------------------------------


def test_a_log_that_grows_too_large_goes_on_beside_it(tmp_path: Path) -> None:
    log = EventLog(tmp_path, max_bytes=1000)
    for number in range(30):
        log.write(EventCode.WORKER_PLACED, worker_id=f"w{number}", node="n")
    log.close()
    files = list(parts_of(log.path))
    assert len(files) > 5
    assert log.path == tmp_path / "tc-events-01.txt"
    assert log.current == files[-1]
    assert all(path.stat().st_size <= 1000 for path in files)
    read = events(log)
    assert [e["worker_id"] for e in read if e["code"] == "EV32"] == [f"w{n}" for n in range(30)]
    heads = [(e["log"], e["part"]) for e in read if e["code"] == "EV47"]
    assert heads == [("tc-events-01.txt", str(n)) for n in range(2, len(files) + 1)]
    second = EventLog(tmp_path)
    assert second.path.name == "tc-events-02.txt"
    second.close()


def test_a_line_longer_than_a_part_stands_alone(tmp_path: Path) -> None:
    log = EventLog(tmp_path, max_bytes=1000)
    for size in (10, 5000, 10):
        log.write(EventCode.WORKER_DRAINING, worker_id="w" * size)
    log.close()
    assert [len(e["worker_id"]) for e in events(log) if e["code"] == "EV33"] == [10, 5000, 10]


def test_a_named_log_goes_on_in_its_last_part(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    for _ in range(3):
        log = EventLog(path=path, max_bytes=1000)
        for number in range(5):
            log.write(EventCode.WORKER_PLACED, worker_id="w", node=str(number))
        log.close()
    assert [e["node"] for e in events(log) if e["code"] == "EV32"] == list("01234" * 3)
    path.unlink()
    with pytest.raises(EventLogError, match=r"mine\.txt is missing, but mine_part\d+\.txt cont"):
        EventLog(path=path)


def test_a_part_that_cannot_be_made_does_not_end_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = EventLog(tmp_path, max_bytes=1000)
    (tmp_path / "tc-events-01_part0002.txt").mkdir()
    for number in range(20):
        log.write(EventCode.WORKER_PLACED, worker_id="w", node=str(number))
    assert len(caplog.records) == 1
    assert "grows on: it cannot be continued: File exists" in caplog.text
    (tmp_path / "tc-events-01_part0002.txt").rmdir()
    log.write(EventCode.WORKER_PLACED, worker_id="w", node="20")
    log.close()
    assert [e["node"] for e in events(log) if "node" in e] == [str(n) for n in range(21)]
    assert log.lost == 0


def test_a_number_whose_parts_lie_there_is_not_taken_again(tmp_path: Path) -> None:
    (tmp_path / "tc-events-01_part0002.txt").touch()
    log = EventLog(tmp_path)
    log.close()
    assert log.path.name == "tc-events-02.txt"


def test_a_log_in_which_nothing_was_written_uses_up_no_number(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    write_config(log.path, {"a": 1})
    log.close()
    assert list(tmp_path.iterdir()) == []


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
