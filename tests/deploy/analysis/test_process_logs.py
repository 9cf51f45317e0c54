"""``dacirco_process_logs``: the contract's two tables from logs of both systems."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from deploy.analysis.process_logs import main, process_log
from deploy.eventlog.writer import EventLog
from env.event_log import EventCode
from env.log_parts import parts_of
from env.moments import (
    duration_text,
    local_offset,
    parse_duration,
    parse_moment,
    text_with_offset,
)
from tests.deploy.eventlog.existing_reader import existing_process_log

TRACES = Path(__file__).resolve().parents[4] / "shared" / "traces"

WORKER_HEADER = (
    "worker_id,time_registered,time_created,time_destroyed,name,node,cpus,memory,"
    "timediff_registered,timediff_destroyed"
)
REQUEST_HEADER = (
    "request_id,time_received,time_assigned,time_started,time_file_downloaded,"
    "time_transcoding_done,time_file_uploaded,input_video,bitrate,speed,worker_id,task_id,"
    "timediff_assigned,timediff_started,timediff_file_downloaded,timediff_transcoding_done,"
    "timediff_file_uploaded"
)
ASKED = {"input_video": "a.mp4", "bitrate": "900", "speed": "fast"}


def line(code: str, time: str, **keys: str) -> str:
    return json.dumps({"time": time, "code": code, "description": "some words", **keys}) + "\n"


def task(code: str, time: str, request: str, worker: str, task: str) -> str:
    return line(code, time, request_id=request, worker_id=worker, task_id=task)


def at(time: float | str) -> str:
    """A cell with a moment; no clock changes in these logs."""
    moment = parse_moment(str(time))
    return text_with_offset(moment, local_offset(moment))


def took(seconds: float) -> str:
    return duration_text(seconds)


def tables(folder: Path, *lines: str) -> tuple[list[str], list[str]]:
    """The lines of both tables of a log with these lines."""
    path = folder / "tc-events-05.txt"
    path.write_text("".join(lines))
    workers, requests = process_log(path)
    assert workers == folder / "tc-events-05-workers.csv"
    assert requests == folder / "tc-events-05-ok-requests.csv"
    return workers.read_text().splitlines(), requests.read_text().splitlines()


def test_a_log_of_the_existing_system(tmp_path: Path) -> None:
    workers, requests = tables(
        tmp_path,
        line("EV1", "100.5", request_id="r", **ASKED),
        line("EV2", "101", name="w-1", worker_id="w"),
        line("EV11", "117.25", name="w-1", worker_id="w", node="compute1", cpus="1", memory="2048"),
        task("EV3", "117.5", "r", "w", "t"),
        task("EV4", "117.51", "r", "w", "t"),
        task("EV5", "118", "r", "w", "t"),
        task("EV6", "150", "r", "w", "t"),
        task("EV7", "150.125", "r", "w", "t"),
        line("EV8", "210.25", name="w-1", worker_id="w"),
    )
    moments = f"{at(117.25)},{at(101)},{at(210.25)}"
    assert workers == [
        WORKER_HEADER,
        f"w,{moments},w-1,compute1,1,2048,{took(16.25)},{took(93)}",
    ]
    moments = ",".join(at(time) for time in (100.5, 117.5, 117.51, 118, 150, 150.125))
    durations = ",".join(took(time) for time in (17, 0.01, 0.49, 32, 0.125))
    assert requests == [REQUEST_HEADER, f"r,{moments},a.mp4,900,fast,w,t,{durations}"]


def test_times_in_iso_8601(tmp_path: Path) -> None:
    """As the existing system's log has them."""
    name = {"name": "w-1", "worker_id": "w"}
    size = {"node": "n", "cpus": "1", "memory": "1"}
    workers, _ = tables(
        tmp_path,
        line("EV2", "2025-01-01 00:00:59.5", **name),
        line("EV11", "2025-01-01 00:01:01", **name, **size),
    )
    moments = f"{at('2025-01-01 00:01:01')},{at('2025-01-01 00:00:59.5')}"
    assert workers[1] == f"w,{moments},,w-1,n,1,1,{took(1.5)},"


def test_requests_that_are_not_finished_are_left_out(tmp_path: Path) -> None:
    _, requests = tables(
        tmp_path,
        *(line("EV1", "1", request_id=request, **ASKED) for request in ("waits", "runs", "fails")),
        task("EV3", "2", "runs", "w", "t1"),
        task("EV6", "4", "runs", "w", "t1"),
        task("EV3", "2", "fails", "v", "t2"),
        line("EV9", "3", worker_id="v", task_id="t2", error_message="broken"),
    )
    assert requests == [REQUEST_HEADER]


