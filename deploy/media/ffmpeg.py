"""ffmpeg: where it is, and how it may open files.

Inputs are untrusted. Only containers that hold all their own data are opened, and only as local
files: a playlist or a list of files under a video's name could read others of the machine. They
are read by ffmpeg and ffprobe in processes of their own, never by ours.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from env.errors import DaCircoError

FFMPEG_VARIABLE: Final = "DACIRCO_FFMPEG"
"""Environment variable: the ffmpeg to use instead of the one that is found."""
CONTAINERS: Final = ("mov", "matroska", "mpegts", "avi", "flv", "gif", "asf", "mpeg", "ogg", "mxf")
"""What may be opened, by the names of ffmpeg's demuxers: `mov` is mp4, too, and `asf` is wmv."""
SAFE_INPUT: Final = (
    *("-protocol_whitelist", "file"),
    *("-format_whitelist", ",".join(CONTAINERS)),
    # 8192 x 4320. A small file could ask for pictures that fill the memory.
    *("-max_pixels", "35389440"),
)
"""Options before each input."""
ENCODER: Final = "libx265"
STEP_TIMEOUT_S: Final = 60.0
"""For one look at a file."""
OUTPUT_LIMIT: Final = 4 * 1024 * 1024
"""So much of what such a look prints is read, bytes."""


class FfmpegError(DaCircoError):
    """ffmpeg is missing or cannot encode HEVC; the message tells how to get it."""


class BrokenFfmpegError(DaCircoError):
    """ffmpeg does not work on this machine: another machine may do better."""


class BadVideoError(DaCircoError):
    """A file or a request that ffmpeg cannot transcode, now or later."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended.

    Attributes:
        code: its exit code, negative for a signal.
        output: what it wrote to its standard output, up to `OUTPUT_LIMIT`.
        errors: the same of its standard error.
    """

    code: int
    output: str
    errors: str


T = TypeVar("T")

Steps = Generator[list[str], Ran, T]
"""Work that needs programs: it yields a command, is sent how that ended, and returns a result.

So the same work is done by `run_steps`, which blocks, and by the worker's event loop.
"""


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
            raise FfmpegError(f"{FFMPEG_VARIABLE}={named} is not an ffmpeg with {ENCODER}")
        return Path(path).absolute()
    path = shutil.which("ffmpeg")
    if path is not None and _encodes_hevc(Path(path)):
        return Path(path).absolute()
    try:
        import imageio_ffmpeg

        return Path(imageio_ffmpeg.get_ffmpeg_exe()).absolute()
    except (ImportError, RuntimeError) as error:
        raise FfmpegError(
            f"no ffmpeg with {ENCODER}: install ffmpeg or the package imageio-ffmpeg, "
            f"or set {FFMPEG_VARIABLE}"
        ) from error


def find_ffprobe() -> Path | None:
    """The ffprobe beside `find_ffmpeg`: of the same build, so that both read files alike.

    The wheel of imageio-ffmpeg has none.
    """
    path = find_ffmpeg().resolve().with_name("ffprobe")
    return path if os.access(path, os.X_OK) else None


@functools.cache
def variable_rate() -> tuple[str, str]:
    """The option that keeps each picture's own time; versions before 5.1 have another name."""
    version = re.match(r"ffmpeg version n?(\d+)\.(\d+)", _answer(find_ffmpeg(), "-version"))
    old = version is not None and (int(version[1]), int(version[2])) < (5, 1)
    return ("-vsync" if old else "-fps_mode", "vfr")


def _encodes_hevc(ffmpeg: Path) -> bool:
    return ENCODER in _answer(ffmpeg, "-encoders")


def _answer(ffmpeg: Path, question: str) -> str:
    try:
        answer = subprocess.run(
            [ffmpeg, "-hide_banner", question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=STEP_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode(errors="replace")


def run_steps(steps: Steps[T], *, timeout_s: float = STEP_TIMEOUT_S) -> T:
    """Do work that needs programs, and wait for each of them.

    Raises:
        BadVideoError: a program takes longer than `timeout_s`, seconds.
        Exception: whatever the steps raise.
    """
    import tempfile

    try:
        command = next(steps)
        while True:
            with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
                ended = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    timeout=timeout_s,
                    check=False,
                )
                texts = []
                for stream in (output, errors):
                    stream.seek(0)
                    texts.append(stream.read(OUTPUT_LIMIT).decode(errors="replace"))
            command = steps.send(Ran(ended.returncode, *texts))
    except StopIteration as end:
        result: T = end.value
        return result
    except subprocess.TimeoutExpired:
        raise BadVideoError(f"not a video that can be read in {timeout_s:g} s") from None
    finally:
        steps.close()


def local_file(path: Path) -> str:
    """A file's name for ffmpeg: with the protocol it is never taken for an option or another's."""
    return f"file:{path}"


def last_words(stderr: str, *, hide: Iterable[Path] = ()) -> str:
    """The end of what ffmpeg printed, short, in one printable line and without local paths."""
    text = stderr
    for path in hide:
        text = text.replace(f"{path}/", "").replace(str(path), "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    tail = " | ".join(re.sub(r"\[\S+ @ 0x[0-9a-f]+\] *", "", line) for line in lines[-2:])
    return "".join(letter if letter.isprintable() else "?" for letter in tail)[-300:]
