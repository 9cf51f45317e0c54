"""The command: from files to a profile that loads."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.config import load_profile
from tests.training.event_files import write_catalog, write_event_log
from tests.training.synthetic_runs import Truth, synthetic_tables
from training.calibrate import main
from training.calibration.toml_text import toml_text

TRUTH = Truth()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six runs as event logs, with the catalog of their videos beside them."""
    folder = tmp_path_factory.mktemp("logs")
    write_catalog(folder / "videos.csv")
    tasks, workers = synthetic_tables(TRUTH)
    return [
        write_event_log(
            folder / f"tc-events-{i:02d}.txt",
            tasks[tasks["run"] == run],
            workers[workers["run"] == run],
        )
        for i, run in enumerate(sorted(set(tasks["run"])), start=1)
    ]


def test_event_logs_become_a_profile(
    logs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plots = tmp_path / "home.toml", tmp_path / "plots"
    catalog = str(logs[0].with_name("videos.csv"))
    options = ["--out", str(out), "--name", "home", "--catalog", catalog, "--plots", str(plots)]
    assert main([*map(str, logs), *options]) == 0
    profile = load_profile(out)
    law = profile.timing.transcode
    assert profile.name == "home"
    assert law.duration_exponent == pytest.approx(TRUTH.duration_exponent, abs=0.03)
    assert law.fast_factor == pytest.approx(TRUTH.fast_factor, rel=0.03)
    assert profile.timing.contention.slope_per_core == pytest.approx(TRUTH.slope_per_core, abs=0.02)
    assert profile.cluster == load_profile("openstack").cluster

    found = profile.provenance
    assert found["runs"] == [path.stem for path in logs]
    assert found["transcode"]["standard_errors"]["duration_exponent"] == pytest.approx(
        0.006, abs=0.003
    )
    assert found["transcode"]["n"] == 240
    assert found["transcode"]["cross_validation_mape"] < 5
    assert "parallel_exponent" in found["transcode"]["kept_from_the_base"]
    text = out.read_text(encoding="utf-8")
    assert "# prior: every transcode ran on 1 vCPU" in text
    assert "# fitted +- " in text

    printed = capsys.readouterr().out
    assert "leave one run out: mean absolute percentage error 4.1 %" in printed
    assert "What these runs cannot show:" in printed
    names = ["boot.png", "residuals.png", "transcode.png", "transfers.png"]
    assert sorted(path.name for path in plots.iterdir()) == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots.iterdir())


def test_the_same_runs_give_the_same_bytes(logs: list[Path], tmp_path: Path) -> None:
    catalog = str(logs[0].with_name("videos.csv"))
    texts = []
    for name in ("one.toml", "two.toml"):
        out = tmp_path / name
        assert main([*map(str, logs), "--out", str(out), "--catalog", catalog]) == 0
        texts.append(out.read_bytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "missing.txt does not exist"),
        ([".", "--base", "opnstack"], "unknown profile 'opnstack': did you mean 'openstack'?"),
        ([".", "--catalog", "films"], "unknown catalog 'films'"),
        (["."], "has no requests.csv"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--out", "profile.toml"]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""
    assert not Path("profile.toml").exists()


def test_a_folder_that_cannot_be_written_to(logs: list[Path], capsys: Any, tmp_path: Path) -> None:
    catalog = str(logs[0].with_name("videos.csv"))
    out = str(tmp_path / "none" / "profile.toml")
    assert main([*map(str, logs), "--out", out, "--catalog", catalog]) == 2
    assert "cannot write" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    options = ["--out", str(tmp_path / "p.toml"), "--catalog", catalog, "--plots", str(blocked)]
    assert main([*map(str, logs), *options]) == 2
    assert "cannot write plots" in capsys.readouterr().err


def test_runs_as_a_module(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "training.calibrate", "nowhere", "--out", str(tmp_path / "p")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == "training.calibrate: nowhere does not exist\n"


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=True),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
)
VALUES = st.recursive(
    SCALARS | st.lists(SCALARS, max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=5), inner, min_size=1, max_size=3),
    max_leaves=8,
)
TREES = st.dictionaries(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=5),
    VALUES | st.lists(st.dictionaries(st.sampled_from("ab"), VALUES, min_size=1), min_size=1),
    max_size=4,
)


def plain(value: Any) -> Any:
    """With NaN made equal to itself, and without types that compare equal."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and isnan(value):
        return "NaN"
    return (type(value).__name__, value)


@given(TREES)
def test_toml_reads_back_as_it_was(tree: dict[str, Any]) -> None:
    assert plain(tomllib.loads(toml_text(tree))) == plain(tree)


def test_toml_comments_and_absent_values() -> None:
    text = toml_text(
        {"a": 1, "none": None, "t": {"x": 0.5, "empty": {}}}, {"a": "why", "t.x": "0.1 +- 0.2"}
    )
    assert tomllib.loads(text) == {"a": 1, "t": {"x": 0.5}}
    assert "# why" in text
    assert "# 0.1 +- 0.2" in text


def test_toml_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="no TOML for object"):
        toml_text({"a": object()})