def test_of_several_attempts_the_one_that_did_it_counts(tmp_path: Path) -> None:
    _, requests = tables(
        tmp_path,
        line("EV1", "1", request_id="r", **ASKED),
        task("EV3", "2", "r", "lost", "t1"),
        task("EV4", "3", "r", "lost", "t1"),
        line("EV23", "60", worker_id="lost", reason="silent"),
        line(
            "EV24", "60", request_id="r", worker_id="lost", task_id="t1", attempts="1", reason="x"
        ),
        *(task(f"EV{n}", str(60 + n), "r", "w", "t2") for n in (3, 4, 5, 6, 7)),
    )
    moments = ",".join(at(time) for time in (1, 63, 64, 65, 66, 67))
    durations = ",".join(took(time) for time in (62, 1, 1, 1, 1))
    assert requests[1:] == [f"r,{moments},a.mp4,900,fast,w,t2,{durations}"]


def test_workers_that_never_came_were_lost_or_adopted(tmp_path: Path) -> None:
    name = {"name": "x", "worker_id": "failed"}
    workers, _ = tables(
        tmp_path,
        line("EV2", "1", **name, flavor="tiny", node=""),
        line("EV22", "5", worker_id="failed", reason="no room"),
        line("EV2", "1", name="y", worker_id="lost"),
        line("EV32", "2", worker_id="lost", node="n1"),
        line("EV23", "8", worker_id="lost", reason="silent"),
        line("EV8", "9", name="y", worker_id="lost"),
        line("EV23", "10", worker_id="lost", reason="silent"),
        line(
            "EV27",
            "1",
            name="z",
            worker_id="adopted",
            flavor="tiny",
            node="n2",
            request_id="",
            task_id="",
        ),
    )
    assert workers[1:] == [
        f"failed,,{at(1)},{at(5)},x,,,,,{took(4)}",
        f"lost,,{at(1)},{at(9)},y,n1,,,,{took(8)}",
        "adopted,,,,z,n2,,,,",
    ]


def test_requests_of_an_earlier_log_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, requests = tables(tmp_path, task("EV7", "2", "older", "w", "t"))
    assert requests == [REQUEST_HEADER]
    assert capsys.readouterr().err == "1 requests of an earlier log were left out\n"


