"""The names of videos: they come from clients and become keys of the storage."""

from __future__ import annotations

import unicodedata
from typing import Final

from env.errors import DaCircoError

OUTPUT_PREFIX: Final = "out-"
"""What the REST front end puts before the input's name."""
MAX_NAME_BYTES: Final = 200
"""In UTF-8. A file system takes 255; the rest is for prefixes."""
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class VideoNameError(DaCircoError):
    """A name that could leave the video's folder, or that people cannot read."""


def check_video_name(name: str) -> str:
    """The name, if it can be the name of a video to transcode.

    Raises:
        VideoNameError: tells what is wrong with it.
    """
    return _check("the name of a video", name, MAX_NAME_BYTES)


def check_output_name(name: str) -> str:
    """The name, if it can be the name of a transcoded video: longer by its prefix.

    Raises:
        VideoNameError: tells what is wrong with it.
    """
    return _check("the name of an output video", name, MAX_NAME_BYTES + len(OUTPUT_PREFIX))


def output_name(video: str) -> str:
    """What the transcoded form of a video is called."""
    return OUTPUT_PREFIX + video


def _check(what: str, name: str, limit: int) -> str:
    wrong = _fault(name, limit)
    if wrong is not None:
        raise VideoNameError(f"{what} {name[:80]!a} {wrong}")
    return name


def _fault(name: str, limit: int) -> str | None:
    if not name:
        return "is empty"
    if "/" in name or "\\" in name:
        return "has a slash or a backslash: give the name alone, without a folder"
    if name.startswith("."):
        return "begins with a dot"
    if any(unicodedata.category(letter) in _UNPRINTABLE for letter in name):
        return "has a control character or one that cannot be shown"
    # A lone surrogate cannot be encoded; it was refused above.
    if len(name.encode()) > limit:
        return f"is longer than {limit} bytes"
    if not unicodedata.is_normalized("NFC", name):
        return "is not in Unicode's normal form C: two spellings would be two videos"
    return None
