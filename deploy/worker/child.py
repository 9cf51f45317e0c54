"""A program that the worker runs: without secrets in its environment, and dead when we are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from deploy.launcher import bound_to_us
from deploy.media.ffmpeg import OUTPUT_LIMIT, Ran

_KEPT: Final = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ"})
_TAG_PREFIX: Final = "DACIRCO_"
"""A manager finds the processes of its workers by such variables."""
_STDERR_BYTES: Final = 16 * 1024
_CHUNK: Final = 64 * 1024


class StalledError(RuntimeError):
    """The program did nothing for too long and was ended."""


async def run_child(
    command: Sequence[str], on_line: Callable[[str], bool], *, stall_timeout_s: float
) -> Ran:
    """Run a program to its end and follow it; it is killed where this is cancelled.

    Args:
        command: program and arguments.
        on_line: gets each line of its standard output, and tells whether it shows progress.
        stall_timeout_s: how long it may go on without, seconds.

    Returns:
        Its exit code, and the beginning and the end of its standard error.

    Raises:
        StalledError: no progress for `stall_timeout_s`.
        OSError: it cannot be started.
    """
    async with _started(command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        stderr = asyncio.create_task(_ends(process.stderr, _STDERR_BYTES))
        try:
            await _watch(process.stdout, on_line, stall_timeout_s)
            code = await _end_of(process, stall_timeout_s)
            return Ran(code, "", await stderr)
        finally:
            stderr.cancel()


async def run_to_end(command: Sequence[str], *, timeout_s: float) -> Ran:
    """Run a program that prints what it finds; it is killed where this is cancelled.

    Args:
        command: program and arguments.
        timeout_s: how long it may take, seconds.

    Raises:
        StalledError: it takes longer.
        OSError: it cannot be started.
    """
    async with _started(command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
                output = group.create_task(_ends(process.stdout, OUTPUT_LIMIT))
                errors = group.create_task(_ends(process.stderr, OUTPUT_LIMIT))
                code = group.create_task(process.wait())
        except TimeoutError:
            raise StalledError(f"no end for {timeout_s:g} s") from None
        return Ran(code.result(), output.result(), errors.result())


@contextlib.asynccontextmanager
async def _started(command: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program; it and all that it has started are gone at the end."""
    process = await asyncio.create_subprocess_exec(
        *bound_to_us(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
        # A Ctrl-C in our terminal is ours to answer.
        process_group=0,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _end_of(process: asyncio.subprocess.Process, timeout_s: float) -> int:
    """The exit code of a program that has closed its output."""
    try:
        async with asyncio.timeout(timeout_s):
            return await process.wait()
    except TimeoutError:
        raise StalledError(f"no end for {timeout_s:g} s") from None


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


async def _ends(stream: asyncio.StreamReader, limit: int) -> str:
    """What a program writes; of more than `limit` bytes, its beginning and its end."""
    head, tail, half = bytearray(), bytearray(), limit // 2
    while chunk := await stream.read(_CHUNK):
        room = half - len(head)
        head += chunk[:room]
        tail += chunk[room:]
        del tail[:-half]
    return (head + tail).decode(errors="replace")


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or (name.startswith(_TAG_PREFIX) and "KEY" not in name)
    }
