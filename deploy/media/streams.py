"""The streams of a file, and which of them are the film and its sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_IMAGE_CODECS: Final = frozenset(
    {"bmp", "gif", "jpegls", "jpeg2000", "mjpeg", "mjpegb", "png", "ppm", "tiff", "webp"}
)
"""Films are seldom in these where there is a track in another codec, too."""
_UNKNOWN_CODECS: Final = frozenset({"", "none", "unknown"})


@dataclass(frozen=True, slots=True)
class VideoStream:
    """A picture stream.

    Attributes:
        index: its number in the file.
        codec: e.g. ``h264``.
        width: pixels, before a rotation; none if it is not known.
        height: as the width.
        pixel_format: e.g. ``yuv420p``; none if it is not known.
        full_range: whether black is 0 and white is the largest number.
        matrix: from RGB to what is stored, e.g. ``bt709``; none if the file does not tell.
        transfer: as the matrix, e.g. ``smpte2084``.
        interlaced: whether a frame is two fields.
        frame_rate: frames a second, on average; none if it is not known.
        base_rate: the highest rate that its clock allows, frames a second.
        is_default: as the file says.
        is_attached: a cover or a thumbnail, as the file says.
        program: number of the programme it belongs to, if any.
    """

    index: int
    codec: str
    width: int | None = None
    height: int | None = None
    pixel_format: str | None = None
    full_range: bool = False
    matrix: str | None = None
    transfer: str | None = None
    interlaced: bool = False
    frame_rate: float | None = None
    base_rate: float | None = None
    is_default: bool = False
    is_attached: bool = False
    program: int | None = None


@dataclass(frozen=True, slots=True)
class AudioStream:
    """A sound stream.

    Attributes:
        index: its number in the file.
        codec: e.g. ``aac``.
        channels: none if it is not known.
        sample_rate: in Hz; none if it is not known.
        is_default: as the file says.
        is_comment: a commentary, or a description for those who cannot see, as the file says.
        program: number of the programme it belongs to, if any.
    """

    index: int
    codec: str
    channels: int | None = None
    sample_rate: int | None = None
    is_default: bool = False
    is_comment: bool = False
    program: int | None = None


def films(videos: Sequence[VideoStream]) -> list[VideoStream]:
    """The streams that may be the film: covers, thumbnails and unknown codecs are not."""
    return [
        video for video in videos if not video.is_attached and video.codec not in _UNKNOWN_CODECS
    ]


def choose_picture(
    videos: Sequence[VideoStream], packets: Mapping[int, int] | None = None
) -> VideoStream | None:
    """The film: rather one that moves than a still, then the default one, then the first.

    Args:
        videos: of the file.
        packets: pictures of each stream in the first seconds, by index, if they were counted.
    """
    candidates = films(videos)
    counts = packets or {}
    moving = any(counts.get(video.index, 0) > 1 for video in candidates)

    def rank(video: VideoStream) -> tuple[bool, bool, bool, bool, int]:
        return (
            moving and counts.get(video.index, 0) <= 1,
            video.codec in _IMAGE_CODECS,
            not video.width,
            not video.is_default,
            video.index,
        )

    return min(candidates, key=rank, default=None)


def choose_sound(audios: Sequence[AudioStream], picture: VideoStream | None) -> AudioStream | None:
    """The film's sound: of its programme, no commentary, then the default one, then the first."""
    candidates = [audio for audio in audios if audio.codec not in _UNKNOWN_CODECS]
    program = None if picture is None else picture.program

    def rank(audio: AudioStream) -> tuple[bool, bool, bool, int]:
        return audio.program != program, audio.is_comment, not audio.is_default, audio.index

    return min(candidates, key=rank, default=None)
