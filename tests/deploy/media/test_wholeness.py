"""A result that cannot be played is never taken for one, whatever ffmpeg's exit code was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.media.ffmpeg import FFMPEG_VARIABLE, run_steps
from deploy.media.progress import Progress, read_progress
from deploy.media.wholeness import BadOutputError, checking_output
from tests.deploy.media.films import FFMPEGS, WHEEL, Films


@pytest.fixture(scope="session")
def result(films: Films) -> Path:
    """A result of 6 s, with its index at the front."""
    path = films.folder / "result.mp4"
    command = [WHEEL, "-nostdin", "-v", "error", "-y", "-i", films("long.mp4"), "-c:v", "libx265"]
    command += ["-preset", "ultrafast", "-x265-params", "log-level=error:keyint=24"]
    subprocess.run([*command, "-c:a", "copy", "-movflags", "+faststart", path], check=True)
    return path


@pytest.fixture(autouse=True, params=FFMPEGS)
def ffmpeg(request: pytest.FixtureRequest, use_ffmpeg: Callable[[Path], None]) -> None:
    use_ffmpeg(request.param)


WRITTEN = read_progress("frame=144\nout_time_us=6000000\nprogress=end\n")


def check(path: Path, written: Progress = WRITTEN) -> None:
    run_steps(checking_output(path, written))


def spoiled(result: Path, folder: Path, spoil: Callable[[bytearray], bytearray]) -> Path:
    path = folder / "spoiled.mp4"
    path.write_bytes(spoil(bytearray(result.read_bytes())))
    return path


def test_a_whole_result(result: Path) -> None:
    check(result)


def test_one_that_is_cut(result: Path, tmp_path: Path) -> None:
    size = result.stat().st_size
    for end in (0, 100, size // 10, size // 2, size - 4096):
        with pytest.raises(BadOutputError):
            check(spoiled(result, tmp_path, lambda content, end=end: content[:end]))


def test_one_whose_end_was_never_written(result: Path, tmp_path: Path) -> None:
    # As a file system leaves it: of the right size, with nothing in it.
    def hollow(content: bytearray) -> bytearray:
        content[-20_000:] = bytes(20_000)
        return content

    with pytest.raises(BadOutputError, match="cannot be played"):
        check(spoiled(result, tmp_path, hollow))


def test_one_that_is_shorter_than_what_was_written(result: Path) -> None:
    written = read_progress("frame=300\nout_time_us=12500000\nprogress=end\n")
    with pytest.raises(BadOutputError, match=r"6\.0 s of 12\.5 s"):
        check(result, written)


def test_one_that_lacks_pictures(result: Path) -> None:
    written = read_progress("frame=300\nout_time_us=6000000\nprogress=end\n")
    with pytest.raises(BadOutputError, match="144 of 294 pictures"):
        check(result, written)


def test_one_that_is_something_else(films: Films, tmp_path: Path) -> None:
    with pytest.raises(BadOutputError, match="h264 and not hevc"):
        check(films("long.mp4"))
    with pytest.raises(BadOutputError, match="missing and not hevc"):
        check(films("sound_only.m4a"))
    with pytest.raises(BadOutputError, match="No such file"):
        check(tmp_path / "none.mp4")


ON_A_SMALL_DISK = """
import asyncio, sys
from pathlib import Path
from deploy.worker.transcoder import SickWorkerError, TranscodeRequest, transcode
folder, source = Path(sys.argv[1]), Path(sys.argv[2])
(folder / "input").symlink_to(source)
request = TranscodeRequest(int(sys.argv[3]), "ultrafast")
try:
    asyncio.run(transcode(folder / "input", folder / "output.mp4", request, cpus=1))
    print("whole", (folder / "output.mp4").stat().st_size)
except SickWorkerError as error:
    print("sick", error)
"""


def on_a_small_disk(folder: Path, kilobytes: int, source: Path, ffmpeg: str) -> str:
    """Transcode in a folder of its own small file system; it goes with the process."""
    mount = f'mount -t tmpfs -o size={kilobytes}k tmpfs "$1" && shift && exec "$@"'
    private = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    program = [sys.executable, "-c", ON_A_SMALL_DISK, str(folder), str(source), "2000"]
    ran = subprocess.run(
        [*private, "sh", "-c", mount, "sh", str(folder), *program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, FFMPEG_VARIABLE: ffmpeg, "PYTHONPATH": str(Path.cwd())},
    )
    if shutil.which("unshare") is None or "mount:" in ran.stderr or "unshare:" in ran.stderr:
        pytest.skip(f"NOT TESTED, no small file system can be made here: {ran.stderr[:200]}")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_disk_that_fills_at_any_moment_is_the_workers_fault(
    films: Films, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ffmpeg = str(request.node.callspec.params["ffmpeg"])
    source = films("long.mp4")
    outcome, size = on_a_small_disk(tmp_path, 20_000, source, ffmpeg).split()
    assert outcome == "whole"
    # The last pages are those of the index, which is written at the end: an old ffmpeg ends well.
    fits = -(-int(size) // 4096) * 4
    for kilobytes in (40, fits // 2, fits - 4):
        told = on_a_small_disk(tmp_path, kilobytes, source, ffmpeg)
        assert told.startswith("sick"), told
        assert "No space left" in told
        assert "MiB of free space" in told
    assert on_a_small_disk(tmp_path, fits + 40, source, ffmpeg).startswith("whole")
