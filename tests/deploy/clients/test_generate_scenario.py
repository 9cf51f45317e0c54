from __future__ import annotations

from pathlib import Path

import pytest

from deploy.clients.generate_scenario import DEFAULT_NUMBER, main, video_names
from deploy.clients.scenario import SAVED_AS
from env.errors import DaCircoError
from env.scenario import load_scenario, read_rows


def test_the_file_is_a_scenario_and_names_the_command_that_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    scenario = load_scenario(SAVED_AS)
    assert len(scenario) == DEFAULT_NUMBER
    assert scenario.requests[0].arrival_s == 0.0
    first = SAVED_AS.read_text()
    assert str(SAVED_AS) in capsys.readouterr().out
    command, *words = scenario.notes[0].split()
    assert command == "dacirco_generate_scenario"
    assert main(words) == 0
    assert SAVED_AS.read_text() == first


def test_videos_of_the_other_generation(tmp_path: Path) -> None:
    path = tmp_path / "vid.csv"
    assert main(["-n", "400", "--videos", "vid-00..vid-40", "--seed", "1", "-o", str(path)]) == 0
    requests, _ = read_rows(path, str)
    names = {request.movie for request in requests}
    assert names <= {f"vid-{number:02d}" for number in range(41)}
    assert len(names) > 30


def test_lists_of_names() -> None:
    assert video_names("a.mp4, b-1.mp4..b-3.mp4") == ["a.mp4", "b-1.mp4", "b-2.mp4", "b-3.mp4"]
    assert video_names("v-08..v-11") == ["v-08", "v-09", "v-10", "v-11"]
    assert video_names("a..b") == ["a..b"]  # no range: a name with two dots


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v9..v1", "not a range"),
        ("v0..v999999", "not a range"),
        ("a,a", "twice"),
        ("a,,b", "empty"),
        ("../a", "slash"),
    ],
)
def test_names_that_cannot_be_are_told(text: str, message: str) -> None:
    with pytest.raises(DaCircoError, match=message):
        video_names(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-n", "0"], "'0'"),
        (["-o", "none/x.csv"], "none"),
        (["-o", "."], "folder"),
        (["--catalog", "bbbb"], "did you mean 'bbb'"),
        (["--catalog", "local", "--videos", "a"], "not allowed with"),
    ],
)
def test_a_wrong_command_line_is_told_and_writes_nothing(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []
