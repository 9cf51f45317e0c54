"""What a file holds, and which of its streams are the film."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.media import ffprobe_json
from deploy.media.failure import Culprit, culprit, ending
from deploy.media.ffmpeg import (
    CONTAINERS,
    SAFE_INPUT,
    BadVideoError,
    BrokenFfmpegError,
    Ran,
    Steps,
    find_ffmpeg,
    find_ffprobe,
    last_words,
    local_file,
    run_steps,
)
from deploy.media.ffmpeg_words import UnreadableWordsError, Words
from deploy.media.hdr import Hdr
from deploy.media.streams import (
    AudioStream,
    VideoStream,
    choose_picture,
    choose_sound,
    films,
)

_LOOK_S: Final = 15
"""So much of a film is read to tell it from a still picture."""
_PQ: Final = "smpte2084"
"""The transfer curve of HDR10."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file holds.

    Attributes:
        container: names of ffmpeg's demuxer, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``.
        start_s: first timestamp, seconds; none if it is not known.
        duration_s: playing time, seconds; none if the container does not tell.
        bitrate_kbps: of the whole file; none if it is not known.
        picture: the film; none if there is none.
        sound: the film's sound; none if there is none.
        hdr: what the film says about its brightness.
        left_out: how many streams are neither.
    """

    container: str
    start_s: float | None
    duration_s: float | None
    bitrate_kbps: int | None
    picture: VideoStream | None
    sound: AudioStream | None
    hdr: Hdr = field(default_factory=Hdr)
    left_out: int = 0

    @property
    def video(self) -> str | None:
        """Codec of the film, e.g. ``h264``."""
        return None if self.picture is None else self.picture.codec

    @property
    def width(self) -> int | None:
        """Of the film, pixels."""
        return None if self.picture is None else self.picture.width

    @property
    def height(self) -> int | None:
        """Of the film, pixels."""
        return None if self.picture is None else self.picture.height

    @property
    def audio(self) -> str | None:
        """Codec of the sound."""
        return None if self.sound is None else self.sound.codec


def probe(path: Path) -> Probe:
    """What a file holds.

    Raises:
        BadVideoError: it is not a video that can be read.
        BrokenFfmpegError: ffmpeg does not work here.
    """
    return run_steps(probing(path))


def probing(path: Path) -> Steps[Probe]:
    """What a file holds, step by step.

    Raises:
        BadVideoError: it is not a video that can be read.
        BrokenFfmpegError: ffmpeg does not work here.
    """
    ffprobe = find_ffprobe()
    found: ffprobe_json.Answer | Words
    hdr: dict[int, Hdr] = {}
    if ffprobe is not None:
        ran = yield ffprobe_json.streams_command(ffprobe, path)
        try:
            found = ffprobe_json.Answer(ran.output)
        except ffprobe_json.UnreadableAnswerError:
            raise _unreadable(ran, path) from None
        hdr = found.hdr
    else:
        ran = yield words_command(path)
        try:
            found = Words(ran.errors)
        except UnreadableWordsError:
            raise _unreadable(ran, path) from None
    candidates = films(found.videos)
    packets: dict[int, int] = {}
    if len(candidates) > 1:
        ran = yield _packets_command(path, candidates)
        packets = _packets(ran.output, candidates)
    picture = choose_picture(found.videos, packets)
    about = hdr.get(picture.index, Hdr()) if picture is not None else Hdr()
    if ffprobe is not None and picture is not None and picture.transfer == _PQ and about.is_empty:
        ran = yield ffprobe_json.first_frame_command(ffprobe, path, picture.index)
        about = ffprobe_json.frame_hdr(ran.output)
    sound = choose_sound(found.audios, picture)
    total = len(found.videos) + len(found.audios) + found.others
    return Probe(
        container=found.container,
        start_s=found.start_s,
        duration_s=found.duration_s,
        bitrate_kbps=found.bitrate_kbps,
        picture=picture,
        sound=sound,
        hdr=about,
        left_out=total - (picture is not None) - (sound is not None),
    )


def words_command(path: Path) -> list[str]:
    """The command whose standard error tells what a file holds; it ends with an error code."""
    return [str(find_ffmpeg()), "-nostdin", "-hide_banner", *SAFE_INPUT, "-i", local_file(path)]


def _packets_command(path: Path, videos: list[VideoStream]) -> list[str]:
    maps = [word for video in videos for word in ("-map", f"0:{video.index}")]
    return [
        *(str(find_ffmpeg()), "-nostdin", "-hide_banner", "-nostats", "-v", "error"),
        *(*SAFE_INPUT, "-i", local_file(path), *maps, "-c", "copy", "-t", str(_LOOK_S)),
        *("-f", "framecrc", "pipe:1"),
    ]


def _packets(output: str, videos: list[VideoStream]) -> dict[int, int]:
    """Pictures of each stream, by index."""
    counts = Counter(int(number) for number in re.findall(r"^(\d+),", output, re.MULTILINE))
    return {video.index: counts[number] for number, video in enumerate(videos)}


def _unreadable(ran: Ran, path: Path) -> BadVideoError | BrokenFfmpegError:
    words = last_words(ran.errors, hide=[path.parent])
    if culprit(ran) is Culprit.MACHINE:
        return BrokenFfmpegError(f"{ending(ran)} where it looked at a file: {words}")
    # The library that failed says why; the lines after it only that.
    reasons = [line for line in ran.errors.splitlines() if line.startswith("[") and " @ " in line]
    if "whitelist" in ran.errors:
        words = f"it is in none of the containers {', '.join(CONTAINERS)}"
    elif reasons:
        words = last_words(reasons[0], hide=[path.parent])
    return BadVideoError(f"not a video that can be read: {words or 'no reason given'}")
