"""``python -m training.evaluate``, as a person runs it."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.frozen import CARD_FILE, NETWORK_FILE
from agents.registry import NAIVE, policy_names, tunable_names
from tests.training.evaluation_world import ROOT, ROWS, run_module, write_frozen, write_rows
from training.evaluate import main
from training.evaluation.summary import MEANS
from training.rollouts.play import ENGINES

KEYS = shlex.split(
    "policy scenario preference seed jobs delay_mean_s delay_p95_s cpu_reserved_mean "
    "cpu_reserved_p95 cpu_used_mean cpu_used_p95 ram_reserved_mean ram_reserved_p95 "
    "ram_used_mean ram_used_p95 jobs_per_hour boots failed cost_per_job"
)
FRACTIONS = [key for key in KEYS if key.startswith(("cpu_", "ram_"))]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_module("training.evaluate", *arguments, cwd=cwd)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two scenarios and no ``models``."""
    write_rows(tmp_path / "busy.csv")
    write_rows(tmp_path / "calm.csv", ROWS[3:])
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- what it brings -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the command ran with most of its options."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_rows(folder / "busy.csv")
    write_rows(folder / "calm.csv", ROWS[3:])
    write_frozen(folder / "models" / "eager")
    done = run(
        *shlex.split(
            "--scenario busy.csv --scenario calm.csv --policy models/eager --policy "
            "grace-period --policy reserve-k:spares=2 --preference 0.9 --preference 0.1 "
            "--seeds 2 --jobs 1 --json runs.json --report out/report"
        ),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout, encoding="utf-8")
    return folder


def test_the_json_holds_every_run(evaluated: Path) -> None:
    document = json.loads((evaluated / "runs.json").read_text(encoding="utf-8"))
    assert set(document) == {"results", "summary"}
    results = document["results"]
    assert {(r["policy"], r["scenario"], r["preference"], r["seed"]) for r in results} == {
        (policy, scenario, preference, seed)
        for policy in ("models/eager", "grace-period", "reserve-k:spares=2")
        for scenario in ("busy", "calm")
        for preference in (0.9, 0.1)
        for seed in (0, 1)
    }
    assert len(results) == 24
    for result in results:
        assert list(result)[:4] == KEYS[:4]
        assert not set(KEYS) - set(result)
        assert all(0 <= result[key] <= 1 for key in FRACTIONS)
        assert result["jobs"] == (6 if result["scenario"] == "busy" else 3)
        assert [node["node"] for node in result["nodes"]] == ["compute1", "compute2", "compute3"]


def test_the_json_summary_agrees_with_the_runs(evaluated: Path) -> None:
    document = json.loads((evaluated / "runs.json").read_text(encoding="utf-8"))
    results, summary = document["results"], document["summary"]
    assert summary["baseline"] == "grace-period"
    assert summary["focus"] == "models/eager"
    assert (summary["preferences"], summary["seeds"]) == ([0.9, 0.1], [0, 1])
    costs = {
        (r["policy"], r["scenario"], r["preference"], r["seed"]): r["cost_per_job"] for r in results
    }
    for row in summary["policies"]:
        product = 1.0
        for (policy, *which), cost in costs.items():
            if policy == row["policy"]:
                product *= cost / costs["grace-period", *which]
        assert row["cost_ratio"] == pytest.approx(product ** (1 / 8))
        assert row["cost_ratio_low"] <= row["cost_ratio"] * (1 + 1e-12)
        assert row["cost_ratio_high"] >= row["cost_ratio"] * (1 - 1e-12)
        assert not set(MEANS) - set(row)
    ranks = [row["cost_ratio"] for row in summary["policies"]]
    assert ranks == sorted(ranks)
    assert len(summary["by_preference"]) == 6
    assert len(summary["by_scenario"]) == 12
    assert {row["policy"] for row in summary["focus_against"]} == {
        "grace-period",
        "reserve-k:spares=2",
    }


def test_the_leaderboard_is_printed(evaluated: Path) -> None:
    text = (evaluated / "stdout.txt").read_text(encoding="utf-8")
    for words in ("models/eager", "grace-period", "reserve-k:spares=2", "95 %", "runs: runs.json"):
        assert words in text


def test_the_page_needs_no_other_file_and_no_network(evaluated: Path) -> None:
    page = (evaluated / "out" / "report" / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) >= 8
    for source in sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG\r\n")
    text = re.sub(r'src="[^"]*"', "", page)
    for forbidden in ("http:", "https:", "//cdn", "<script", "<link", "@import", "url(", "href="):
        assert forbidden not in text
    for words in ("Leaderboard", "By preference", "Timelines", "Delays", "Revision", "Machine"):
        assert words in text
    assert "--preference 0.9 --preference 0.1 --seeds 2" in text


