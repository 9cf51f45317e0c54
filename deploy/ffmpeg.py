"""ffmpeg: where it is, what a file holds, and the command that transcodes it.

Inputs are untrusted. Only containers that hold all their own data are opened, and only as local
files: a playlist or a list of files under a video's name could read others of the machine.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from env.errors import DaCircoError

FFMPEG_VARIABLE: Final = "DACIRCO_FFMPEG"
"""Environment variable: the ffmpeg to use instead of the one that is found."""
PRESETS: Final = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
"""The speeds that libx265 knows. Clients may ask for two of them only; that is the API's matter."""
MAX_BITRATE_KBPS: Final = 1_000_000
RENDERED_FPS: Final = 24
"""Of synthetic clips, frames a second."""
_ENCODER: Final = "libx265"
_SAFE_INPUT: Final = (
    *("-protocol_whitelist", "file"),
    *("-format_whitelist", "mov,matroska,mpegts"),
    # 8192 x 4320. A small file could ask for pictures that fill the memory.
    *("-max_pixels", "35389440"),
)
_COPIED_AUDIO: Final = frozenset({"aac", "ac3", "eac3", "mp3"})
"""What players expect in mp4; anything else becomes AAC."""
_PROBE_TIMEOUT_S: Final = 60.0


class FfmpegError(DaCircoError):
    """ffmpeg is missing or cannot encode HEVC; the message tells how to get it."""


class BadVideoError(DaCircoError):
    """A file or a request that ffmpeg cannot transcode, now or later."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file holds.

    Attributes:
        duration_s: playing time, seconds; none if the container does not tell.
        video: codec of the first picture stream, e.g. ``h264``; none if there is none.
        width: of the first picture stream, pixels; none if there is none.
        height: as the width.
        audio: codec of the first sound stream, none if there is none.
        bitrate_kbps: of the whole file; none if the container does not tell.
    """

    duration_s: float | None
    video: str | None
    width: int | None
    height: int | None
    audio: str | None
    bitrate_kbps: int | None


@functools.cache
def find_ffmpeg() -> Path:
    """An ffmpeg with libx265: ``$DACIRCO_FFMPEG``, one on the PATH, or the one of a wheel.

    Raises:
        FfmpegError: there is none.
    """
    named = os.environ.get(FFMPEG_VARIABLE)
    if named:
        path = shutil.which(named)
        if path is None or not _encodes_hevc(Path(path)):
            raise FfmpegError(f"{FFMPEG_VARIABLE}={named} is not an ffmpeg with {_ENCODER}")
        return Path(path).absolute()
    path = shutil.which("ffmpeg")
    if path is not None and _encodes_hevc(Path(path)):
        return Path(path).absolute()
    try:
        import imageio_ffmpeg

        return Path(imageio_ffmpeg.get_ffmpeg_exe()).absolute()
    except (ImportError, RuntimeError) as error:
        raise FfmpegError(
            f"no ffmpeg with {_ENCODER}: install ffmpeg or the package imageio-ffmpeg, "
            f"or set {FFMPEG_VARIABLE}"
        ) from error


