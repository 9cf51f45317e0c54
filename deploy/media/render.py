"""The command that renders a synthetic clip."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.media.ffmpeg import find_ffmpeg, local_file

RENDERED_FPS: Final = 24
"""Of synthetic clips, frames a second."""


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
        *("-f", "mp4", "-movflags", "+faststart", local_file(target)),
    ]
