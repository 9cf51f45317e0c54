"""One transcode: look at the input, run ffmpeg, and see to it that the whole film came out."""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from deploy.media.command import can_copy_sound, check_request, losses, transcode_command
from deploy.media.failure import Culprit, culprit, ending
from deploy.media.ffmpeg import (
    BadVideoError,
    BrokenFfmpegError,
    Steps,
    last_words,
)
from deploy.media.probe import probing
from deploy.media.progress import Progress
from deploy.media.selftest import testing_ffmpeg
from deploy.media.wholeness import BadOutputError, checking_output, missing_of_input
from deploy.worker.child import StalledError, run_child, run_to_end

STALL_TIMEOUT_S: Final = 300.0
"""Without a new frame ffmpeg is taken for stuck: a job must not be."""
_STALLS: Final = 2
"""After so many the video is to blame, if ffmpeg works with another one. The first may have been
a machine that stood still."""
_LOG_STEP: Final = 0.25
_LITTLE_SPACE: Final = 8 * 1024 * 1024
_MEBIBYTE: Final = 1024 * 1024

log = logging.getLogger(__name__)

T = TypeVar("T")

OnProgress = Callable[[float | None, float | None], None]
"""Is told which share of the video is done (0..1; none if its length is not known), and how many
seconds of video are transcoded a second."""


class TranscodingError(RuntimeError):
    """The video or the request cannot be transcoded, by any worker; one short line."""


class SickWorkerError(RuntimeError):
    """This worker cannot transcode, others may; one short line."""


@dataclass(frozen=True, slots=True)
class TranscodeRequest:
    """What is asked for.

    Attributes:
        bitrate: of the picture, in `unit_bps` bits a second.
        speed: preset of libx265.
        unit_bps: 1000 for kbit/s.
    """

    bitrate: int
    speed: str
    unit_bps: int = 1000


async def transcode(
    source: Path,
    target: Path,
    request: TranscodeRequest,
    *,
    cpus: int,
    stall_timeout_s: float = STALL_TIMEOUT_S,
    on_progress: OnProgress = lambda _share, _speed: None,
) -> None:
    """Make an HEVC mp4 of a video. Cancelled, it leaves no process behind.

    Args:
        source: the untrusted input.
        target: the file to write.
        request: what to make of it.
        cpus: threads of ffmpeg's pools.
        stall_timeout_s: how long ffmpeg may go on without a new frame, seconds.
        on_progress: see `OnProgress`.

    Raises:
        TranscodingError: the input is bad, or the request is.
        SickWorkerError: ffmpeg does not work here, or the disk is full.
    """
    try:
        check_request(request.bitrate, request.speed, unit_bps=request.unit_bps)
    except BadVideoError as error:
        raise TranscodingError(str(error)) from error
    try:
        await _transcode(source, target, request, cpus, stall_timeout_s, on_progress)
    except (BadVideoError, StalledError) as error:
        # A broken ffmpeg finds fault with every video.
        ailment = await _ailment(source.parent, stall_timeout_s)
        if ailment is not None:
            raise SickWorkerError(f"{error}; {ailment}") from error
        raise TranscodingError(str(error)) from error
    except (BadOutputError, BrokenFfmpegError) as error:
        ailment = await _ailment(source.parent, stall_timeout_s)
        raise SickWorkerError(f"{error}; {ailment or _SOUND}") from error


_SOUND: Final = "a test film can be transcoded here"