def _encodes_hevc(ffmpeg: Path) -> bool:
    try:
        answer = subprocess.run(
            [ffmpeg, "-hide_banner", "-encoders"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return _ENCODER.encode() in answer.stdout


def probe_command(path: Path) -> list[str]:
    """The command whose standard error tells what a file holds; it ends with an error code."""
    return [str(find_ffmpeg()), "-nostdin", "-hide_banner", *_SAFE_INPUT, "-i", _file(path)]


def parse_probe(output: str) -> Probe:
    """What a file holds, from what ffmpeg prints about its input.

    Raises:
        BadVideoError: ffmpeg could not open it.
    """
    # Only lines that ffmpeg wrote about the streams: a title may hold the same words, but
    # stands after "title :" and deeper.
    header = re.search(r"^  Duration: (\S+),.*?(?:bitrate: (\d+) kb/s)?$", output, re.MULTILINE)
    if header is None:
        raise BadVideoError(f"not a video that can be read: {last_words(output)}")
    streams = re.findall(
        r"^ {2,4}Stream #0:\d\S*: (Video|Audio): (\w+)(?:.*? (\d+)x(\d+)[ ,])?",
        output,
        re.MULTILINE,
    )
    video, width, height = next((found for kind, *found in streams if kind == "Video"), [None] * 3)
    return Probe(
        duration_s=_seconds(header[1]),
        video=video,
        width=int(width) if width else None,
        height=int(height) if height else None,
        audio=next((codec for kind, codec, *_ in streams if kind == "Audio"), None),
        bitrate_kbps=int(header[2]) if header[2] else None,
    )


def probe(path: Path) -> Probe:
    """What a file holds.

    Raises:
        BadVideoError: it is not a video that can be read.
    """
    try:
        answer = subprocess.run(
            probe_command(path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadVideoError("not a video that can be read in a minute") from None
    return parse_probe(answer.stderr.decode(errors="replace"))


def check_request(bitrate_kbps: int, speed: str) -> None:
    """See to it that ffmpeg gets numbers and words it knows.

    Raises:
        BadVideoError: names the value.
    """
    if not 1 <= bitrate_kbps <= MAX_BITRATE_KBPS:
        raise BadVideoError(f"bitrate {bitrate_kbps} is not 1 to {MAX_BITRATE_KBPS} kbit/s")
    if speed not in PRESETS:
        raise BadVideoError(f"speed {speed[:40]!a} is not one of {', '.join(PRESETS)}")


def transcode_command(
    source: Path, target: Path, *, bitrate_kbps: int, speed: str, cpus: int, audio: str | None
) -> list[str]:
    """The command that makes an HEVC mp4; it reports on standard output (``-progress``).

    Args:
        source: the input, whatever its name.
        target: the file to write.
        bitrate_kbps: of the picture, on average, kbit/s.
        speed: one of `PRESETS`.
        cpus: threads of the encoder's pool and of the decoder. libx265 would count the cores of
            the whole machine.
        audio: codec of the input's sound.
    """
    # Frames encoded at the same time, as libx265 itself would choose for so many cores
    # (https://x265.readthedocs.io, --frame-threads).
    frames = next(n for cores, n in ((32, 6), (16, 5), (8, 3), (4, 2), (0, 1)) if cpus >= cores)
    return [
        *(str(find_ffmpeg()), "-nostdin", "-hide_banner", "-nostats", "-y"),
        *("-loglevel", "error", "-progress", "pipe:1", "-filter_threads", str(cpus)),
        # Of the input's frames; by default ffmpeg calls it a success when a third is readable.
        *("-max_error_rate", "0.05"),
        *("-threads", str(cpus), *_SAFE_INPUT, "-i", _file(source)),
        *("-map", "0:v:0", "-map", "0:a:0?", "-sn", "-dn"),
        *("-c:v", _ENCODER, "-b:v", f"{bitrate_kbps}k", "-preset", speed, "-tag:v", "hvc1"),
        *("-x265-params", f"pools={cpus}:frame-threads={frames}:log-level=error"),
        *("-c:a", "copy" if audio in _COPIED_AUDIO else "aac"),
        *("-f", "mp4", "-movflags", "+faststart", _file(target)),
    ]


def render_command(
    target: Path, *, width: int, height: int, duration_s: float, bitrate_kbps: int, seed: int
) -> list[str]:
    """The command that renders a synthetic clip: moving patterns under noise, in H.264 mp4.

    The same ffmpeg makes the same file, byte for byte, whatever the number of cores.

    Args:
        target: the file to write.
        width: even, pixels.
        height: even, pixels.
        duration_s: playing time, seconds.
        bitrate_kbps: of the picture, on average, kbit/s.
        seed: of noise and colours, so that clips differ.
    """
    picture = (
        f"testsrc2=size={width}x{height}:rate={RENDERED_FPS},hue=h={37 * seed % 360},"
        f"noise=alls=10:allf=t:all_seed={seed},format=yuv420p"
    )
    return [
        *(str(find_ffmpeg()), "-nostdin", "-hide_banner", "-nostats", "-y"),
        *("-loglevel", "error", "-progress", "pipe:1", "-filter_threads", "1"),
        *("-f", "lavfi", "-i", picture, "-t", f"{duration_s:g}"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-b:v", f"{bitrate_kbps}k"),
        *("-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact"),
        *("-f", "mp4", "-movflags", "+faststart", _file(target)),
    ]


def last_words(stderr: str, *, hide: Iterable[Path] = ()) -> str:
    """The end of what ffmpeg printed, short, in one printable line and without local paths."""
    text = stderr
    for path in hide:
        text = text.replace(f"{path}/", "").replace(str(path), "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    tail = " | ".join(re.sub(r"\[\S+ @ 0x[0-9a-f]+\] *", "", line) for line in lines[-2:])
    return "".join(letter if letter.isprintable() else "?" for letter in tail)[-300:]


def _file(path: Path) -> str:
    # With the protocol, no name can be taken for another one's or for an option.
    return f"file:{path}"


def _seconds(clock: str) -> float | None:
    """``01:02:03.45`` in seconds; none for ``N/A``."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d\.?\d*)", clock)
    return None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