def test_a_log_that_our_controller_still_writes(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.write(EventCode.REQUEST_RECEIVED, request_id="r", **ASKED)
    log.write(EventCode.WORKER_CREATED, name="w-1", worker_id="w", flavor="tiny", node="n")
    log.write(EventCode.PREFERENCE_CHANGED, preference=0.5)
    workers, requests = process_log(log.path)
    log.close()
    assert len(workers.read_text().splitlines()) == 2
    assert requests.read_text() == REQUEST_HEADER + "\n"


AUTUMN = 1_792_886_400.0
"""2026-10-25 02:00 in Rome, for the first time; an hour later it is 02:00 again."""


def autumn_log(folder: Path, max_bytes: int = 0) -> Path:
    """Jobs of 20 minutes each, one after the other, through the night when the clocks change."""
    log = EventLog(folder, max_bytes=max_bytes)
    worker = {"name": "w-1", "worker_id": "w"}
    size = {"node": "n", "cpus": 1, "memory": 2048}
    begin = AUTUMN - 1800.0
    log.write(EventCode.WORKER_CREATED, moment=begin, **worker, flavor="tiny", node="n")
    log.write(EventCode.WORKER_REGISTERED, moment=begin + 4.737676, **worker, **size)
    for number in range(8):
        moment = begin + 5 + 1200.0 * number
        log.write(EventCode.REQUEST_RECEIVED, moment=moment, request_id=f"r{number}", **ASKED)
        for step, code in enumerate(("EV3", "EV4", "EV5", "EV6", "EV7"), start=1):
            ids = {"request_id": f"r{number}", "worker_id": "w", "task_id": f"t{number}"}
            log.write(EventCode(code), moment=moment + 200.25 * step, **ids)
    log.close()
    return log.path


@pytest.fixture
def rome(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Rome")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("rome")
@pytest.mark.parametrize("max_bytes", [0, 2000])
def test_pandas_reads_the_tables_as_the_recipe_says(tmp_path: Path, max_bytes: int) -> None:
    """Dates are parsed, timediffs become timedeltas; also where the clocks were changed."""
    path = autumn_log(tmp_path, max_bytes)
    assert (len(list(parts_of(path))) > 1) == bool(max_bytes)
    for file, count in zip(process_log(path), (1, 8), strict=True):
        names = pd.read_csv(file, nrows=0).columns
        table = pd.read_csv(file, parse_dates=[n for n in names if n.startswith("time_")])
        for name in (n for n in names if n.startswith("timediff_")):
            table[name] = pd.to_timedelta(table[name])
        assert len(table) == count
        dates = [name for name in names if name.startswith("time_")]
        known = [name for name in dates if table[name].notna().all()]
        assert set(dates) - set(known) <= {"time_destroyed"}
        for name in known:
            assert table[name].dt.year.unique().tolist() == [2026], name
    assert (table["timediff_file_uploaded"] == pd.Timedelta(seconds=200.25)).all()
    steps = table["time_file_uploaded"] - table["time_received"]
    assert (steps == pd.Timedelta(seconds=5 * 200.25)).all()
    assert table["time_received"].diff().dropna().eq(pd.Timedelta(minutes=20)).all()
    text = file.read_text().splitlines()[1].split(",")
    assert text[1] == "2026-10-25 01:30:05.000000+02:00"
    assert text[-1] == "0 days 00:03:20.250000"


@pytest.mark.usefixtures("rome")
def test_the_existing_processor_and_ours_agree(tmp_path: Path) -> None:
    """But for the hour that a clock change repeats: the existing form cannot tell it."""
    path = autumn_log(tmp_path)
    theirs = existing_process_log(path).requests
    ours = pd.read_csv(process_log(path)[1]).set_index("request_id")
    assert list(theirs.index) == list(ours.index)
    name = "timediff_file_uploaded"
    same = theirs[name] == pd.to_timedelta(ours[name])
    assert same.sum() >= len(ours) - 1


def test_an_empty_log_gives_empty_tables(tmp_path: Path) -> None:
    assert tables(tmp_path) == ([WORKER_HEADER], [REQUEST_HEADER])


def test_the_command_tells_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tc-events-01.txt"
    path.touch()
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "tc-events-01-workers.csv"),
        str(tmp_path / "tc-events-01-ok-requests.csv"),
    ]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("nonsense\n", "line 2: not a JSON object"),
        (line("EV8", "5", name="x"), "line 2: the key 'worker_id' is missing"),
        (line("EV8", "soon", name="x", worker_id="w"), "line 2: .*'soon'"),
        (line("EV8", "", name="x", worker_id="w"), "line 2: '' is no time"),
    ],
)
def test_a_wrong_log_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], second: str, message: str
) -> None:
    path = tmp_path / "tc-events-01.txt"
    path.write_text(line("EV99", "never", new="code") + second)
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"dacirco_process_logs: {path}, ")
    assert re.search(message, error)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not TRACES.is_dir(), reason="no measured runs beside this repository")
def test_measured_runs_come_out_as_they_were(tmp_path: Path) -> None:
    """A log with the moments of the measured runs gives their durations back."""
    runs = pd.read_csv(TRACES / "requests.csv").sort_values("t_received").reset_index(drop=True)
    log = EventLog(tmp_path)
    steps = {
        EventCode.TASK_ASSIGNED: "t_assigned",
        EventCode.TASK_STARTED: "t_dwnld_start",
        EventCode.FILE_DOWNLOADED: "t_tc_start",
        EventCode.TRANSCODING_COMPLETED: "t_upld_start",
        EventCode.FILE_UPLOADED: "t_completed",
    }
    for index, row in runs.iterrows():
        asked = {"input_video": row["video"], "bitrate": row["bitrate"], "speed": row["speed"]}
        moment = row["t_received"]
        log.write(EventCode.REQUEST_RECEIVED, moment=moment, request_id=str(index), **asked)
        for code, column in steps.items():
            if pd.notna(row[column]):
                ids = {"request_id": str(index), "worker_id": "w", "task_id": f"t{index}"}
                log.write(code, moment=row[column], **ids)
    log.close()
    with process_log(log.path)[1].open() as file:
        found = list(csv.DictReader(file))
    done = runs[runs["t_completed"].notna()]
    assert [int(row["request_id"]) for row in found] == done.index.tolist()
    names = ("assigned", "started", "file_downloaded", "transcoding_done", "file_uploaded")
    for (before, after), name in zip(
        zip(["t_received", *steps.values()], steps.values(), strict=False), names, strict=True
    ):
        measured = [parse_duration(row[f"timediff_{name}"]) for row in found]
        assert measured == pytest.approx((done[after] - done[before]).tolist(), abs=2e-6)
