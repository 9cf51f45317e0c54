"""Tiny videos to transcode, one of its own for each job, and files that are none."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from deploy.media.ffmpeg import find_ffmpeg

_WIDTH: Final = 320
_HEIGHT: Final = 180
_SECONDS: Final = (2, 3, 4)
_FEWEST_BYTES: Final = 2000


@dataclass(frozen=True, slots=True)
class Clip:
    """A job's video.

    Attributes:
        name: of the file.
        good: whether it can be transcoded.
    """

    name: str
    good: bool


def make_clips(folder: Path, good: int, bad: int, rng: Random) -> list[Clip]:
    """Render clips of 2 to 4 s into a folder and spoil some.

    Args:
        folder: of the input videos; made if it is missing.
        good: how many can be transcoded.
        bad: how many cannot: cut off, or random bytes.
        rng: chooses the order.

    Returns:
        All of them in random order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = [_render(folder / f".clip-{seconds}s.mp4", seconds) for seconds in _SECONDS]
    clips = []
    for number in range(good + bad):
        clip = Clip(f"chaos-{number:03d}.mp4", good=number < good)
        content = rng.choice(sources)
        if not clip.good:
            content = content[:_FEWEST_BYTES] if number % 2 else rng.randbytes(_FEWEST_BYTES)
        (folder / clip.name).write_bytes(content)
        clips.append(clip)
    rng.shuffle(clips)
    return clips


def write_catalog(path: Path, clips: list[Clip]) -> None:
    """Describe the clips as a catalog, so that the service has nothing to render."""
    rows = [f"{clip.name},3,{_WIDTH},{_HEIGHT}" for clip in clips]
    path.write_text("\n".join(["video,duration_s,width,height", *rows, ""]), encoding="utf-8")


def _render(path: Path, seconds: int) -> bytes:
    pattern = f"testsrc2=size={_WIDTH}x{_HEIGHT}:rate=25:duration={seconds}"
    command = [str(find_ffmpeg()), "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", pattern]
    subprocess.run([*command, "-c:v", "libx264", "-f", "mp4", str(path)], check=True)
    content = path.read_bytes()
    path.unlink()
    return content
