"""What ffmpeg itself prints about a file: for machines that have no ffprobe."""

from __future__ import annotations

import re
from typing import Final

from deploy.media.streams import AudioStream, VideoStream

# Only lines that ffmpeg wrote about the file: a title may hold the same words, but stands after
# "title :" and deeper.
_CONTAINER: Final = re.compile(r"^Input #0, (\S+), from ", re.MULTILINE)
_HEADER: Final = re.compile(
    r"^  Duration: (\S+?)(?:, start: (-?[\d.]+))?(?:, bitrate: (?:(\d+) kb/s|N/A))?$", re.MULTILINE
)
_LINE: Final = re.compile(
    r"^ {2,4}(?:Program (?P<program>\d+)|(?P<rest>No Program)"
    r"|Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?(?:\([^)]*\))?: "
    r"(?P<kind>\w+)(?:: (?P<of>.*))?$)",
    re.MULTILINE,
)
_PICTURE: Final = re.compile(r", (\w+)(?:\(([^)]*)\))?, (\d+)x(\d+)")
_COLOUR: Final = re.compile(r"[\w-]+/[\w-]+/[\w-]+")
_CHANNELS: Final = {"mono": 1, "stereo": 2, "quad": 4, "hexagonal": 6, "octagonal": 8}


class UnreadableWordsError(ValueError):
    """ffmpeg could not open the file."""


class Words:
    """Container and streams; the attributes are those of `ffprobe_json.Answer`.

    Args:
        text: ffmpeg's standard error, from its beginning.

    Raises:
        UnreadableWordsError: it could not open the file.
    """

    def __init__(self, text: str) -> None:
        container, header = _CONTAINER.search(text), _HEADER.search(text)
        if container is None or header is None:
            raise UnreadableWordsError
        self.container = container[1]
        self.duration_s = _seconds(header[1])
        self.start_s = float(header[2]) if header[2] else None
        self.bitrate_kbps = int(header[3]) if header[3] else None
        videos: dict[int, VideoStream] = {}
        audios: dict[int, AudioStream] = {}
        self.others = 0
        program: int | None = None
        for line in _LINE.finditer(text, header.end()):
            if line["index"] is None:
                program = None if line["rest"] else int(line["program"])
                continue
            index, of = int(line["index"]), line["of"] or ""
            if line["kind"] == "Video":
                videos.setdefault(index, _video(index, of, program))
            elif line["kind"] == "Audio":
                audios.setdefault(index, _audio(index, of, program))
            else:
                self.others += 1
        self.videos = tuple(videos[index] for index in sorted(videos))
        self.audios = tuple(audios[index] for index in sorted(audios))


def _video(index: int, of: str, program: int | None) -> VideoStream:
    picture = _PICTURE.search(of)
    notes = [] if picture is None or not picture[2] else picture[2].split(", ")
    colours = [note for note in notes if note not in ("tv", "pc", "progressive")]
    matrix = transfer = None
    for note in colours:
        if _COLOUR.fullmatch(note):
            matrix, _, transfer = note.split("/")
        elif " " not in note:
            matrix = transfer = note
    return VideoStream(
        index=index,
        codec=_codec(of),
        width=int(picture[3]) or None if picture else None,
        height=int(picture[4]) or None if picture else None,
        pixel_format=picture[1] if picture else None,
        full_range="pc" in notes,
        matrix=None if matrix == "unknown" else matrix,
        transfer=None if transfer == "unknown" else transfer,
        interlaced=any(" first" in note for note in notes),
        frame_rate=_rate(of, "fps"),
        base_rate=_rate(of, "tbr"),
        is_default="(default)" in of,
        is_attached="(attached pic)" in of or "(timed thumbnails)" in of,
        program=program,
    )


def _audio(index: int, of: str, program: int | None) -> AudioStream:
    sound = re.search(r", (\d+) Hz(?:, ([^,]+))?", of)
    return AudioStream(
        index=index,
        codec=_codec(of),
        channels=_channels(sound[2]) if sound and sound[2] else None,
        sample_rate=int(sound[1]) or None if sound else None,
        is_default="(default)" in of,
        is_comment="(comment)" in of or "(visual impaired)" in of,
        program=program,
    )


def _codec(of: str) -> str:
    match = re.match(r"\w+", of)
    return "" if match is None else match[0]


def _channels(layout: str) -> int | None:
    """Of a layout such as ``5.1(side)`` or ``3 channels (FL+FR+LFE)``."""
    plain = layout.partition("(")[0].strip()
    if plain in _CHANNELS:
        return _CHANNELS[plain]
    counted = re.fullmatch(r"(\d+) channels", plain)
    if counted is not None:
        return int(counted[1]) or None
    return sum(int(part) for part in plain.split(".")) if re.fullmatch(r"[\d.]*\d", plain) else None


def _rate(of: str, unit: str) -> float | None:
    match = re.search(rf", ([\d.]+)(k?) {unit}\b", of)
    return float(match[1]) * (1000 if match[2] else 1) or None if match else None


def _seconds(clock: str) -> float | None:
    """``01:02:03.45`` in seconds; none for ``N/A``."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d\.?\d*)", clock.rstrip(","))
    return None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
