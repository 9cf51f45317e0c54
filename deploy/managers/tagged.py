"""Finding our processes again: each carries who it belongs to in its environment.

A file with process ids can be stale, and an id may by then be another's. The environment is the
process's own, is inherited by what it starts (ffmpeg), and outlives whoever started it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable

import psutil

END_PATIENCE_S = 5.0
"""How long a killed process may take to be gone, seconds."""


def variables_of(process: psutil.Process) -> dict[str, str]:
    """A living process's environment at its start; empty for one that is gone or another user's."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return {}
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def command_line(process: psutil.Process) -> list[str]:
    """The words of a living process's command; none for one that is gone or another user's."""
    try:
        return process.cmdline()
    except (psutil.Error, OSError):
        return []


def tagged(variable: str, value: str) -> list[psutil.Process]:
    """The living processes with this variable in their environment, but for this one."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and variables_of(process).get(variable) == value
    ]


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or a zombie of somebody else that only waits to be collected."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill_all(
    find: Callable[[], Iterable[psutil.Process]], patience_s: float = END_PATIENCE_S
) -> None:
    """Kill all processes that ``find`` finds, and wait until it finds none.

    One pass is not enough: a process may start another between the search and its own end. The
    search is repeated until it finds nothing, at most for ``patience_s`` seconds (a process that
    hangs in the kernel cannot be ended; it is left then).
    """
    deadline = time.monotonic() + patience_s
    while found := list(find()):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=max(0.0, deadline - time.monotonic()))
        if time.monotonic() >= deadline:
            return
