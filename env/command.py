"""What the project's commands share: one line and exit code 2 for bad input, 130 for Ctrl-C."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from env.errors import DaCircoError

BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
"""As a shell reports a program that was ended by Ctrl-C."""
NOBODY_READS: Final = 141
"""As a shell reports a program whose reader has gone, for instance ``head``."""

MAX_PORT: Final = 65535
_MOST_TOLD: Final = 2000
"""Characters of an error: who gives a very long value need not read it again."""


class UsageError(DaCircoError):
    """The command line itself is wrong."""


class CommandParser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` instead of printing its usage and exiting.

    Words that are not UTF-8 are refused: what is told to logs, stores and other machines is text.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        for word in sys.argv[1:] if args is None else args:
            if not _is_text(word):
                self.error(f"{word[:60]!a} is not UTF-8 text")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def run_command(name: str, work: Callable[[], object]) -> int:
    """Do the work of a command and return its exit code.

    Args:
        name: of the command, for messages.
        work: raises `DaCircoError` on bad input.
    """
    try:
        work()
        sys.stdout.flush()
    except DaCircoError as error:
        told = " ".join(str(error).split())
        if len(told) > _MOST_TOLD:
            told = f"{told[: _MOST_TOLD // 2]} ... {told[-_MOST_TOLD // 2 :]}"
        print(f"{name}: {told}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # What is left in the buffer must not fail again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    return 0


def _is_text(word: str) -> bool:
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def whole_number(text: str) -> int:
    """An option's value: a whole number of 1 or more."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return number


def whole_number_or_none(text: str) -> int:
    """An option's value: a whole number of 0 or more, 0 for none."""
    return 0 if text.strip() == "0" else whole_number(text)


def port_number(text: str) -> int:
    """An option's value: a TCP port; 0 lets the system choose one to listen on."""
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 0 to {MAX_PORT}")
    return int(text)


def positive_seconds(text: str) -> float:
    """An option's value: a time above 0, in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def check_output_file(path: Path) -> None:
    """See to it that the file can be written, before the work begins.

    Raises:
        DaCircoError: it cannot.
    """
    try:
        has_parent, is_folder = path.parent.is_dir(), path.is_dir()
    except OSError as error:  # a name that is too long, for instance
        raise DaCircoError(f"cannot write {str(path)[:200]}: {error.strerror}") from None
    if not has_parent:
        raise DaCircoError(f"cannot write {path}: the folder {path.parent} does not exist")
    if is_folder:
        raise DaCircoError(f"cannot write {path}: it is a folder, give a file")
    if not os.access(path.parent, os.W_OK):
        raise DaCircoError(f"cannot write {path}: the folder {path.parent} is not writable")
