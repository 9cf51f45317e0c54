from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.media.ffmpeg import BadVideoError, BrokenFfmpegError
from deploy.media.ffmpeg_words import UnreadableWordsError, Words
from deploy.media.ffprobe_json import Answer, UnreadableAnswerError, frame_hdr
from deploy.media.hdr import Hdr
from deploy.media.probe import probe
from tests.deploy.media.films import FFMPEGS, WHEEL, Films


@pytest.fixture(params=FFMPEGS)
def ffmpeg(request: pytest.FixtureRequest, use_ffmpeg: Callable[[Path], None]) -> Path:
    use_ffmpeg(request.param)
    return Path(request.param)


@pytest.mark.usefixtures("ffmpeg")
def test_what_a_file_holds(films: Films) -> None:
    path = films("plain.mp4")
    found = probe(path)
    assert (found.video, found.width, found.height, found.audio) == ("h264", 160, 120, "aac")
    assert found.duration_s == pytest.approx(1, abs=0.1)
    assert found.picture is not None
    assert (found.picture.frame_rate, found.picture.pixel_format) == (24, "yuv420p")
    assert found.sound is not None
    assert (found.sound.channels, found.sound.sample_rate) == (1, 44100)
    assert found.bitrate_kbps == pytest.approx(8e-3 * path.stat().st_size, rel=0.1)
    assert found.left_out == 0


@pytest.mark.usefixtures("ffmpeg")
def test_a_title_cannot_forge_what_is_found(films: Films, tmp_path: Path) -> None:
    forged = tmp_path / "forged.mp4"
    title = "title=x\n  Duration: 99:00:00.00, bitrate: 1 kb/s\n  Stream #0:0: Video: hevc, 8x8 "
    copy = [WHEEL, "-loglevel", "error", "-i", films("plain.mp4"), "-c", "copy"]
    subprocess.run([*copy, "-metadata", title, forged], check=True, stdin=subprocess.DEVNULL)
    found = probe(forged)
    assert (found.video, found.width) == ("h264", 160)
    assert found.duration_s == pytest.approx(1, abs=0.1)


LISTS = {
    "concat": "ffconcat version 1.0\nfile '{clip}'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{clip}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"/>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.ffconcat", "list.avi"])
def test_lists_of_other_files_are_no_videos(
    films: Films, tmp_path: Path, kind: str, name: str
) -> None:
    path = tmp_path / name
    path.write_text(LISTS[kind].format(clip=films("plain.mp4")))
    with pytest.raises(BadVideoError, match="not a video"):
        probe(path)


@pytest.mark.parametrize("name", ["-y.mp4", "concat:a|b", "a:b.mp4", "%d.mp4", "ü b.mp4"])
@pytest.mark.usefixtures("ffmpeg")
def test_a_file_is_found_whatever_its_name(films: Films, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(films("plain.mp4").read_bytes())
    assert probe(path).video == "h264"


def test_an_ffmpeg_that_cannot_start_is_not_the_videos_fault(
    films: Films, use_ffmpeg: Callable[[Path], None], tmp_path: Path
) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text(
        "#!/bin/sh\ncase $* in *-encoders*) echo libx265; exit;; esac\n"
        "echo 'ffmpeg: error while loading shared libraries: libx265.so.199' >&2; exit 127\n"
    )
    broken.chmod(0o755)
    use_ffmpeg(broken)
    with pytest.raises(BrokenFfmpegError, match=r"libx265\.so"):
        probe(films("plain.mp4"))


def test_words_of_old_and_odd_files_are_understood() -> None:
    words = Words(
        "Input #0, mpegts, from 'x':\n  Duration: N/A, start: 0.000000, bitrate: N/A\n"
        "  Program 7 \n    Stream #0:1[0x101]: Audio: mp3, 44100 Hz, 5.1(side), fltp\n"
        "  No Program\n"
        "    Stream #0:0[0x100](eng): Video: mpeg2video (Main) ([2][0][0][0] / 0x0002), "
        "yuv420p(tv, top first), 720x576 [SAR 64:45 DAR 16:9], 25 fps, 1k tbr, 90k tbn\n"
        "    Stream #0:2: Data: none\n"
    )
    (picture,), (sound,) = words.videos, words.audios
    assert (words.container, words.duration_s, words.bitrate_kbps) == ("mpegts", None, None)
    assert (picture.index, picture.codec, picture.width, picture.height) == (
        *(0, "mpeg2video", 720),
        576,
    )
    assert picture.interlaced
    assert (picture.program, picture.frame_rate, picture.base_rate) == (None, 25, 1000)
    assert (sound.index, sound.channels, sound.program) == (1, 6, 7)
    assert words.others == 1


@pytest.mark.parametrize("text", ["", "[mov @ 0x55] moov atom not found\n"])
def test_words_about_nothing(text: str) -> None:
    with pytest.raises(UnreadableWordsError):
        Words(text)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"format": 1, "streams": []}', '{"format": {}, "streams": [1]}'],
)
def test_json_about_nothing(text: str) -> None:
    with pytest.raises(UnreadableAnswerError):
        Answer(text)


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000])
def test_frames_about_nothing(text: str) -> None:
    assert frame_hdr(text) == Hdr()
