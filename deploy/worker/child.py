"""A program that the worker runs: without secrets in its environment, and dead when we are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

from deploy.launcher import bound_to_us

_KEPT: Final = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ"})
_TAG_PREFIX: Final = "DACIRCO_"
"""A manager finds the processes of its workers by such variables."""
_STDERR_BYTES: Final = 16 * 1024
_CHUNK: Final = 4096


class StalledError(RuntimeError):
    """The program did nothing for too long and was ended."""


async def run_child(
    command: Sequence[str], on_line: Callable[[str], bool], *, stall_timeout_s: float
) -> tuple[int, str]:
    """Run a program to its end; it is killed where this is cancelled.

    Args:
        command: program and arguments.
        on_line: gets each line of its standard output, and tells whether it shows progress.
        stall_timeout_s: how long it may go on without, seconds.

    Returns:
        Its exit code, negative for a signal, and the end of its standard error.

    Raises:
        StalledError: no progress for `stall_timeout_s`.
    """
    process = await asyncio.create_subprocess_exec(
        *bound_to_us(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
        # A Ctrl-C in our terminal is ours to answer.
        process_group=0,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    stderr = asyncio.create_task(_tail(process.stderr))
    try:
        await _watch(process.stdout, on_line, stall_timeout_s)
        code = await process.wait()
        return code, (await stderr).decode(errors="replace")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        stderr.cancel()


async def _watch(
    stdout: asyncio.StreamReader, on_line: Callable[[str], bool], stall_timeout_s: float
) -> None:
    loop = asyncio.get_running_loop()
    last = loop.time()
    try:
        while True:
            async with asyncio.timeout_at(last + stall_timeout_s):
                line = await stdout.readline()
            if not line:
                return
            if on_line(line.decode(errors="replace").strip()):
                last = loop.time()
    except TimeoutError:
        raise StalledError(f"no progress for {stall_timeout_s:g} s") from None


async def _tail(stream: asyncio.StreamReader) -> bytes:
    tail = b""
    while chunk := await stream.read(_CHUNK):
        tail = (tail + chunk)[-_STDERR_BYTES:]
    return tail


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or (name.startswith(_TAG_PREFIX) and "KEY" not in name)
    }
