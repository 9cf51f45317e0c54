"""Reading event logs: whole lines only, and errors that name the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.errors import EventLogError
from env.event_log import (
    ADDED_KEYS,
    EVENT_KEYS,
    EventCode,
    event_moment,
    place_of,
    read_events,
)
from env.log_parts import first_of, logs_in, part_path

EVENT = {"time": "5.5", "code": "EV8", "description": "worker destroyed", "name": "w"}


def log_of(folder: Path, text: bytes) -> Path:
    path = folder / "tc-events-01.txt"
    path.write_bytes(text)
    return path


def line(**more: object) -> bytes:
    return json.dumps(EVENT | more).encode() + b"\n"


def test_events_come_with_the_numbers_of_their_lines(tmp_path: Path) -> None:
    path = log_of(tmp_path, line() + b"\n" + line(code="EV99", anything="else"))
    assert list(read_events(path)) == [
        (1, EVENT),
        (3, EVENT | {"code": "EV99", "anything": "else"}),
    ]


def test_values_with_line_separators_stay_whole(tmp_path: Path) -> None:
    text = json.dumps(EVENT | {"name": "a\u2028b\x85c"}, ensure_ascii=False).encode() + b"\n"
    [(_, event)] = read_events(log_of(tmp_path, text))
    assert event["name"] == "a\u2028b\x85c"


@given(kept=st.integers(0, 2 * len(line(name="größer"))))
def test_a_log_cut_at_any_byte_gives_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, kept: int
) -> None:
    whole = line(name="größer")
    path = log_of(tmp_path_factory.mktemp("log"), (whole + whole)[:kept])
    # A line is whole without its line end too.
    assert len(list(read_events(path))) == (kept + 1) // len(whole)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (b"nonsense\n", "not a JSON object"),
        (b"[1]\n", "not a JSON object"),
        (b"\xff\xfe\n", "not a JSON object"),
        (b"[" * 100_000 + b"\n", "not a JSON object"),
        (b'{"time": "1"}\n', "the key 'code' is missing"),
        (b'{"code": "EV1"}\n', "the key 'time' is missing"),
        (line(name=5), "the value of 'name' is not a string"),
    ],
)
def test_a_line_that_is_no_event_is_refused(tmp_path: Path, second: bytes, message: str) -> None:
    path = log_of(tmp_path, line() + second + line())
    with pytest.raises(EventLogError, match=f"tc-events-01.txt, line 2: {message}"):
        list(read_events(path))


def test_a_missing_log(tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match=r"cannot read .*none\.txt: No such file"):
        list(read_events(tmp_path / "none.txt"))


def test_every_code_has_its_keys() -> None:
    assert set(EVENT_KEYS) == set(EventCode)
    assert all(ADDED_KEYS[code].isdisjoint(EVENT_KEYS[code]) for code in ADDED_KEYS)


@pytest.mark.parametrize(
    "times",
    [
        {"time": "5.5"},
        {"time": "1970-01-01 00:00:05.5+00:00"},
        {"time": "2026-11-30 14:30:29.643842", "time_epoch": "5.500000"},
    ],
)
def test_the_moment_of_an_event_in_logs_of_any_age(times: dict[str, str]) -> None:
    assert event_moment(EVENT | times) == 5.5


def test_what_older_logs_call_otherwise_has_the_name_of_today(tmp_path: Path) -> None:
    old = line(code="EV25", request_id="r", attempts="1", error_message="why")
    new = line(code="EV25", request_id="r", attempts="1", reason="why")
    reasons = [event["reason"] for _, event in read_events(log_of(tmp_path, old + new))]
    assert reasons == ["why", "why"]


def test_a_repeated_line_comes_as_what_it_repeats(tmp_path: Path) -> None:
    [(_, event)] = read_events(log_of(tmp_path, line(code="EV48", repeats="EV8")))
    assert event == EVENT | {"repeats": "EV8"}


# -- parts ----------------------------------------------------------------------------------


def parts(folder: Path, *texts: bytes) -> Path:
    first = folder / "tc-events-01.txt"
    for number, text in enumerate(texts, start=1):
        part_path(first, number).write_bytes(text)
    return first


def test_a_log_is_read_with_the_parts_that_continue_it(tmp_path: Path) -> None:
    first = parts(tmp_path, line() + b"\n", line(name="b") * 2 + b"\n", line(name="c"))
    (tmp_path / "tc-events-01_part.txt").write_text("no part")
    (tmp_path / "tc-events-01.config.txt").write_text("no part")
    events = list(read_events(first))
    assert [(number, event["name"]) for number, event in events] == [
        (1, "w"),
        (3, "b"),
        (4, "b"),
        (6, "c"),
    ]
    assert place_of(first, 4) == f"{tmp_path}/tc-events-01_part0002.txt, line 2"
    assert place_of(first, 6) == f"{tmp_path}/tc-events-01_part0003.txt, line 1"
    second = part_path(first, 2)
    assert second.name == "tc-events-01_part0002.txt"
    assert [number for number, _ in read_events(second)] == [1, 2]
    assert (first_of(second), first_of(first)) == (first, None)
    assert logs_in(tmp_path) == [first]


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    first = parts(tmp_path, line(), line(), line())
    part_path(first, 2).unlink()
    with pytest.raises(EventLogError, match=r"part0002\.txt is missing, but .*part0003"):
        list(read_events(first))


def test_only_the_last_part_may_end_in_half_a_line(tmp_path: Path) -> None:
    assert len(list(read_events(parts(tmp_path, line(), line() + b'{"ti')))) == 2
    with pytest.raises(EventLogError, match=r"events-01\.txt, line 2: not a JSON object"):
        list(read_events(parts(tmp_path, line() + b'{"ti', line())))


def test_parts_sort_by_name_behind_their_log(tmp_path: Path) -> None:
    first = tmp_path / "tc-events-01.txt"
    names = [part_path(first, number).name for number in range(1, 1200)]
    assert sorted(names) == names
