"""Whether this machine can transcode at all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.media.failure import ending
from deploy.media.ffmpeg import ENCODER, Steps, find_ffmpeg, last_words, local_file
from deploy.media.progress import read_progress
from deploy.media.wholeness import BadOutputError, checking_output

_SIDE: Final = 64
_FRAMES: Final = 3


def testing_ffmpeg(folder: Path) -> Steps[str | None]:
    """Encode a film of a few grey frames and look whether it is whole.

    Args:
        folder: for its files; what is wrong with it is told, too.

    Returns:
        What does not work; none if all does.
    """
    source, target = folder / "selftest.yuv", folder / "selftest.mp4"
    try:
        try:
            source.write_bytes(bytes([128]) * (_SIDE * _SIDE * 3 // 2 * _FRAMES))
        except OSError as error:
            return f"the work folder: {error.strerror}"
        ran = yield [
            *(str(find_ffmpeg()), "-nostdin", "-hide_banner", "-nostats", "-y"),
            *("-loglevel", "error", "-progress", "pipe:1"),
            *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{_SIDE}x{_SIDE}", "-r", "24"),
            *("-i", local_file(source), "-c:v", ENCODER, "-preset", "ultrafast"),
            *("-x265-params", "pools=1:frame-threads=1:log-level=error"),
            *("-f", "mp4", "-movflags", "+faststart", local_file(target)),
        ]
        if ran.code != 0:
            return f"{ending(ran)}: {last_words(ran.errors, hide=[folder]) or 'no reason given'}"
        yield from checking_output(target, read_progress(ran.output))
    except BadOutputError as error:
        return str(error)
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
    return None
