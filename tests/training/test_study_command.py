"""``python -m training.study``, as a person runs it."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from tests.training.evaluation_world import ROOT, run_module
from training.study import main

Studied = tuple[Path, subprocess.CompletedProcess[str]]

MODEL = ROOT / "models" / "dacirco"
PICTURES = {
    "capacity",
    "duel",
    "first-boots",
    "half-hour",
    "idle-actions",
    "knobs",
    "loads",
    "policy",
    "queue-actions",
    "tree",
}


@pytest.fixture(scope="module")
def studied(
    tmp_path_factory: pytest.TempPathFactory,
) -> Studied:
    """A folder that the quick study was written to, in another place than the project."""
    folder = tmp_path_factory.mktemp("studied")
    options = ["--quick", "--policy", str(MODEL), "--out", "made/here"]
    return folder / "made" / "here", run_module("training.study", *options, cwd=folder)


def test_the_command_writes_the_page_and_names_it(
    studied: Studied,
) -> None:
    _, done = studied
    assert done.returncode == 0, done.stderr
    assert done.stdout == "page: made/here/study.md\n"
    for part in ("capacity", "naive algorithms", "knobs", "surrogate trees"):
        assert part in done.stderr  # the progress bars


def test_the_page_shows_its_pictures_once_and_nothing_else(
    studied: Studied,
) -> None:
    folder, _ = studied
    text = (folder / "study.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^]]+\]\(images/study-([a-z-]+)\.png\)", text)
    assert sorted(shown) == sorted(PICTURES - {"policy"})  # that one is the front page's
    drawn = {path.stem.removeprefix("study-") for path in (folder / "images").iterdir()}
    assert drawn == PICTURES
    for path in (folder / "images").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_page_is_whole(studied: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = studied
    text = (folder / "study.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d)\.", text, re.MULTILINE) == [str(n) for n in range(1, 8)]
    assert hashlib.sha256((MODEL / "policy.onnx").read_bytes()).hexdigest() in text
    assert "--quick" in text
    assert "rough page" in text
    assert not re.search(r"\bnan\b|\binf\b|None", text)
    # Every table has as many cells in each row as in its head.
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({row.count("|") for row in block.splitlines()}) == 1, block


def test_what_no_run_can_change_is_on_the_page(
    studied: Studied,
) -> None:
    folder, _ = studied
    text = (folder / "study.md").read_text(encoding="utf-8")
    # With a grace period of 0 s the two naive algorithms are one.
    assert re.search(r"over all runs of this section:\s+0\.000000\)", text)
    # The profile's own note about the first boot.
    assert "fitted (n = 1)" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "grace-period"], "not the folder of a frozen policy"),
        (["--policy", "models/none-of-that-name"], "none-of-that-name"),
        (["--policy", str(MODEL), "--profile", "openstak"], "openstack"),
        (["--policy", str(MODEL), "--quick", "--out", "a-file"], "a-file: it is a file"),
        (["--quik"], "--quik"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("mine", encoding="utf-8")
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert message in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
