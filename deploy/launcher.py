"""Starts a program that ends with its parent, even if the parent is killed. Linux only.

Run as a script, with nothing of ours imported: ``launcher.py PARENT_PID PROGRAM ARGUMENTS...``.
It is a process of its own because Python code between fork and exec is not safe in a parent with
threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; it survives the exec
NOT_STARTED = 127
"""Exit code where the program is missing or cannot be run; a shell has the same."""
_MORE_LIKELY = "500"  # of -1000 to 1000: when memory runs out, end this and not the worker


def bound_to_us(command: Sequence[str]) -> list[str]:
    """The command that runs `command` as a child that ends with us.

    More precisely, with the thread that starts it.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main() -> None:
    """Become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit("the end of the parent cannot be watched")
    if os.getppid() != parent:
        sys.exit("the parent has ended already")
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_MORE_LIKELY, encoding="ascii")
    try:
        os.execv(program[0], program)
    except OSError as error:
        print(f"{program[0]} cannot be started: {error.strerror}", file=sys.stderr)
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
