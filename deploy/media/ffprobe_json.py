"""What ffprobe tells of a file, in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from deploy.media.ffmpeg import SAFE_INPUT, local_file
from deploy.media.hdr import Hdr, read_hdr
from deploy.media.streams import AudioStream, VideoStream

_ENTRIES: Final = (
    "stream=index,codec_type,codec_name,width,height,pix_fmt,field_order,color_range,"
    "color_space,color_transfer,r_frame_rate,avg_frame_rate,channels,sample_rate,"
    "start_time,duration"
    ":stream_disposition=default,attached_pic,timed_thumbnails,comment,visual_impaired"
    ":stream_side_data"
    ":format=format_name,start_time,duration,bit_rate"
    ":program=program_id:program_stream=index"
)
"""Named one by one: tags may be long, and are nothing that we need."""


class UnreadableAnswerError(ValueError):
    """ffprobe did not print what it should: the file is none that it can read."""


def streams_command(ffprobe: Path, path: Path) -> list[str]:
    """The command that tells of container and streams."""
    return [
        *(str(ffprobe), "-hide_banner", "-v", "error", *SAFE_INPUT),
        *("-show_entries", _ENTRIES, "-of", "json", "-i", local_file(path)),
    ]


def first_frame_command(ffprobe: Path, path: Path, index: int) -> list[str]:
    """The command that tells what goes with the first picture of a stream."""
    return [
        *(str(ffprobe), "-hide_banner", "-v", "error", *SAFE_INPUT, "-select_streams", str(index)),
        *("-read_intervals", "%+#1", "-show_entries", "frame=pts_time:frame_side_data"),
        *("-of", "json", "-i", local_file(path)),
    ]


class Answer:
    """Container and streams.

    Args:
        text: the output of `streams_command`.

    Attributes:
        container: names of the demuxer, with commas.
        start_s: first timestamp, seconds; none if it is not known.
        duration_s: playing time, seconds; none if the container does not tell.
        bitrate_kbps: of the whole file; none if it is not known.
        videos: the picture streams.
        audios: the sound streams.
        others: how many further streams there are.
        hdr: of the picture streams that say something about it, by index.

    Raises:
        UnreadableAnswerError: it is no such output.
    """

    def __init__(self, text: str) -> None:
        try:
            answer = json.loads(text)
            form, streams = answer["format"], answer["streams"]
            self.container = str(form["format_name"])
            self._programs = {
                int(stream["index"]): int(program["program_id"])
                for program in answer.get("programs", ())
                for stream in program.get("streams", ())
            }
            kinds = [str(stream.get("codec_type")) for stream in streams]
            self.videos = tuple(self._video(s) for s in streams if s.get("codec_type") == "video")
            self.audios = tuple(self._audio(s) for s in streams if s.get("codec_type") == "audio")
            self.hdr = {
                int(stream["index"]): read_hdr(stream.get("side_data_list", ()))
                for stream in streams
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UnreadableAnswerError(str(error)) from error
        self.others = len(kinds) - len(self.videos) - len(self.audios)
        self.start_s = _number(form.get("start_time"))
        # A container may lie about its length where its streams do not.
        self.duration_s = _span(streams) or _number(form.get("duration"))
        rate = _number(form.get("bit_rate"))
        self.bitrate_kbps = None if rate is None else int(rate / 1000)

    def _video(self, stream: Mapping[str, Any]) -> VideoStream:
        marks = stream.get("disposition", {})
        pixels = stream.get("pix_fmt")
        index = int(stream["index"])
        return VideoStream(
            index=index,
            codec=str(stream.get("codec_name", "")),
            width=int(stream.get("width", 0)) or None,
            height=int(stream.get("height", 0)) or None,
            pixel_format=pixels,
            full_range=stream.get("color_range") == "pc",
            matrix=stream.get("color_space"),
            transfer=stream.get("color_transfer"),
            interlaced=stream.get("field_order", "progressive") not in ("progressive", "unknown"),
            frame_rate=_rate(stream.get("avg_frame_rate")),
            base_rate=_rate(stream.get("r_frame_rate")),
            is_default=bool(marks.get("default")),
            is_attached=bool(marks.get("attached_pic") or marks.get("timed_thumbnails")),
            program=self._programs.get(index),
        )

    def _audio(self, stream: Mapping[str, Any]) -> AudioStream:
        marks = stream.get("disposition", {})
        index = int(stream["index"])
        return AudioStream(
            index=index,
            codec=str(stream.get("codec_name", "")),
            channels=int(stream.get("channels", 0)) or None,
            sample_rate=int(stream.get("sample_rate", 0)) or None,
            is_default=bool(marks.get("default")),
            is_comment=bool(marks.get("comment") or marks.get("visual_impaired")),
            program=self._programs.get(index),
        )


def frame_hdr(text: str) -> Hdr:
    """What the output of `first_frame_command` tells; nothing if it is not readable."""
    try:
        frames = json.loads(text).get("frames", ())
        return read_hdr(entry for frame in frames for entry in frame.get("side_data_list", ()))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return Hdr()


def _span(streams: Iterable[Mapping[str, Any]]) -> float | None:
    """From the first stream's beginning to the last one's end, seconds; none if one is unknown."""
    begins, ends = [], []
    for stream in streams:
        begin, length = _number(stream.get("start_time")), _number(stream.get("duration"))
        if begin is None or length is None:
            return None
        begins.append(begin)
        ends.append(begin + length)
    return max(ends) - min(begins) if ends else None


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _rate(value: object) -> float | None:
    """``24000/1001`` as a number; none for ``0/0``."""
    try:
        return float(Fraction(str(value))) or None
    except (ValueError, ZeroDivisionError):
        return None