def test_the_markdown_says_the_same_with_pictures_that_are_there(evaluated: Path) -> None:
    folder = evaluated / "out" / "report"
    text = (folder / "report.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)
    assert len(pictures) >= 8
    assert set(pictures) == {path.name for path in folder.glob("*.png")}
    assert {path.name for path in folder.iterdir()} == {*pictures, "report.md", "index.html"}
    for words in ("## Leaderboard", "## By preference", "**models/eager**", "python -m training"):
        assert words in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert tables
    assert all(line.endswith("|") for line in tables)


def test_a_second_report_replaces_the_first_and_leaves_other_files(here: Path) -> None:
    folder = here / "report"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep", encoding="utf-8")
    command = shlex.split("--scenario busy.csv --policy grace-period --seeds 1 --report report")
    assert main(command) == 0
    first = (folder / "report.md").read_text(encoding="utf-8")
    assert main([*command, "--policy", "reserve-k"]) == 0
    assert (folder / "report.md").read_text(encoding="utf-8") != first
    assert (folder / "mine.txt").read_text(encoding="utf-8") == "keep"
    assert not list(folder.glob(".*"))


def test_hostile_names_do_not_break_the_report(here: Path) -> None:
    name = "a|<b>&'[x](y).csv"
    write_rows(here / name)
    arguments = ["--scenario", name, "--policy", "grace-period", "--policy", "reserve-k"]
    assert main([*arguments, "--report", "r"]) == 0
    page = (here / "r" / "index.html").read_text(encoding="utf-8")
    assert "<b>&" not in page
    assert "&lt;b&gt;" in page
    assert "a\\|<b>" in (here / "r" / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_same_command_gives_the_same_bytes(here: Path) -> None:
    documents = []
    for number, jobs in enumerate(("1", "1", "2")):
        done = run(
            *shlex.split("--scenario busy.csv --policy reserve-k --policy grace-period --seeds 2"),
            *("--jobs", jobs, "--json", f"{number}.json"),
            cwd=here,
        )
        assert done.returncode == 0, done.stderr
        documents.append((here / f"{number}.json").read_bytes())
    assert documents[0] == documents[1] == documents[2]


def test_where_no_policy_is_shipped_every_rule_takes_part(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.shipped._PLACES", ())
    assert main(["--scenario", "busy.csv", "--seeds", "1", "--json", "x.json"]) == 0
    results = json.loads((here / "x.json").read_text(encoding="utf-8"))["results"]
    tuned = [f"tuned:{rule}" for rule in tunable_names()]
    assert [result["policy"] for result in results] == [*tuned, *NAIVE]
    assert "tuned:adaptive-flavor" in capsys.readouterr().out
    assert main(["--scenario", "busy.csv", "--untuned", "--seeds", "1", "--json", "x.json"]) == 0
    results = json.loads((here / "x.json").read_text(encoding="utf-8"))["results"]
    assert [result["policy"] for result in results] == policy_names()


def test_a_run_in_which_no_job_is_done_has_nulls(here: Path) -> None:
    # Every transcode fails: there are no delays to average.
    profile = (ROOT / "env" / "profiles" / "openstack.toml").read_text(encoding="utf-8")
    text = re.sub(r"(?ms)^\[faults\].*?(?=^\[|\Z)", "", profile)
    (here / "bad.toml").write_text(text + "\n[faults]\ntranscode_error = 1.0\n", encoding="utf-8")
    arguments = "--scenario busy.csv --policy grace-period --policy reserve-k --profile bad.toml"
    assert main([*arguments.split(), "--json", "x.json", "--report", "r"]) == 0
    result = json.loads((here / "x.json").read_text(encoding="utf-8"))["results"][0]
    assert result["delay_mean_s"] is result["delay_p95_s"] is None
    assert (result["failed"], result["jobs"]) == (6, 6)


def test_help_names_every_option(here: Path) -> None:
    done = run("--help", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    for option in shlex.split(
        "--scenario --policy --preference --seeds --profile --catalog --baseline --json "
        "--report --jobs"
    ):
        assert option in done.stdout


# -- what it refuses ----------------------------------------------------------------------

GOOD = ["--scenario", "busy.csv", "--policy", "grace-period", "--seeds", "1"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command line is refused; nothing must have been written."""
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert main([*GOOD, "--json", "never.json", "--report", "never", *arguments]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.count("\n") == 1
    assert seen.err.startswith("python -m training.evaluate: ")
    assert sorted(Path().rglob("*")) == before
    return seen.err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "grace-perod"], "unknown policy 'grace-perod': did you mean 'grace-period'?"),
        (["--policy", "models/none"], "unknown policy 'models/none'"),
        (["--policy", "grace-period:max_idle=3"], "did you mean 'max_idle_time'?"),
        (["--policy", "grace-period:max_idle_time=-3"], "max_idle_time"),
        (["--policy", ""], "has no name"),
        (["--baseline", "grace"], "unknown policy 'grace'"),
        (["--scenario", "poisson-hal"], "did you mean 'poisson-half'?"),
        (["--scenario", "tset"], "did you mean 'test'?"),
        (["--scenario", "none.csv"], "cannot read none.csv"),
        (["--scenario", "."], "cannot read ."),
        (["--profile", "openstak"], "unknown profile 'openstak': did you mean 'openstack'?"),
        (["--profile", "none.toml"], "'none.toml' does not exist"),
        (["--catalog", "bb"], "unknown catalog 'bb': did you mean 'bbb'?"),
        (["--preference", "0.05"], "preference 0.05 is outside [0.1, 0.9]"),
        (["--preference", "0.91"], "preference 0.91 is outside [0.1, 0.9]"),
        (["--preference", "nan"], "preference nan is outside [0.1, 0.9]"),
        (["--preference", "lean"], "--preference: invalid float value: 'lean'"),
        (["--seeds", "0"], "--seeds: '0' is not a whole number of 1 or more"),
        (["--seeds", "1.5"], "--seeds: '1.5' is not a whole number of 1 or more"),
        (["--jobs", "-1"], "--jobs: '-1' is not a whole number of 1 or more"),
        (["--json", "missing/x.json"], "the folder missing does not exist"),
        (["--json", "."], "it is a folder"),
        (["--report", "busy.csv"], "is not a folder"),
        (["--report", "busy.csv/deeper"], "is not a folder"),
        (["--colour"], "unrecognized arguments: --colour"),
        (["--policy"], "expected one argument"),
    ],
)
def test_bad_options_are_named_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert words in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("x,bbb_1.mp4,800,fast", "delay 'x'"),
        ("-1,bbb_1.mp4,800,fast", "delay '-1'"),
        ("1,bbb_77.mp4,800,fast", "unknown movie 'bbb_77.mp4'"),
        ("1,bbb_1.mp4,499,fast", "bitrate '499'"),
        ("1,bbb_1.mp4,8001,fast", "bitrate '8001'"),
        ("1,bbb_1.mp4,many,fast", "bitrate 'many'"),
        ("1,bbb_1.mp4,800,slow", "speed 'slow'"),
    ],
)
def test_a_bad_row_is_named_with_its_line(
    here: Path, capsys: pytest.CaptureFixture[str], row: str, words: str
) -> None:
    write_rows(here / "bad.csv", (*ROWS[:3], row, ROWS[4]))
    message = refused(capsys, "--scenario", "bad.csv")
    assert "bad.csv, line 5: " in message
    assert words in message


@pytest.mark.parametrize("content", ["", "# nothing\n", "a,b\n"])
def test_an_empty_scenario_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (here / "empty.csv").write_text(content, encoding="utf-8")
    assert "empty.csv: no request" in refused(capsys, "--scenario", "empty.csv")


def test_a_corrupt_network_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_frozen(here / "models" / "mine")
    (folder / NETWORK_FILE).write_bytes(b"not a network")
    message = refused(capsys, "--policy", "models/mine")
    assert "models/mine/policy.onnx is corrupt or was changed" in message


def test_a_policy_for_another_observation_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_frozen(here / "models" / "mine")
    card: dict[str, Any] = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    card["schema"]["sha256"] = "0" * 64
    (folder / CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    message = refused(capsys, "--policy", "models/mine")
    assert "models/mine: its observation schema 000000000000..." in message


def test_a_shipped_policy_that_is_broken_is_refused_and_not_passed_over(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (write_frozen(here / "models" / "dacirco") / NETWORK_FILE).unlink()
    assert main(["--scenario", "busy.csv"]) == 2
    assert "policy.onnx is missing" in capsys.readouterr().err


def test_a_refusal_from_the_shell(here: Path) -> None:
    done = run(*GOOD, "--policy", "hap", "--json", "x.json", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "python -m training.evaluate: unknown policy 'hap': did you mean 'hpa'?\n"
    assert not (here / "x.json").exists()


def test_a_report_that_cannot_be_written_is_refused_after_the_runs_were_saved(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    assert main([*GOOD, "--json", "x.json", "--report", "r"]) == 2
    assert "cannot write the report to r: No space left on device" in capsys.readouterr().err
    assert json.loads((here / "x.json").read_text(encoding="utf-8"))["results"]
    assert list((here / "r").iterdir()) == []


INTERRUPTED = """
import os, signal, sys
from training import evaluate

run_plan, runs = evaluate.run_plan, []

def interrupted(plan, *, on_run, **options):
    def told():
        on_run()
        runs.append(1)
        if len(runs) == 5:
            os.kill(os.getpid(), signal.SIGINT)
    return run_plan(plan, on_run=told, **options)

evaluate.run_plan = interrupted
sys.exit(evaluate.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_it_with_nothing_written(here: Path, jobs: str, engine: str) -> None:
    options = ["--seeds", "99", "--jobs", jobs, "--engine", engine, "--json", "x.json"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *options],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1] == "python -m training.evaluate: interrupted"
    assert "Traceback" not in done.stderr
    assert not (here / "x.json").exists()
