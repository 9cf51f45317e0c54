"""Whether all of a film was read, and whether what was written can be played to its end.

ffmpeg ends well at the end of what it can read, and some versions end well when the disk fills
while they write the end of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

from deploy.media.ffmpeg import (
    SAFE_INPUT,
    BadVideoError,
    Ran,
    Steps,
    find_ffmpeg,
    last_words,
    local_file,
)
from deploy.media.probe import Probe, probing
from deploy.media.progress import Progress, read_progress
from env.errors import DaCircoError

_MISSING_SHARE: Final = 0.02
_MISSING_S: Final = 0.5
_MISSING_FRAMES: Final = 3
"""So much of the end may be missing: containers round, and streams differ in length."""
_DECLARING: Final = frozenset({"mov", "matroska", "avi", "flv", "asf", "mxf"})
"""Containers that tell how long they should be. Of others ffmpeg tells how long they are."""
_LEAST_BYTES: Final = 500
"""Of a result: the head of an mp4 alone has more."""
_SHORT_S: Final = 4.0
_END_S: Final = 1.0


class BadOutputError(DaCircoError):
    """What ffmpeg wrote is not the film that it should be."""


def missing_of_input(source: Path, found: Probe, progress: Progress) -> Steps[str | None]:
    """Look whether an input breaks off.

    It goes by the timestamps that the file covers: a clock that begins late is no gap, and a film
    that ends before its subtitles do is whole.

    Args:
        source: the input.
        found: what it holds.
        progress: of its transcode.

    Returns:
        What is missing, in words; none if nothing is.
    """
    duration = found.duration_s
    if not duration or _DECLARING.isdisjoint(found.container.split(",")):
        return None
    # Some muxers write when the film ends, others how long it is. A film cannot end before it
    # begins, so where the clock begins later than that it is the length.
    begin = found.start_s or 0.0
    if not 0 < begin <= duration:
        begin = 0.0
    enough = duration - _tolerance(duration, found)
    if begin + progress.done_s >= enough:
        return None
    ran = yield _all_packets_command(source)
    if max(_last_end(ran.output), begin + _last_end(ran.output)) >= enough:
        return None
    return f"the input breaks off: {progress.done_s:.1f} s of {duration:.1f} s can be read"


def checking_output(path: Path, written: Progress) -> Steps[None]:
    """See to it that a result is one: opens, is HEVC, has every picture, plays at both ends.

    Args:
        path: the result.
        written: what ffmpeg told when it wrote it.

    Raises:
        BadOutputError: tells what is wrong.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BadOutputError(f"the result cannot be read: {error.strerror}") from error
    if size < _LEAST_BYTES:
        raise BadOutputError(f"the result has only {size} bytes")
    try:
        found = yield from probing(path)
    except BadVideoError as error:
        raise BadOutputError(f"the result is {error}") from error
    if found.video != "hevc":
        raise BadOutputError(f"the result's picture is {found.video or 'missing'} and not hevc")
    length = found.duration_s or 0.0
    if length < written.done_s - _tolerance(written.done_s, found):
        raise BadOutputError(f"the result has {length:.1f} s of {written.done_s:.1f} s")
    enough = max(1, int(written.frames * (1 - _MISSING_SHARE)))
    if length <= _SHORT_S:
        ran = yield _play_command(path)
        _check_played("to its end", ran, path, enough)
        return
    # All the pictures are read, and those at both ends are decoded, too.
    ran = yield _play_command(path, "-c", "copy")
    _check_played("to its end", ran, path, enough)
    near_end = f"{read_progress(ran.output).done_s - _END_S:.3f}"
    for where, part in (
        ("at its beginning", ["-t", str(_END_S)]),
        ("near its end", ["-ss", near_end]),
    ):
        ran = yield _play_command(path, part=part)
        _check_played(where, ran, path, 1)


def _tolerance(duration_s: float, found: Probe) -> float:
    rate = None if found.picture is None else found.picture.frame_rate
    frames_s = _MISSING_FRAMES / rate if rate else 0.0
    return max(_MISSING_S, frames_s, _MISSING_SHARE * duration_s)


def _check_played(where: str, ran: Ran, path: Path, enough: int) -> None:
    frames = read_progress(ran.output).frames
    if ran.code == 0 and not ran.errors.strip() and frames >= enough:
        return
    words = last_words(ran.errors, hide=[path.parent]) or f"{frames} of {enough} pictures"
    raise BadOutputError(f"the result cannot be played {where}: {words}")


def _play_command(path: Path, *how: str, part: Sequence[str] = ()) -> list[str]:
    return [
        *(str(find_ffmpeg()), "-nostdin", "-hide_banner", "-nostats", "-loglevel", "error"),
        *("-progress", "pipe:1", *SAFE_INPUT, *part, "-i", local_file(path)),
        *("-map", "0:v:0", *how, "-f", "null", "-"),
    ]


def _all_packets_command(path: Path) -> list[str]:
    return [
        *(str(find_ffmpeg()), "-nostdin", "-hide_banner", "-nostats", "-loglevel", "error"),
        *(*SAFE_INPUT, "-i", local_file(path)),
        *("-map", "0", "-ignore_unknown", "-c", "copy", "-f", "framecrc", "pipe:1"),
    ]


def _last_end(output: str) -> float:
    """The end of the last packet of any stream, in seconds from the first one's beginning."""
    clocks = {
        int(number): Fraction(int(top), int(bottom))
        for number, top, bottom in re.findall(r"^#tb (\d+): (\d+)/([1-9]\d*)", output, re.M)
    }
    packets = re.findall(r"^(\d+), *-?\d+, *(-?\d+), *(\d+),", output, re.MULTILINE)
    ends = (
        float((int(pts) + int(length)) * clocks[int(number)])
        for number, pts, length in packets
        if int(number) in clocks
    )
    return max(ends, default=0.0)