async def _transcode(
    source: Path,
    target: Path,
    request: TranscodeRequest,
    cpus: int,
    stall_timeout_s: float,
    on_progress: OnProgress,
) -> None:
    found = await _run_steps(probing(source), stall_timeout_s)
    if found.picture is None:
        raise BadVideoError("the input has no picture")
    lost = losses(found)
    if lost:
        log.info("not in the result: %s", ", ".join(lost))
    copy_sound = can_copy_sound(found)
    progress = None
    while progress is None:
        command = transcode_command(
            source,
            target,
            found,
            bitrate_bps=request.bitrate * request.unit_bps,
            speed=request.speed,
            cpus=cpus,
            copy_sound=copy_sound,
        )
        try:
            follower = _Follower(found.duration_s, on_progress)
            progress = await _make(command, target, follower, stall_timeout_s)
        except (BadVideoError, BadOutputError) as error:
            if not copy_sound:
                raise
            # Damaged sound cannot always be copied, but what is left of it can be encoded.
            log.warning("%s; trying once more, with new sound", error)
            copy_sound = False
    missing = await _run_steps(missing_of_input(source, found, progress), stall_timeout_s)
    if missing is not None:
        raise BadVideoError(missing)


async def _make(
    command: list[str], target: Path, follower: _Follower, stall_timeout_s: float
) -> Progress:
    """Run ffmpeg and look at what it has made; what it told of its progress."""
    for stalls in itertools.count(1):
        follower.begin()
        try:
            ran = await run_child(command, follower.line, stall_timeout_s=stall_timeout_s)
            break
        except StalledError as error:
            if stalls == _STALLS:
                raise StalledError(f"ffmpeg, {stalls} times: {error}") from error
            log.warning("ffmpeg: %s; trying once more", error)
    words = last_words(ran.errors, hide=[target.parent]) or "no reason given"
    sick = culprit(ran) is Culprit.MACHINE
    if ran.code != 0:
        kind = BrokenFfmpegError if sick else BadVideoError
        raise kind(f"{ending(ran)}: {words}")
    try:
        await _run_steps(checking_output(target, follower.progress), stall_timeout_s)
    except (BadOutputError, StalledError) as error:
        if sick:
            raise BrokenFfmpegError(f"{error}; ffmpeg's words: {words}") from error
        if follower.progress.frames == 0:
            raise BadVideoError(f"no picture can be read: {words}") from error
        raise BadOutputError(f"{error}; ffmpeg's words: {words}") from error
    return follower.progress


class _Follower:
    """Logs and tells how far a transcode is."""

    def __init__(self, duration_s: float | None, on_progress: OnProgress) -> None:
        self._duration_s, self._on_progress = duration_s, on_progress
        self.begin()

    def begin(self) -> None:
        """Ffmpeg is started (once more)."""
        self.progress = Progress()
        self._next_share = _LOG_STEP

    def line(self, line: str) -> bool:
        moved = self.progress.line(line)
        share = self.progress.done_s / self._duration_s if self._duration_s else 0.0
        if share >= self._next_share:
            log.info("transcoding: %.0f %%", 100 * min(1.0, share))
            self._next_share = _LOG_STEP * (share // _LOG_STEP + 1)
        if line.startswith("progress="):
            known = min(1.0, share) if self._duration_s else None
            self._on_progress(known, self.progress.speed)
        return moved


async def _ailment(folder: Path, timeout_s: float) -> str | None:
    """What is wrong with this worker; none if it can transcode."""
    try:
        free = shutil.disk_usage(folder).free
        if free < _LITTLE_SPACE:
            return f"the work folder has {free / _MEBIBYTE:.1f} MiB of free space"
        wrong = await _run_steps(testing_ffmpeg(folder), timeout_s)
    except OSError as error:
        return f"the work folder: {error.strerror}"
    except (StalledError, BrokenFfmpegError) as error:
        return f"a test film cannot be transcoded here: {error}"
    return None if wrong is None else f"a test film cannot be transcoded here: {wrong}"


async def _run_steps(steps: Steps[T], timeout_s: float) -> T:
    """Do work that needs programs, each in a child process; one that hangs is started once more."""
    try:
        command = next(steps)
        while True:
            try:
                ran = await run_to_end(command, timeout_s=timeout_s)
            except StalledError as error:
                log.warning("%s: %s; trying once more", Path(command[0]).name, error)
                ran = await run_to_end(command, timeout_s=timeout_s)
            command = steps.send(ran)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()
