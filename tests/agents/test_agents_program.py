"""`python -m agents`, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agents.__main__ import main
from agents.registry import policy_class, policy_names

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "agents", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_lists_every_policy_with_its_parameters():
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    for name in policy_names():
        kind = policy_class(name)
        assert f"{name}  {kind.summary}" in done.stdout
        assert f"source: {kind.source}" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("factor")]
    assert line.split("  ")[0] == "factor"
    assert "idle time as a multiple of the break-even time" in line
    assert all(len(line) <= 160 for line in done.stdout.splitlines())


def test_json_says_the_same(capsys):
    assert main(["--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [policy["name"] for policy in listed] == policy_names()
    grace = listed[1]
    assert grace["discipline"] == "fcfs"
    assert grace["parameters"][-1] == {
        "name": "max_idle_time",
        "kind": "number",
        "default": 60.0,
        "optional": False,
        "minimum": 0.0,
        "maximum": 86400.0,
        "above": False,
        "choices": [],
        "unit": "s",
        "meaning": "how long an idle worker lives",
        "bounds": "0 to 86400 s",
    }


def test_shows_one_in_full(capsys):
    assert main(["hpa"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("target-utilisation  ")
    assert "aliases: target-utilization, hpa; serves: sjf" in shown
    assert "desired = ceil(workers x utilisation / target)" in shown
    assert "queue-scaling" not in shown


def test_unknown_name():
    done = run("grace")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "python -m agents: unknown policy 'grace': did you mean 'grace-period'?\n"
    )


@pytest.mark.parametrize("arguments", [["--json", "reserve-k"], ["reserve-k", "--json"]])
def test_json_of_one(arguments, capsys):
    assert main(arguments) == 0
    assert [policy["name"] for policy in json.loads(capsys.readouterr().out)] == ["reserve-k"]
