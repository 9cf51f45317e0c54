"""``python -m training.compete``, as a person runs it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation_world import ROWS, write_frozen, write_rows
from training import compete
from training.compete import main
from training.competition import runs
from training.competition.conditions import ELSEWHERE
from training.rollouts.play import ENGINES, Stage

SMALL = shlex.split(
    "--policy models/eager --seed-model models/other --rival adaptive-flavor --scenario busy.csv "
    "--scenario calm.csv --preference 0.9 --preference 0.1 --seeds 2 --runs runs --output docs"
)


@pytest.fixture(scope="module")
def competed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the command ran."""
    folder = tmp_path_factory.mktemp("competed")
    write_rows(folder / "busy.csv")
    write_rows(folder / "calm.csv", ROWS[3:])
    write_frozen(folder / "models" / "eager")
    write_frozen(folder / "models" / "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(SMALL) == 0
    return folder


@pytest.fixture
def page(competed: Path) -> str:
    return (competed / "docs" / "competition.md").read_text(encoding="utf-8")


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    text = page.split(f"\n## {heading}\n")[1]
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows is not None
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in rows[0].splitlines()[2:]
    ]


def test_the_page_names_its_command_and_pictures(competed: Path, page: str) -> None:
    assert f"python -m training.compete {shlex.join(SMALL)}" in page
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", page)
    assert len(pictures) == len(set(pictures)) == 5
    for picture in pictures:
        assert (competed / "docs" / picture).read_bytes().startswith(b"\x89PNG")


def test_every_target_is_held_or_not(page: str) -> None:
    rows = table(page, "Targets")
    assert len(rows) == 2 + 5 + 3 + len(ELSEWHERE) + 1
    assert {row[-1] for row in rows} <= {"yes", "**no**"}
    held = sum(row[-1] == "yes" for row in rows)
    assert f"{held} of {len(rows)} are held." in page


def test_tables_have_the_width_of_their_heads(page: str) -> None:
    lines = page.splitlines()
    found = 0
    for head, rule in pairwise(lines):
        if rule.startswith("| ---"):
            found += 1
            assert head.count("|") == rule.count("|"), head
    assert found >= 8


def test_ratios_are_those_of_the_runs(competed: Path, page: str) -> None:
    costs = {}
    for path in (competed / "runs").iterdir():
        run = json.loads(path.read_text(encoding="utf-8"))
        # Both models are the same network: either may have been run for both.
        policy = run["policy"].replace("models/other", "models/eager")
        if run["world"] == "home" and policy in ("models/eager", "grace-period"):
            figures = {name: np.array(rows) for name, rows in run["figures"].items()}
            costs[policy, run["told"]] = figures
    logs = []
    for w in (0.1, 0.9):
        ours, grace = costs["models/eager", w], costs["grace-period", 0.5]
        a, b = (w * r["job_seconds"] + (1 - w) * r["core_seconds"] for r in (ours, grace))
        logs.append(np.log(a / b).mean())
    (row,) = [row for row in table(page, "Leaderboard") if row[0] == "models/eager"]
    assert row[1].startswith(f"{np.exp(np.mean(logs)):.3f}")
    assert row[2:4] == [f"{np.exp(x):.3f}" for x in logs]
    (naive,) = [
        row for row in table(page, "Leaderboard") if row[0] == "grace-period, at its defaults"
    ]
    assert naive[1].startswith("1.000")
    assert naive[4] == "0 %"


def test_nobody_is_below_the_bound(page: str) -> None:
    assert all(float(row[-1]) > 1.0 for row in table(page, "Leaderboard"))


def test_two_policies_that_do_the_same_cost_the_same(page: str) -> None:
    rows = table(page, "Training seeds")
    assert [row[0] for row in rows] == ["models/eager", "models/other"]
    assert rows[0][1:] == rows[1][1:]
    assert "standard deviation 0.000" in page


@pytest.fixture
def again(competed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs in a copy of the folder where the competition was held."""
    shutil.copytree(competed, tmp_path / "again")
    monkeypatch.chdir(tmp_path / "again")


@pytest.mark.usefixtures("again")
def test_a_second_time_nothing_is_run(monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    monkeypatch.setattr(runs, "carry_out", None)
    monkeypatch.setattr(Stage, "totals", None)
    assert main(SMALL) == 0
    assert Path("docs/competition.md").read_text(encoding="utf-8") == page


@pytest.mark.usefixtures("again")
def test_in_another_world_all_is_run_again(monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    before = {path.name for path in Path("runs").iterdir()}
    monkeypatch.setattr(runs, "world_identity", lambda *, tuned: "another")
    assert main(SMALL) == 0
    after = {path.name for path in Path("runs").iterdir()}
    assert before < after
    assert len(after) == 2 * len(before)
    assert Path("docs/competition.md").read_text(encoding="utf-8") == page


@pytest.mark.usefixtures("again")
def test_a_damaged_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    broken = next(Path("runs").iterdir())
    broken.write_text("{", encoding="utf-8")
    assert main(SMALL) == 2
    assert f"{broken} is damaged: delete it to run it again" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ENGINES)
def test_who_plays_and_how_many_at_once_does_not_change_the_page(
    engine: str, competed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    shutil.copytree(competed / "models", tmp_path / "models")
    for name in ("busy.csv", "calm.csv"):
        shutil.copy(competed / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "--part", "home", "--jobs", "2", "--engine", engine]) == 0
    alone = Path("docs/competition.md").read_text(encoding="utf-8")
    assert "## Elsewhere" not in alone
    assert table(alone, "Every scenario") == table(page, "Every scenario")
    assert table(alone, "The dial") == table(page, "The dial")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "grace-period"], "'grace-period' is not the folder of a frozen policy"),
        (["--policy", "models/none"], "unknown policy 'models/none'"),
        (["--rival", "grace-perid"], "unknown policy 'grace-perid': did you mean 'grace-period'?"),
        (["--scenario", "nowhere"], "unknown scenario 'nowhere'"),
        (["--preference", "1"], "preference 1.0 is outside [0.1, 0.9]"),
        (["--part", "all"], "invalid choice: 'all'"),
        (["--seeds", "0"], "'0' is not a whole number of 1 or more"),
        (["--output", "busy.csv"], "cannot write to busy.csv: it is not a folder"),
        (["--runs", "busy.csv"], "cannot keep runs in busy.csv"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    competed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(competed)
    monkeypatch.setattr(compete, "carry_out", None)
    assert main(["--policy", "models/eager", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
