"""Whose a failure is, by the words of ffmpeg and of the worker: where nobody says it otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from deploy.tasks import Fault, TaskError

_HANDED_BACK: Final = re.compile(r"\s*handed back\b", re.IGNORECASE)
"""How our own workers say it that know of no faults yet."""

_OF_WORKER: Final = re.compile(
    r"no space left|disk quota exceeded|disk full|read-only file system|input/output error"
    r"|too many open files|resource temporarily unavailable|permission denied"
    r"|error while loading shared libraries|unknown encoder|encoder not found"
    r"|error writing trailer|the worker's disk|in the worker:|cannot start ffmpeg"
    r"|ffmpeg: (?:command )?not found|exec format error|illegal instruction",
    re.IGNORECASE,
)
_OF_EITHER: Final = re.compile(
    r"cannot allocate memory|out[ -]of[ -]memory|\boom\b|bad_alloc|was killed|memory too small",
    re.IGNORECASE,
)
"""A video that needs more memory than any worker has, or a worker that has too little."""
_OF_INPUT: Final = re.compile(
    r"invalid data found|moov atom not found|not a video|no video|no picture|without a picture"
    r"|does not contain any stream|matches no streams|could not find codec parameters"
    r"|unsupported codec|the input (?:breaks off|is)",
    re.IGNORECASE,
)


def whose(error: TaskError, message: str, told: Fault, names: Iterable[str] = ()) -> Fault:
    """Whose a failure is, as far as the worker and its words tell.

    A worker in trouble says things about its input, too, since what it has of it may be broken: so
    words of trouble go before what it takes for the reason. A storage error that is not the
    worker's own remains unknown: the controller looks at the storage itself.

    Args:
        error: what failed.
        message: the worker's words.
        told: whose fault the worker takes it for.
        names: of the job's videos: a client has chosen them, and they are no words of the worker.
    """
    for name in names:
        message = message.replace(name, "")
    if told in (Fault.NONE, Fault.STORAGE):
        return told
    if _OF_EITHER.search(message):
        return Fault.UNKNOWN if error is TaskError.TRANSCODING_FAILED else Fault.WORKER
    if _OF_WORKER.search(message):
        return Fault.WORKER
    if told is not Fault.UNKNOWN:
        return told
    if _HANDED_BACK.match(message):
        return Fault.NONE
    if error is TaskError.TRANSCODING_FAILED and _OF_INPUT.search(message):
        return Fault.JOB
    return Fault.UNKNOWN
