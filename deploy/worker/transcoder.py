"""One transcode: probe, run ffmpeg, and see to it that the whole video came out."""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.ffmpeg import (
    BadVideoError,
    Probe,
    check_request,
    last_words,
    parse_probe,
    probe_command,
    transcode_command,
)
from deploy.worker.child import StalledError, run_child

STALL_TIMEOUT_S: Final = 300.0
"""Without a new frame ffmpeg is taken for stuck: a job must not be."""
_PROBE_TIMEOUT_S: Final = 60.0
_LOG_STEP: Final = 0.25
_MISSING_SHARE: Final = 0.02
_MISSING_S: Final = 0.5
"""So much of the end may be missing: containers round, and streams differ in length."""

log = logging.getLogger(__name__)


class TranscodingError(RuntimeError):
    """ffmpeg failed; the message is one short line."""


@dataclass(frozen=True, slots=True)
class TranscodeRequest:
    """What is asked for.

    Attributes:
        bitrate_kbps: of the picture, kbit/s.
        speed: preset of libx265.
    """

    bitrate_kbps: int
    speed: str


class _Progress:
    """Reads ``-progress`` lines: ``key=value``, in blocks that end with ``progress=``."""

    def __init__(self, duration_s: float | None) -> None:
        self.done_s = 0.0
        self._duration_s = duration_s
        self._block: list[str] = []
        self._last_block: list[str] = []
        self._next_share = _LOG_STEP

    def line(self, line: str) -> bool:
        key, _, value = line.partition("=")
        if key in ("frame", "total_size", "out_time_us"):
            self._block.append(value)
        if key == "out_time_us" and value.lstrip("-").isdigit():
            self.done_s = max(0.0, int(value) / 1e6)
            self._tell()
        if key != "progress":
            return False
        moved = self._block != self._last_block
        self._block, self._last_block = [], self._block
        return moved

    def _tell(self) -> None:
        if self._duration_s and self.done_s >= self._next_share * self._duration_s:
            share = self.done_s / self._duration_s
            log.info("transcoding: %.0f %%", 100 * min(1.0, share))
            self._next_share = _LOG_STEP * (share // _LOG_STEP + 1)


async def transcode(
    source: Path,
    target: Path,
    request: TranscodeRequest,
    *,
    cpus: int,
    stall_timeout_s: float = STALL_TIMEOUT_S,
) -> None:
    """Make an HEVC mp4 of a video. Cancelled, it leaves no process behind.

    Args:
        source: the untrusted input.
        target: the file to write.
        request: what to make of it.
        cpus: threads of ffmpeg's pools.
        stall_timeout_s: how long ffmpeg may go on without a new frame, seconds.

    Raises:
        TranscodingError: the input is bad, the request is, or ffmpeg failed.
    """
    try:
        check_request(request.bitrate_kbps, request.speed)
        found = await _probe(source)
        progress = _Progress(found.duration_s)
        command = transcode_command(
            source,
            target,
            bitrate_kbps=request.bitrate_kbps,
            speed=request.speed,
            cpus=cpus,
            audio=found.audio,
        )
        code, stderr = await run_child(command, progress.line, stall_timeout_s=stall_timeout_s)
    except BadVideoError as error:
        raise TranscodingError(str(error)) from error
    except StalledError as error:
        raise TranscodingError(f"ffmpeg: {error}") from error
    words = last_words(stderr, hide=[source.parent])
    if code == -signal.SIGKILL:
        raise TranscodingError("ffmpeg was killed: is the worker's memory too small?")
    if code != 0:
        raise TranscodingError(f"ffmpeg failed with code {code}: {words or 'no reason given'}")
    _check_whole(progress.done_s, found, words)


async def _probe(source: Path) -> Probe:
    _, stderr = await run_child(
        probe_command(source), lambda _: False, stall_timeout_s=_PROBE_TIMEOUT_S
    )
    try:
        found = parse_probe(stderr)
    except BadVideoError:
        raise BadVideoError(
            f"not a video that can be read: {last_words(stderr, hide=[source.parent])}"
        ) from None
    if found.video is None:
        raise BadVideoError("the input has no picture")
    return found


def _check_whole(done_s: float, found: Probe, words: str) -> None:
    # ffmpeg ends well at the end of what it can read.
    duration = found.duration_s
    if duration and done_s < duration - max(_MISSING_S, _MISSING_SHARE * duration):
        raise TranscodingError(
            f"the input breaks off: {done_s:.1f} s of {duration:.1f} s can be read; {words}"
        )
