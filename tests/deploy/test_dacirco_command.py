import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy.dacirco import PROGRAMS, main
from env.command import BAD_INPUT

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_gets_its_own_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: ")
    assert "programs (dacirco PROGRAM" not in shown


def test_an_unknown_program_is_named_and_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == BAD_INPUT
    assert "'fly'" in capsys.readouterr().err


def test_the_program_gives_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "--input-video", "a.mp4", "--bitrate", "fast"]) != 0
    assert "'fast' is not a whole number" in capsys.readouterr().err


def test_every_installed_command_is_a_program_too() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts.pop("dacirco") == "deploy.dacirco:main"
    modules = {program.module for program in PROGRAMS.values()}
    assert {target.partition(":")[0] for target in scripts.values()} <= modules


def test_help_loads_no_program() -> None:
    look = (
        "import sys; from deploy.dacirco import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'grpc', 'fastapi', 'onnxruntime', 'requests'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "submit one job" in done.stdout
