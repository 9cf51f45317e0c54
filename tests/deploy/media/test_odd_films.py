"""Films that people really have come out right, with an old ffmpeg and with a new one."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.media.ffmpeg import find_ffmpeg, find_ffprobe
from deploy.media.probe import Probe, probe
from deploy.worker.transcoder import TranscodeRequest, TranscodingError, transcode
from tests.deploy.media.films import FFMPEGS, Films


@dataclass(frozen=True)
class Wanted:
    """What a result must be.

    Attributes:
        seconds: playing time.
        size: of the picture.
        frames: fewest pictures.
        pixels: their format.
        sound: codec, none for none.
        channels: of the sound.
    """

    seconds: float = 1.0
    size: tuple[int, int] = (160, 120)
    frames: int = 24
    pixels: str = "yuv420p"
    sound: str | None = "aac"
    channels: int = 1


ODD = (162, 122)
SILENT = Wanted(sound=None)
FILMS = {
    "plain.mp4": Wanted(),
    "late.mkv": Wanted(seconds=2, frames=48),
    "late_hour.mp4": Wanted(),
    "negative.mkv": Wanted(),
    "wrapped.ts": Wanted(seconds=6, frames=144),
    "forwards.ts": Wanted(seconds=2, frames=48),
    "backwards.ts": Wanted(seconds=2, frames=48),
    "grows.ts": Wanted(seconds=2, frames=48),
    "odd.mkv": Wanted(size=ODD, sound=None),
    "odd_mjpeg.mov": Wanted(size=ODD, sound=None),
    "odd_444.mp4": Wanted(size=ODD, sound=None),
    "tiny.mkv": Wanted(size=(16, 16), sound=None),
    "turned.mp4": Wanted(size=(120, 160)),
    "turned_odd.mp4": Wanted(size=(122, 162), sound=None),
    "anamorphic.mp4": SILENT,
    "rgb.mov": SILENT,
    "alpha.mov": SILENT,
    "grey.mkv": SILENT,
    "deep422.mkv": Wanted(pixels="yuv420p10le", sound=None),
    "prores4444.mov": Wanted(pixels="yuv420p10le", sound=None),
    "hdr10.mp4": Wanted(pixels="yuv420p10le", sound=None),
    "fields.ts": SILENT,
    "still_first.mkv": Wanted(),
    "still_before_mjpeg.mkv": SILENT,
    "cover_first.mp4": Wanted(),
    "second_default.mkv": Wanted(channels=2),
    "many_tracks.mkv": Wanted(),
    "long_subtitles.mkv": Wanted(),
    "slow.mp4": Wanted(seconds=30, frames=6, sound=None),
    "fast.mp4": Wanted(seconds=0.2, frames=100, sound=None),
    "one.mp4": Wanted(seconds=0.04, frames=1, sound=None),
    "sound_longer.mp4": Wanted(seconds=5),
    "picture_late.mkv": Wanted(seconds=3),
    "uneven.mkv": Wanted(seconds=2, sound=None),
    "live.mkv": Wanted(),
    "fragments.mp4": Wanted(),
    "edited.mp4": Wanted(seconds=4.7, frames=110),
    "time_code.mkv": Wanted(),
    "surround.mkv": Wanted(channels=2),
    "three.mov": Wanted(channels=2),
    "opus.mkv": Wanted(),
    "low_mp3.mkv": Wanted(),
    "x.avi": Wanted(),
    "aac.avi": Wanted(),
    "x.flv": Wanted(),
    "x.gif": Wanted(seconds=1.1, frames=10, sound=None),
    "x.wmv": Wanted(),
    "x.mpg": Wanted(),
    "x.ogv": Wanted(),
    "x.mxf": Wanted(),
    "damaged.mp4": Wanted(seconds=6, frames=120),
    "damaged_sound.ts": Wanted(),
    "lying.mp4": Wanted(),
    "damaged.ts": Wanted(seconds=6, frames=120),
}
"""The result of each."""
QUICK = {
    "plain.mp4",
    "forwards.ts",
    "odd.mkv",
    "still_first.mkv",
    "second_default.mkv",
    "lying.mp4",
}
"""Done with the system's ffmpeg in the quick tests, too: it takes long to start."""

BAD = {
    "cut.mp4": "breaks off",
    "cut.mkv": "breaks off",
    "cut.flv": "breaks off",
    "sound_only.m4a": "has no picture",
    "text.mp4": "not a video",
    "empty.mp4": "not a video",
    "raw.264": "none of the containers",
    "cover.jpg": "none of the containers",
}


def cases(names: Iterable[str], quick: Collection[str]) -> list[object]:
    """Each name with each ffmpeg."""
    return [
        pytest.param(
            *ffmpeg.values,
            name,
            id=f"{ffmpeg.id}-{name}",
            marks=[] if ffmpeg.id == "wheel" or name in quick else [pytest.mark.slow],
        )
        for ffmpeg in FFMPEGS
        for name in names
    ]


def result_of(source: Path, folder: Path) -> Path:
    """Transcode a film as the worker does; the source lies alone, as there."""
    shutil.copy(source, folder / "input")
    target = folder / "output.mp4"
    request = TranscodeRequest(400, "ultrafast")
    asyncio.run(transcode(folder / "input", target, request, cpus=1))
    return target


