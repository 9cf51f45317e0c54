"""The names of videos and results: they come from clients and become keys of the storage."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import quote

from env.errors import DaCircoError

OUTPUT_PREFIX: Final = "out-"
"""What the REST front end puts before the input's name."""
MAX_NAME_BYTES: Final = 200
"""In UTF-8. A file system takes 255; the rest is for prefixes."""
RESULTS_PREFIX: Final = "job-results"
"""Where each job's own result stays in the storage, under its id."""
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_PLAIN: Final = re.compile(r"[A-Za-z0-9 ._-]", re.ASCII)
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class VideoNameError(DaCircoError):
    """A name that could leave the video's folder, or that people cannot read."""


class JobIdError(DaCircoError):
    """A job's id that cannot be part of a storage key."""


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


def attachment(name: str) -> str:
    """A Content-Disposition under which a browser saves a file with this name (RFC 6266).

    Whatever is in the name, the header has one line of ASCII and one parameter more.
    """
    plain = "".join(letter if _PLAIN.fullmatch(letter) else "_" for letter in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def is_safe_job_id(job_id: str) -> bool:
    """Whether a job's id can be part of a storage key: our own ids can, others' may not."""
    return _SAFE_ID.fullmatch(job_id) is not None


def result_key(job_id: str, output_name: str) -> str:
    """Where a job's own result is in the storage, beside those of other jobs for the same video.

    Args:
        job_id: not trusted.
        output_name: as for `check_output_name`; not trusted.

    Raises:
        JobIdError: the id could lead to another key.
        VideoNameError: the name could.
    """
    if not is_safe_job_id(job_id):
        raise JobIdError(
            f"job id {job_id[:80]!a} cannot be part of a storage key: it must be up to 100 "
            "letters, digits, dots, hyphens and underscores, and begin with a letter or digit"
        )
    return f"{RESULTS_PREFIX}/{job_id}/{check_output_name(output_name)}"


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
