"""What the commands share."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

import pytest

from env.command import (
    CommandParser,
    UsageError,
    port_number,
    positive_seconds,
    run_command,
    whole_number,
)
from env.errors import DaCircoError
from training.revision import git_revision


def test_work_that_is_done_is_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("it", lambda: print("done")) == 0
    assert capsys.readouterr() == ("done\n", "")


def test_bad_input_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise DaCircoError("no such\nthing:\n  give another")

    assert run_command("it", refuse) == 2
    assert capsys.readouterr() == ("", "it: no such thing: give another\n")


def test_ctrl_c_is_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    assert run_command("it", interrupt) == 130
    assert capsys.readouterr() == ("", "it: interrupted\n")


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command("it", lambda: 1 / 0)


def test_a_wrong_command_line_is_bad_input() -> None:
    parser = CommandParser(prog="it")
    parser.add_argument("--n", type=whole_number)
    assert parser.parse_args(["--n", "12"]).n == 12
    for arguments in (["--n", "0"], ["--n", "-4"], ["--n", "2.0"], ["--n"], ["--m"], ["x"]):
        with pytest.raises(UsageError, match=r"\(see it --help\)$"):
            parser.parse_args(arguments)


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "", "one", "1e3"])
def test_a_whole_number(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(repr(text))):
        whole_number(text)


def test_a_port() -> None:
    assert [port_number(text) for text in ("0", "8000", "65535")] == [0, 8000, 65535]


@pytest.mark.parametrize("text", ["-1", "65536", "", "http", "80.0", "\u0663"])
def test_no_port(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(repr(text))):
        port_number(text)


def test_a_time_in_seconds() -> None:
    assert positive_seconds("0.5") == 0.5


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "", "3s"])
def test_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(repr(text))):
        positive_seconds(text)


def test_the_revision_is_a_hash_or_unknown() -> None:
    revision = git_revision()
    assert revision is None or re.fullmatch(r"[0-9a-f]{40}\+?", revision)


def test_a_reader_that_has_gone_is_no_error() -> None:
    code = (
        "import sys; from env.command import run_command; "
        "sys.exit(run_command('x', lambda: [print('y' * 9999) for _ in range(99)]))"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stdout is not None
    run.stdout.close()
    _, errors = run.communicate(timeout=60)
    assert (run.returncode, errors) == (141, b"")
