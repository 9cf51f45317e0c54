"""Scenario files: what is read is what was written, and errors name the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.catalog import Catalog, Movie, load_catalog
from env.errors import ScenarioError, UnknownNameError
from env.jobs import SPEEDS, Request
from env.scenario import (
    SPLITS,
    Scenario,
    format_scenario,
    load_scenario,
    load_split,
    read_scenario,
    scenario_names,
    write_scenario,
)

GOOD = "0,bbb_3.mp4,500,ultrafast"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "mine.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@st.composite
def scenarios(draw: st.DrawFn, *, milliseconds: bool = True) -> Scenario:
    delays_ms = draw(st.lists(st.integers(0, 10**7) | st.integers(0, 3), min_size=1, max_size=40))
    clock_ms = 0.0
    requests = []
    for delay_ms in delays_ms:
        clock_ms += delay_ms if milliseconds else delay_ms * draw(st.floats(0.5, 1.5))
        requests.append(
            Request(
                clock_ms / 1000,
                draw(st.sampled_from(list(load_catalog()))),
                draw(st.integers(500, 8000)),
                draw(st.sampled_from(SPEEDS)),
            )
        )
    words = st.text(st.characters(categories=["L", "N"]), max_size=8)
    notes = draw(st.lists(words, max_size=3))
    return Scenario("mine", tuple(requests), tuple(notes))


@given(scenario=scenarios())
def test_what_is_written_is_read_back(
    scenario: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("scenario") / "mine.csv"
    write_scenario(path, scenario)
    assert read_scenario(path) == scenario


@given(scenario=scenarios(milliseconds=False))
def test_any_times_are_rounded_once_and_then_stay(
    scenario: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("scenario") / "mine.csv"
    write_scenario(path, scenario)
    once = read_scenario(path)
    for read, original in zip(once.requests, scenario.requests, strict=True):
        assert read.arrival_s == pytest.approx(original.arrival_s, abs=0.00051)
    write_scenario(path, once)
    assert read_scenario(path) == once


def test_delays_add_up_to_arrivals_without_drift(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, *["0.1004,bbb_1.mp4,8000,fast"] * 1000)
    requests = read_scenario(path).requests
    assert requests[0] == Request(0.0, "bbb_3.mp4", 500, "ultrafast")
    assert requests[1] == Request(0.1, "bbb_1.mp4", 8000, "fast")
    assert requests[1000].arrival_s == 100.4


def test_the_first_delay_counts_from_the_start(tmp_path: Path) -> None:
    scenario = read_scenario(write(tmp_path, "2.5,bbb_3.mp4,500,fast", GOOD))
    assert [request.arrival_s for request in scenario.requests] == [2.5, 2.5]
    assert scenario.duration_s == 2.5
    assert len(scenario) == 2


def test_comments_and_rows_without_four_fields_are_skipped(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "# 1,bbb_3.mp4,500,fast",
        "#made by hand",
        "",
        "7,bbb_3.mp4,500",
        "7,bbb_3.mp4,500,fast,more",
        " 1.5 , bbb_3.mp4 , 600 , fast ",
    )
    scenario = read_scenario(path)
    assert scenario.requests == (Request(1.5, "bbb_3.mp4", 600, "fast"),)
    assert scenario.notes == ("1,bbb_3.mp4,500,fast", "made by hand")
    assert scenario.name == "mine"


def test_the_written_format_is_that_of_the_existing_tools() -> None:
    requests = (
        Request(0.0, "bbb_9.mp4", 4711, "fast"),
        Request(6.25, "bbb_0.mp4", 500, "ultrafast"),
    )
    assert format_scenario(Scenario("two", requests, ("by hand", ""))) == (
        "# by hand\n#\n0.000,bbb_9.mp4,4711,fast\n6.250,bbb_0.mp4,500,ultrafast\n"
    )


def test_a_movie_with_a_comma_in_its_name_survives(tmp_path: Path) -> None:
    catalog = Catalog("odd", [Movie('the "end", at last.mp4', 1.0, 2, 3)])
    scenario = Scenario("mine", (Request(1.0, 'the "end", at last.mp4', 500, "fast"),))
    write_scenario(tmp_path / "mine.csv", scenario)
    assert read_scenario(tmp_path / "mine.csv", catalog) == scenario


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("soon,bbb_3.mp4,500,fast", "delay 'soon' is not a number of seconds from 0"),
        ("-1,bbb_3.mp4,500,fast", "delay '-1'"),
        ("nan,bbb_3.mp4,500,fast", "delay 'nan'"),
        ("inf,bbb_3.mp4,500,fast", "delay 'inf'"),
        ("1e999,bbb_3.mp4,500,fast", "delay '1e999'"),
        (",bbb_3.mp4,500,fast", "delay ''"),
        ("1,bbb_33.mp4,500,fast", "unknown movie 'bbb_33.mp4': did you mean 'bbb_3.mp4'?"),
        ("1,bbb_3.mp4,499,fast", "bitrate '499' is not a whole number from 500 to 8000 (kbit/s)"),
        ("1,bbb_3.mp4,8001,fast", "bitrate '8001'"),
        ("1,bbb_3.mp4,700.5,fast", "bitrate '700.5'"),
        ("1,bbb_3.mp4,high,fast", "bitrate 'high'"),
        ("1,bbb_3.mp4,500,slow", "speed 'slow' is not one of ultrafast, fast"),
        ("delay,movie,bitrate,speed", "delay 'delay'"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row: str, complaint: str) -> None:
    path = write(tmp_path, "# mine", GOOD, "", row, GOOD)
    with pytest.raises(ScenarioError) as caught:
        read_scenario(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 4: ")
    assert complaint in message
    assert "\n" not in message


@pytest.mark.parametrize("lines", [(), ("# nothing",), ("0;bbb_3.mp4;500;fast",)])
def test_a_file_without_requests_is_refused(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(ScenarioError, match=r"mine\.csv: no request"):
        read_scenario(write(tmp_path, *lines))


def test_a_scenario_is_not_empty_and_in_order() -> None:
    with pytest.raises(ScenarioError, match="holds no request"):
        Scenario("none", ())
    late, early = (Request(t, "bbb_3.mp4", 500, "fast") for t in (2.0, 1.0))
    with pytest.raises(ScenarioError, match="sort them by arrival"):
        Scenario("back in time", (late, early))


def test_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    (path / "in the way").mkdir(parents=True)
    with pytest.raises(ScenarioError, match=r"cannot write .*mine\.csv: "):
        write_scenario(path, Scenario("mine", (Request(1.0, "bbb_1.mp4", 500, "fast"),)))
    assert list(tmp_path.iterdir()) == [path]
    assert [entry.name for entry in path.iterdir()] == ["in the way"]


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    scenario = Scenario("mine", (Request(1.0, "bbb_1.mp4", 500, "fast"),))
    with pytest.raises(ScenarioError, match="cannot write"):
        write_scenario(tmp_path / "nowhere" / "mine.csv", scenario)


def test_shipped_scenarios_load_by_full_and_by_short_name() -> None:
    full = load_scenario("test/poisson-half")
    assert full.name == "test/poisson-half"
    assert load_scenario("poisson-half") == full


def test_every_shipped_scenario_loads() -> None:
    assert scenario_names() == [name for split in SPLITS for name in scenario_names(split)]
    for split in SPLITS:
        loaded = load_split(split)
        assert [scenario.name for scenario in loaded] == scenario_names(split)
        assert loaded


def test_a_path_is_read_with_any_suffix(tmp_path: Path) -> None:
    path = tmp_path / "requests.txt"
    path.write_text(GOOD)
    assert load_scenario(path).name == "requests.txt"
    assert load_scenario(str(path)).requests == read_scenario(path).requests


def test_a_catalog_other_than_the_shipped_one_can_be_used(tmp_path: Path) -> None:
    path = write(tmp_path, "0,mine.mp4,500,fast")
    with pytest.raises(ScenarioError, match=r"unknown movie 'mine\.mp4'"):
        load_scenario(path)
    scenario = load_scenario(path, Catalog("mine", [Movie("mine.mp4", 1.0, 2, 3)]))
    assert scenario.requests[0].movie == "mine.mp4"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("poison-half", "'poisson-half'"),
        ("test/poison-half", "'test/poisson-half'"),
    ],
)
def test_an_unknown_scenario_suggests_the_closest(name: str, suggestion: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean {suggestion}"):
        load_scenario(name)


def test_an_unknown_split_suggests_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'test'"):
        load_split("tests")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"cannot read .*gone\.csv"):
        load_scenario(tmp_path / "gone.csv")


def test_a_short_name_in_both_splits_must_be_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in SPLITS:
        (tmp_path / split).mkdir()
        (tmp_path / split / "twin.csv").write_text(GOOD)
    monkeypatch.setattr("env.scenario._SHIPPED", tmp_path)
    with pytest.raises(ScenarioError, match="ambiguous: use train/twin or test/twin"):
        load_scenario("twin")
    assert load_scenario("test/twin").name == "test/twin"
