from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_process import make_clip

from deploy.media.ffmpeg import (
    FFMPEG_VARIABLE,
    BadVideoError,
    FfmpegError,
    Probe,
    check_request,
    find_ffmpeg,
    last_words,
    parse_probe,
    probe,
    transcode_command,
)


@pytest.fixture
def fresh_search() -> Iterator[None]:
    find_ffmpeg.cache_clear()
    yield
    find_ffmpeg.cache_clear()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_clip(path)
    return path


def options(command: list[str], name: str) -> list[str]:
    return [value for key, value in pairwise(command) if key == name]


def test_probe(clip: Path) -> None:
    found = probe(clip)
    assert found == Probe(
        duration_s=pytest.approx(1, abs=0.1),
        video="h264",
        width=160,
        height=90,
        audio="aac",
        bitrate_kbps=found.bitrate_kbps,
    )
    assert found.bitrate_kbps is not None
    assert found.bitrate_kbps == pytest.approx(8e-3 * clip.stat().st_size, rel=0.1)


def test_a_title_cannot_forge_what_is_found(clip: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged.mp4"
    title = "title=x\n  Duration: 99:00:00.00, bitrate: 1 kb/s\n  Stream #0:0: Video: hevc, 8x8 "
    copy = [find_ffmpeg(), "-loglevel", "error", "-i", clip, "-c", "copy", "-metadata", title]
    subprocess.run([*copy, forged], check=True, stdin=subprocess.DEVNULL)
    found = probe(forged)
    assert (found.video, found.width) == ("h264", 160)
    assert found.duration_s == pytest.approx(1, abs=0.1)


def test_old_and_odd_output_is_understood() -> None:
    output = (
        "Input #0, mpegts, from 'x':\n  Duration: N/A, start: 0.0, bitrate: N/A\n"
        "    Stream #0:1[0x101]: Audio: mp3, 44100 Hz\n"
        "    Stream #0:0[0x100](eng): Video: mpeg2video (Main) ([2][0][0][0]), yuv420p(tv),"
        " 720x576 [SAR 64:45 DAR 16:9], 25 fps\n"
    )
    assert parse_probe(output) == Probe(None, "mpeg2video", 720, 576, "mp3", None)
    with pytest.raises(BadVideoError, match="moov atom not found"):
        parse_probe("[mov @ 0x55] moov atom not found\n")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no video",
        "ffconcat version 1.0\nfile '{clip}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{clip}\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"/>',
    ],
)
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.ffconcat"])
def test_lists_of_other_files_are_no_videos(
    clip: Path, tmp_path: Path, content: str, name: str
) -> None:
    path = tmp_path / name
    path.write_text(content.format(clip=clip))
    with pytest.raises(BadVideoError, match="not a video"):
        probe(path)


@pytest.mark.parametrize("name", ["-y.mp4", "concat:a|b", "a:b.mp4", "%d.mp4", "ü b.mp4"])
def test_a_file_is_found_whatever_its_name(clip: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(clip.read_bytes())
    assert probe(path).video == "h264"


@pytest.mark.parametrize(("cpus", "frames"), [(1, 1), (3, 1), (4, 2), (8, 3), (64, 6)])
def test_threads_follow_the_flavor(cpus: int, frames: int) -> None:
    command = transcode_command(
        Path("in"), Path("out"), bitrate_kbps=700, speed="fast", cpus=cpus, audio="opus"
    )
    assert options(command, "-x265-params") == [
        f"pools={cpus}:frame-threads={frames}:log-level=error"
    ]
    assert options(command, "-threads") == [str(cpus)]
    assert options(command, "-b:v") == ["700k"]
    assert options(command, "-preset") == ["fast"]
    assert options(command, "-c:a") == ["aac"]
    before_input = command[: command.index("-i")]
    assert options(before_input, "-protocol_whitelist") == ["file"]


def test_sound_that_mp4_takes_is_copied() -> None:
    command = transcode_command(
        Path("in"), Path("out"), bitrate_kbps=700, speed="fast", cpus=1, audio="aac"
    )
    assert options(command, "-c:a") == ["copy"]


@given(st.integers(), st.text())
def test_only_known_speeds_and_bitrates_reach_the_command(bitrate: int, speed: str) -> None:
    with pytest.raises(BadVideoError):
        check_request(bitrate, speed)


@pytest.mark.parametrize("speed", ["ultrafast", "fast", "placebo"])
@pytest.mark.parametrize("bitrate", [1, 500, 8000])
def test_what_the_interface_allows_is_accepted(bitrate: int, speed: str) -> None:
    check_request(bitrate, speed)


@pytest.mark.parametrize("bitrate", [0, -1, 2_000_000])
def test_other_bitrates_are_refused(bitrate: int) -> None:
    with pytest.raises(BadVideoError, match=str(bitrate)):
        check_request(bitrate, "fast")


@pytest.mark.usefixtures("fresh_search")
class TestFinding:
    def test_the_named_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        link = tmp_path / "my-ffmpeg"
        link.symlink_to(find_ffmpeg())
        find_ffmpeg.cache_clear()
        monkeypatch.setenv(FFMPEG_VARIABLE, str(link))
        assert find_ffmpeg() == link

    @pytest.mark.parametrize("named", ["/does/not/exist", sys.executable])
    def test_a_named_one_that_cannot_encode(
        self, monkeypatch: pytest.MonkeyPatch, named: str
    ) -> None:
        monkeypatch.setenv(FFMPEG_VARIABLE, named)
        with pytest.raises(FfmpegError, match=FFMPEG_VARIABLE):
            find_ffmpeg()

    def test_one_on_the_path_without_the_encoder_is_passed_over(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        poor = tmp_path / "ffmpeg"
        poor.write_text("#!/bin/sh\necho libx264\n")
        poor.chmod(0o755)
        monkeypatch.delenv(FFMPEG_VARIABLE, raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_ffmpeg() != poor
        assert find_ffmpeg().exists()

    def test_one_on_the_path_with_the_encoder(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "ffmpeg").symlink_to(find_ffmpeg())
        find_ffmpeg.cache_clear()
        monkeypatch.delenv(FFMPEG_VARIABLE, raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_ffmpeg() == tmp_path / "ffmpeg"


def test_last_words_are_short_printable_and_without_paths() -> None:
    stderr = "first\n[in#0 @ 0x55d0] bad \x1b[31mfile /tmp/x/input\n" + "x" * 1000 + "\n"
    words = last_words(stderr, hide=[Path("/tmp/x")])
    assert len(words) == 300
    words = last_words(
        "a\n[in#0 @ 0x55d0] bad \x1b[31mfile /tmp/x/input\n\n", hide=[Path("/tmp/x")]
    )
    assert words == "a | bad ?[31mfile input"
