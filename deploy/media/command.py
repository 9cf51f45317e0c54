"""The command that transcodes a film."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.media.ffmpeg import (
    ENCODER,
    SAFE_INPUT,
    BadVideoError,
    find_ffmpeg,
    local_file,
    variable_rate,
)
from deploy.media.pixels import filters, has_alpha
from deploy.media.probe import Probe
from deploy.media.streams import VideoStream

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
_COPIED_AUDIO: Final = frozenset({"aac", "ac3", "eac3", "mp3"})
"""What players expect in mp4; anything else becomes AAC."""
_COPIED_FROM: Final = frozenset({"mov", "matroska", "mpegts", "flv"})
"""Containers that keep the sound's own headers. In AVI they may be missing."""
_LOWEST_MP3_HZ: Final = 32_000
"""mp4 takes MPEG-1 layer 3 alone."""
_CODED_CHANNELS: Final = frozenset({1, 2, 6})
"""Others become stereo: not every layout of 7 or more can be encoded."""


def check_request(bitrate: int, speed: str, *, unit_bps: int = 1000) -> None:
    """See to it that ffmpeg gets numbers and words it knows.

    Args:
        bitrate: of the picture, in `unit_bps` bits a second.
        speed: a preset.
        unit_bps: 1000 for kbit/s.

    Raises:
        BadVideoError: names the value.
    """
    most = MAX_BITRATE_KBPS * 1000 // unit_bps
    if not 1 <= bitrate <= most:
        unit = "kbit/s" if unit_bps == 1000 else "bit/s"
        raise BadVideoError(f"bitrate {bitrate} is not 1 to {most} {unit}")
    if speed not in PRESETS:
        raise BadVideoError(f"speed {speed[:40]!a} is not one of {', '.join(PRESETS)}")


def transcode_command(
    source: Path,
    target: Path,
    found: Probe,
    *,
    bitrate_bps: int,
    speed: str,
    cpus: int,
    copy_sound: bool = True,
) -> list[str]:
    """The command that makes an HEVC mp4; it reports on standard output (``-progress``).

    Args:
        source: the input, whatever its name.
        target: the file to write.
        found: what the input holds; it has a picture.
        bitrate_bps: of the picture, on average, bits a second.
        speed: one of `PRESETS`.
        cpus: threads of the encoder's pool and of the decoder. libx265 would count the cores of
            the whole machine.
        copy_sound: whether sound that mp4 takes stays as it is.
    """
    picture = found.picture
    assert picture is not None
    # Frames encoded at the same time, as libx265 itself would choose for so many cores
    # (https://x265.readthedocs.io, --frame-threads).
    frames = next(n for cores, n in ((32, 6), (16, 5), (8, 3), (4, 2), (0, 1)) if cpus >= cores)
    encoder = [f"pools={cpus}", f"frame-threads={frames}", "log-level=error"]
    encoder += _rate_options(picture) + found.hdr.x265_options()
    return [
        *(str(find_ffmpeg()), "-nostdin", "-hide_banner", "-nostats", "-y"),
        *("-loglevel", "error", "-progress", "pipe:1", "-filter_threads", str(cpus)),
        # Of the input's frames; by default ffmpeg calls it a success when a third is readable.
        *("-max_error_rate", "0.05"),
        *("-threads", str(cpus), *SAFE_INPUT, "-i", local_file(source)),
        *("-map", f"0:{picture.index}", "-vf", filters(picture), *variable_rate()),
        *("-c:v", ENCODER, "-b:v", str(bitrate_bps), "-preset", speed, "-tag:v", "hvc1"),
        *("-x265-params", ":".join(encoder)),
        *_sound_options(found, copy_sound=copy_sound),
        # A time code that is none would be an error in mp4.
        *("-f", "mp4", "-write_tmcd", "0", "-movflags", "+faststart", local_file(target)),
    ]


def losses(found: Probe) -> list[str]:
    """What of the input is not in the result, for people."""
    lost = [f"{name} data" for name in found.hdr.dynamic]
    if found.picture is not None and has_alpha(found.picture.pixel_format):
        lost.append("transparency")
    if found.left_out:
        lost.append(f"{found.left_out} further tracks")
    return lost


def can_copy_sound(found: Probe) -> bool:
    """Whether the sound stays as it is, where that is allowed."""
    if found.sound is None or found.sound.codec not in _COPIED_AUDIO:
        return False
    if _COPIED_FROM.isdisjoint(found.container.split(",")):
        return False
    return found.sound.codec != "mp3" or (found.sound.sample_rate or 0) >= _LOWEST_MP3_HZ


def _rate_options(picture: VideoStream) -> list[str]:
    """Tell the encoder how many frames a second come, where the clock allows many more.

    It shares out bits by that number: with a clock of 1000 Hz a film of 25 frames a second would
    get a fortieth of its bitrate.
    """
    rate, base = picture.frame_rate, picture.base_rate
    if rate is None or base is None or base < 1.1 * rate:
        return []
    return [f"fps={round(1000 * rate)}/1000"]


def _sound_options(found: Probe, *, copy_sound: bool) -> list[str]:
    sound = found.sound
    if sound is None:
        return []
    chosen = ["-map", f"0:{sound.index}"]
    if copy_sound and can_copy_sound(found):
        return [*chosen, "-c:a", "copy"]
    channels = sound.channels or 2
    if channels not in _CODED_CHANNELS:
        channels = 2
    return [*chosen, "-c:a", "aac", "-ac", str(channels)]