def decoded(path: Path) -> int:
    """How many pictures play without an error, from the first to the last."""
    command = [str(find_ffmpeg()), "-nostdin", "-loglevel", "error", "-progress", "pipe:1"]
    ran = subprocess.run(
        [*command, "-i", str(path), "-map", "0:v", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    return max(int(line[6:]) for line in ran.stdout.splitlines() if line.startswith("frame="))


@pytest.fixture(params=FFMPEGS)
def ffmpeg(request: pytest.FixtureRequest, use_ffmpeg: Callable[[Path], None]) -> Path:
    use_ffmpeg(request.param)
    return Path(request.param)


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize(("ffmpeg", "name"), cases(FILMS, QUICK), indirect=["ffmpeg"])
def test_the_film_comes_out(films: Films, tmp_path: Path, name: str) -> None:
    wanted = FILMS[name]
    result = result_of(films(name), tmp_path)
    found = probe(result)
    assert found.picture is not None
    assert found.video == "hevc"
    assert found.picture.pixel_format == wanted.pixels
    assert (found.width, found.height) == wanted.size
    assert found.duration_s == pytest.approx(wanted.seconds, abs=0.15)
    assert (found.sound and (found.sound.codec, found.sound.channels)) == (
        wanted.sound and (wanted.sound, wanted.channels)
    )
    assert decoded(result) >= wanted.frames


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize(("ffmpeg", "name"), cases(BAD, {"cut.mkv"}), indirect=["ffmpeg"])
def test_what_cannot_be_transcoded_is_the_videos_fault(
    films: Films, tmp_path: Path, name: str
) -> None:
    with pytest.raises(TranscodingError, match=BAD[name]) as caught:
        result_of(films(name), tmp_path)
    assert str(tmp_path) not in str(caught.value)


def stream_of(path: Path, entries: str, section: str = "stream") -> dict[str, object]:
    ffprobe = shutil.which("ffprobe")
    if ffprobe is None:
        pytest.skip("needs an ffprobe to look at the result")
    command = [ffprobe, "-v", "error", "-select_streams", "v:0", "-read_intervals", "%+#1"]
    answer = subprocess.run(
        [*command, "-show_entries", entries, "-of", "json", path], capture_output=True, check=True
    )
    return dict(json.loads(answer.stdout)[f"{section}s"][0])


@pytest.mark.usefixtures("ffmpeg")
def test_the_brightness_and_the_colours_of_hdr10_are_kept(films: Films, tmp_path: Path) -> None:
    result = result_of(films("hdr10.mp4"), tmp_path)
    colours = stream_of(result, "stream=color_range,color_space,color_transfer,color_primaries")
    assert colours["color_range"] == "tv"
    assert colours["color_space"] == "bt2020nc"
    assert (colours["color_transfer"], colours["color_primaries"]) == ("smpte2084", "bt2020")
    entries = stream_of(result, "frame_side_data", "frame")["side_data_list"]
    assert isinstance(entries, list)
    about = {entry.get("side_data_type"): entry for entry in entries}
    assert about["Mastering display metadata"]["green_x"] == "13250/50000"
    assert about["Mastering display metadata"]["max_luminance"] == "10000000/10000"
    assert about["Content light level metadata"]["max_content"] == 1000


@pytest.mark.usefixtures("ffmpeg")
def test_the_shape_of_pixels_is_kept(films: Films, tmp_path: Path) -> None:
    result = result_of(films("anamorphic.mp4"), tmp_path)
    assert stream_of(result, "stream=sample_aspect_ratio") == {"sample_aspect_ratio": "64:45"}


@pytest.mark.usefixtures("ffmpeg")
def test_rgb_says_what_its_colours_became(films: Films, tmp_path: Path) -> None:
    result = result_of(films("rgb.mov"), tmp_path)
    assert stream_of(result, "stream=color_range,color_space") == {
        "color_range": "tv",
        "color_space": "bt709",
    }


@pytest.mark.usefixtures("ffmpeg")
def test_a_still_that_comes_first_is_not_the_film(films: Films) -> None:
    for name in ("still_first.mkv", "still_before_mjpeg.mkv", "cover_first.mp4"):
        found = probe(films(name))
        assert found.picture is not None
        assert (found.width, found.height) == (160, 120), name


@pytest.mark.usefixtures("ffmpeg")
def test_an_uneven_clock_keeps_its_times_and_its_bitrate(films: Films, tmp_path: Path) -> None:
    # 7 pictures in the first 30, and then all of them: none is doubled.
    assert decoded(result_of(films("uneven.mkv"), tmp_path)) < 48


def test_json_and_words_tell_the_same(films: Films, use_ffmpeg: Callable[[Path], None]) -> None:
    system = shutil.which("ffmpeg")
    if system is None or not Path(system).resolve().with_name("ffprobe").exists():
        pytest.skip("needs an ffmpeg with its ffprobe")
    names = ["plain.mp4", "odd_mjpeg.mov", "hdr10.mp4", "fields.ts", "forwards.ts"]
    names += ["still_first.mkv", "cover_first.mp4", "second_default.mkv", "many_tracks.mkv"]
    names += ["surround.mkv", "three.mov", "x.gif", "x.flv"]
    by_json = {}
    use_ffmpeg(Path(system))
    assert find_ffprobe() is not None
    for name in names:
        by_json[name] = essence(probe(films(name)))
    link = films.folder / "alone" / "ffmpeg"
    link.parent.mkdir(exist_ok=True)
    if not link.exists():
        shutil.copy(Path(system).resolve(), link)
    use_ffmpeg(link)
    assert find_ffprobe() is None
    for name in names:
        assert essence(probe(films(name))) == by_json[name], name


def essence(found: Probe) -> tuple[object, ...]:
    picture = found.picture
    assert picture is not None
    return (
        found.container,
        None if found.duration_s is None else round(found.duration_s, 1),
        (picture.index, picture.codec, picture.width, picture.height, picture.pixel_format),
        (picture.full_range, picture.matrix, picture.transfer, picture.interlaced),
        (picture.is_default, picture.is_attached, picture.program),
        found.sound,
        found.left_out,
    )
