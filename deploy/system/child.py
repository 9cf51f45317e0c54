"""A program of ours in a process of its own, for work that must not hold up the event loop."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from env.errors import DaCircoError


async def json_of_child(module: str, *words: str) -> dict[str, Any]:
    """What ``python -m MODULE WORDS`` prints, a JSON object; cancelling ends the process.

    Raises:
        DaCircoError: it failed; the message is the last line of its errors.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, error = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        lines = error.decode(errors="replace").splitlines()
        raise DaCircoError(lines[-1] if lines else f"it ended with code {process.returncode}")
    found: dict[str, Any] = json.loads(out)
    return found
