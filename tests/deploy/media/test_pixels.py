from __future__ import annotations

import subprocess

import pytest

from deploy.media.ffmpeg import find_ffmpeg
from deploy.media.pixels import filters, has_alpha, output_format
from deploy.media.streams import VideoStream


def test_depth_and_alpha_as_ffmpeg_itself_has_them() -> None:
    listing = subprocess.run(
        [find_ffmpeg(), "-hide_banner", "-pix_fmts"], capture_output=True, text=True, check=True
    ).stdout
    wrong = []
    for line in listing.splitlines():
        words = line.split()
        if len(words) != 5 or len(words[0]) != 5 or not words[4].replace("-", "").isdigit():
            continue  # not a format, or of a version that does not tell the depth
        name, depths = words[1], {int(depth) for depth in words[4].split("-")}
        if words[0][2] == "H" or name.startswith("bayer"):
            continue  # held by hardware; a camera's mosaic
        deep = max(depths) > 8
        if (output_format(name) == "yuv420p10le") != deep:
            wrong.append((name, depths))
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "deep"),
    [
        ("yuv420p", False),
        ("yuvj444p", False),
        ("nv12", False),
        ("pal8", False),
        ("rgb24", False),
        ("yuv420p10le", True),
        ("gbrp12be", True),
        ("p010le", True),
        ("rgb48le", True),
        ("gray16le", True),
        ("gbrpf32le", True),
        (None, False),
    ],
)
def test_deep_pixels_stay_deep(name: str | None, deep: bool) -> None:
    assert output_format(name) == ("yuv420p10le" if deep else "yuv420p")


@pytest.mark.parametrize("name", ["rgba", "yuva444p10le", "gbrap", "ya8", "pal8"])
def test_transparency_is_seen(name: str) -> None:
    assert has_alpha(name)


@pytest.mark.parametrize("name", ["yuv420p", "rgb24", "bgr0", "gray", None])
def test_there_is_none(name: str | None) -> None:
    assert not has_alpha(name)


def test_only_fields_are_made_into_frames() -> None:
    assert "bwdif" in filters(VideoStream(0, "mpeg2video", interlaced=True))
    assert "bwdif" not in filters(VideoStream(0, "mpeg2video"))


def test_the_matrix_of_what_has_one_already_stays() -> None:
    chain = filters(VideoStream(0, "hevc", pixel_format="yuv420p10le", matrix="bt2020nc"))
    assert "matrix" not in chain
    assert "bt709" not in chain
