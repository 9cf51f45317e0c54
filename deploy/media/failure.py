"""Whose failure it is when ffmpeg ends badly: the video's, or the machine's that it runs on."""

from __future__ import annotations

import re
import signal
from enum import Enum
from typing import Final

from deploy.media.ffmpeg import ENCODER, Ran

_MACHINE: Final = re.compile(
    "|".join(
        (
            "No space left on device",
            "Error writing trailer",
            "Disk quota exceeded",
            "File too large",
            "Read-only file system",
            "Permission denied",
            "Too many open files",
            "Cannot allocate memory",
            "Resource temporarily unavailable",
            "error while loading shared libraries",
            "symbol lookup error",
            "Exec format error",
            "Illegal instruction",
            f"Unknown encoder '{ENCODER}'",
            "Unrecognized option",
            "Option not found",
        )
    ),
    re.IGNORECASE,
)
_NOT_STARTED: Final = frozenset({126, 127})
_FROM_OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGXFSZ})
_CRASHES: Final = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE})


class Culprit(Enum):
    """Whose failure it is."""

    MACHINE = "machine"
    VIDEO = "video"
    UNCLEAR = "unclear"
    """The video's if ffmpeg works with another one."""


def culprit(ran: Ran) -> Culprit:
    """Judge by ffmpeg's exit code and by the words of the system."""
    if ran.code in _NOT_STARTED or -ran.code in _FROM_OUTSIDE or -ran.code == signal.SIGILL:
        return Culprit.MACHINE
    if blames_machine(ran.errors):
        return Culprit.MACHINE
    return Culprit.UNCLEAR


def blames_machine(words: str) -> bool:
    """Whether ffmpeg's words tell of its machine: a full disk, a missing encoder, no memory."""
    return _MACHINE.search(words) is not None


def ending(ran: Ran) -> str:
    """How ffmpeg ended, in words."""
    if ran.code >= 0:
        return f"ffmpeg failed with code {ran.code}"
    if -ran.code == signal.SIGKILL:
        return "ffmpeg was killed: is the worker's memory too small?"
    try:
        name = signal.Signals(-ran.code).name
    except ValueError:
        name = str(-ran.code)
    return f"ffmpeg {'crashed' if -ran.code in _CRASHES else 'was ended'} by {name}"
