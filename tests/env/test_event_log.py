"""Reading event logs: whole lines only, and errors that name the line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.errors import EventLogError
from env.event_log import ADDED_KEYS, EVENT_KEYS, EventCode, parse_moment, read_events

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
    ("text", "moment"),
    [("12.5", 12.5), ("1970-01-01T00:01:00+00:00", 60.0), ("1970-01-01 00:00:01.5Z", 1.5)],
)
def test_moments(text: str, moment: float) -> None:
    assert parse_moment(text) == moment


def test_no_moment() -> None:
    assert math.isnan(parse_moment(" "))
