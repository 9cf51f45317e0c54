"""Whose failure a transcode's failure is, with an ffmpeg that misbehaves as the test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.media.ffmpeg import FFMPEG_VARIABLE, find_ffmpeg, variable_rate
from deploy.media.probe import probe
from deploy.worker.transcoder import (
    SickWorkerError,
    TranscodeRequest,
    TranscodingError,
    transcode,
)
from tests.deploy.worker_process import make_clip

Misbehave = Callable[[str], None]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_clip(path)
    return path


@pytest.fixture
def misbehave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehave]:
    """Puts lines of shell before the real ffmpeg, run for each transcode.

    ``$film`` tells whether it is that of the film and not of the worker's test.
    """
    real = find_ffmpeg()
    script = tmp_path / "bin" / "ffmpeg"
    script.parent.mkdir()

    def put(lines: str) -> None:
        script.write_text(
            "#!/bin/sh\n"
            'film=no; case "$*" in *input*libx265*) film=yes;; esac\n'
            f'case "$*" in *libx265*)\n{lines}\n;; esac\nexec {real} "$@"\n'
        )
        script.chmod(0o755)

    put(":")
    monkeypatch.setenv(FFMPEG_VARIABLE, str(script))
    find_ffmpeg.cache_clear()
    variable_rate.cache_clear()
    find_ffmpeg()
    variable_rate()
    yield put
    find_ffmpeg.cache_clear()
    variable_rate.cache_clear()


def run(clip: Path, folder: Path, *, stall_timeout_s: float = 60) -> Path:
    source = folder / "input"
    source.write_bytes(clip.read_bytes())
    target = folder / "output.mp4"
    request = TranscodeRequest(500, "ultrafast")
    asyncio.run(transcode(source, target, request, cpus=1, stall_timeout_s=stall_timeout_s))
    return target


ONCE = "if [ $film = yes ] && [ ! -e {mark} ]; then touch {mark}; {what}; fi"


def test_a_stall_is_tried_again(misbehave: Misbehave, clip: Path, tmp_path: Path) -> None:
    misbehave(ONCE.format(mark=tmp_path / "stalled", what="exec sleep 600"))
    assert probe(run(clip, tmp_path, stall_timeout_s=3)).video == "hevc"
    assert (tmp_path / "stalled").exists()


def test_two_stalls_are_the_videos_fault_where_another_film_works(
    misbehave: Misbehave, clip: Path, tmp_path: Path
) -> None:
    misbehave("[ $film = yes ] && exec sleep 600")
    with pytest.raises(TranscodingError, match="ffmpeg, 2 times: no progress"):
        run(clip, tmp_path, stall_timeout_s=3)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("exit 1", "a test film cannot be transcoded here: ffmpeg failed with code 1"),
        ("kill -SEGV $$", "crashed by SIGSEGV"),
        ("kill -KILL $$", "memory too small"),
        ("kill -ILL $$", "was ended by SIGILL"),
        ("exit 0", "a test film cannot be transcoded here"),
        ("[ $film = yes ] && kill -KILL $$", "a test film can be transcoded here"),
        ("[ $film = yes ] && echo 'x: No space left on device' >&2 && exit 1", "No space left"),
        ("[ $film = yes ] && echo 'Error writing trailer of x' >&2 && exit 1", "trailer"),
        ("[ $film = yes ] && echo \"Unknown encoder 'libx265'\" >&2 && exit 1", "libx265"),
    ],
)
def test_what_this_machine_does_to_every_film_is_the_workers_fault(
    misbehave: Misbehave, clip: Path, tmp_path: Path, lines: str, words: str
) -> None:
    misbehave(lines)
    with pytest.raises(SickWorkerError) as caught:
        run(clip, tmp_path)
    assert words in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "lines",
    [
        "[ $film = yes ] && kill -SEGV $$",
        "[ $film = yes ] && echo 'Invalid data found when processing input' >&2 && exit 183",
    ],
)
def test_what_happens_to_this_film_alone_is_the_videos_fault(
    misbehave: Misbehave, clip: Path, tmp_path: Path, lines: str
) -> None:
    misbehave(lines)
    with pytest.raises(TranscodingError):
        run(clip, tmp_path)


def test_a_result_that_cannot_be_played_is_the_workers_fault_at_code_0(
    misbehave: Misbehave, clip: Path, tmp_path: Path
) -> None:
    target = tmp_path / "output.mp4"
    report = "printf 'frame=24\\nout_time_us=1000000\\nprogress=end\\n'"
    misbehave(f"[ $film = yes ] && head -c 9000 {clip} > {target} && {report} && exit 0")
    with pytest.raises(SickWorkerError, match="the result"):
        run(clip, tmp_path)


def test_sound_that_cannot_be_copied_is_encoded(
    misbehave: Misbehave, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    misbehave('case "$*" in *"-c:a copy"*) echo "Malformed AAC bitstream" >&2; exit 1;; esac')
    with caplog.at_level(logging.WARNING):
        found = probe(run(clip, tmp_path))
    assert (found.video, found.audio) == ("hevc", "aac")
    assert "with new sound" in caplog.text
