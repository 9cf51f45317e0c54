from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.media.command import check_request, losses, transcode_command
from deploy.media.ffmpeg import BadVideoError
from deploy.media.hdr import Hdr
from deploy.media.probe import Probe
from deploy.media.streams import AudioStream, VideoStream

PICTURE = VideoStream(3, "h264", 160, 120, "yuv420p", frame_rate=25.0, base_rate=25.0)


def options(command: list[str], name: str) -> list[str]:
    return [value for key, value in pairwise(command) if key == name]


def command(
    picture: VideoStream = PICTURE,
    sound: AudioStream | None = None,
    *,
    container: str = "mov,mp4,m4a,3gp,3g2,mj2",
    cpus: int = 1,
    copy_sound: bool = True,
) -> list[str]:
    found = Probe(container, 0.0, 1.0, None, picture, sound)
    return transcode_command(
        *(Path("in"), Path("out"), found),
        bitrate_bps=700_000,
        speed="fast",
        cpus=cpus,
        copy_sound=copy_sound,
    )


@pytest.mark.parametrize(("cpus", "frames"), [(1, 1), (3, 1), (4, 2), (8, 3), (64, 6)])
def test_threads_follow_the_flavor(cpus: int, frames: int) -> None:
    words = command(cpus=cpus)
    assert options(words, "-x265-params") == [
        f"pools={cpus}:frame-threads={frames}:log-level=error"
    ]
    assert options(words, "-threads") == [str(cpus)]


def test_the_request_and_the_protections_are_in_the_command() -> None:
    words = command()
    assert options(words, "-b:v") == ["700000"]
    assert options(words, "-preset") == ["fast"]
    assert options(words, "-map") == ["0:3"]
    before_input = words[: words.index("-i")]
    assert options(before_input, "-protocol_whitelist") == ["file"]
    assert "concat" not in options(before_input, "-format_whitelist")[0].split(",")


@pytest.mark.parametrize(
    ("sound", "container", "codec"),
    [
        (AudioStream(1, "aac", 2, 48000), "mov,mp4", "copy"),
        (AudioStream(1, "eac3", 6, 48000), "mpegts", "copy"),
        (AudioStream(1, "mp3", 2, 44100), "matroska,webm", "copy"),
        (AudioStream(1, "mp3", 2, 22050), "matroska,webm", "aac"),
        (AudioStream(1, "aac", 2, 48000), "avi", "aac"),
        (AudioStream(1, "opus", 2, 48000), "matroska,webm", "aac"),
    ],
)
def test_sound_that_mp4_takes_is_copied(sound: AudioStream, container: str, codec: str) -> None:
    assert options(command(sound=sound, container=container), "-c:a") == [codec]
    again = command(sound=sound, container=container, copy_sound=False)
    assert options(again, "-c:a") == ["aac"]


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (2, 2), (3, 2), (6, 6), (8, 2), (None, 2)])
def test_layouts_that_cannot_be_encoded_become_stereo(channels: int | None, kept: int) -> None:
    words = command(sound=AudioStream(1, "flac", channels, 48000))
    assert options(words, "-ac") == [str(kept)]


def test_a_clock_that_is_finer_than_the_film_does_not_cost_its_bits() -> None:
    uneven = VideoStream(0, "vp9", 160, 120, frame_rate=23.976, base_rate=1000.0)
    assert "fps=23976/1000" in options(command(uneven), "-x265-params")[0].split(":")
    assert "fps" not in options(command(), "-x265-params")[0]


def test_what_is_lost_is_said() -> None:
    picture = VideoStream(0, "prores", pixel_format="yuva444p10le")
    found = Probe(
        "mov", 0.0, 1.0, None, picture, None, hdr=Hdr(dynamic=("Dolby Vision",)), left_out=2
    )
    assert losses(found) == ["Dolby Vision data", "transparency", "2 further tracks"]
    assert losses(Probe("mov", 0.0, 1.0, None, PICTURE, None)) == []


@given(st.integers(), st.text())
def test_only_known_speeds_and_bitrates_reach_the_command(bitrate: int, speed: str) -> None:
    with pytest.raises(BadVideoError):
        check_request(bitrate, speed)


@pytest.mark.parametrize("speed", ["ultrafast", "fast", "placebo"])
@pytest.mark.parametrize("bitrate", [1, 500, 8000])
def test_what_the_interface_allows_is_accepted(bitrate: int, speed: str) -> None:
    check_request(bitrate, speed)
    check_request(bitrate, speed, unit_bps=1)


@pytest.mark.parametrize("bitrate", [0, -1, 2_000_000])
def test_other_bitrates_are_refused(bitrate: int) -> None:
    with pytest.raises(BadVideoError, match=str(bitrate)):
        check_request(bitrate, "fast")
