"""The clips that are transcoded: scenes in H.264, as a camera or a server would deliver them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Final

from deploy.bench_encoder.grid import SIZES
from deploy.bench_encoder.scenes import FPS, SCENES, pictures
from deploy.launcher import bound_to_us
from deploy.media.ffmpeg import find_ffmpeg, last_words
from env.errors import DaCircoError

SOURCE_HD_KBPS: Final = 4000
"""Of a source of 1920x1080; other sizes by the square root of their pixels, as in the catalog of
the measured runs (docs/calibration.md)."""
_SEED: Final = 1


class BenchError(DaCircoError):
    """The bench cannot go on; the message says why."""


def clip(folder: Path, scene: str, lines: int, seconds: float) -> Path:
    """The clip's file; made if it is missing.

    Args:
        folder: of the clips.
        scene: name of one of `SCENES`.
        lines: height of the picture.
        seconds: playing time.

    Raises:
        BenchError: it cannot be made.
    """
    path = folder / f"{scene}-{lines}p-{round(seconds * FPS)}.mp4"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            whole = path.with_suffix(".part")
            _encode(whole, scene, lines, seconds)
            whole.replace(path)
        except OSError as error:
            raise BenchError(f"cannot make the clip {path}: {error.strerror or error}") from error
    return path


def _encode(path: Path, scene: str, lines: int, seconds: float) -> None:
    width, height = SIZES[lines]
    kbps = round(SOURCE_HD_KBPS * (lines / 1080))
    command = [
        *(str(find_ffmpeg()), "-nostdin", "-hide_banner", "-loglevel", "error", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-r", str(FPS)),
        *("-i", "pipe:0", "-c:v", "libx264", "-preset", "veryfast", "-b:v", f"{kbps}k"),
        *("-threads", "1", "-f", "mp4", f"file:{path}"),
    ]
    chosen = next(known for known in SCENES if known.name == scene)
    with tempfile.TemporaryFile() as words:
        with subprocess.Popen(
            bound_to_us(command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words
        ) as process:
            assert process.stdin is not None
            try:
                for picture in pictures(chosen, width, height, round(seconds * FPS), seed=_SEED):
                    process.stdin.write(picture)
                process.stdin.close()
                process.wait()
            except BrokenPipeError:
                process.wait()  # ffmpeg has said why
            finally:
                process.kill()
        if process.returncode != 0:
            words.seek(0)
            said = last_words(words.read().decode(errors="replace"), hide=[path.parent])
            raise BenchError(f"ffmpeg cannot make the clip {path.name}: {said}")
