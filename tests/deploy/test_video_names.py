from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.names import VideoNameError, check_output_name, check_video_name, output_name
from deploy.storage.base import check_key


@pytest.mark.parametrize("name", ["bbb_0.mp4", "a b.mp4", "ü.mp4", "-x", "a..b", "x" * 200])
def test_good_names(name: str) -> None:
    assert check_video_name(name) == name
    assert check_output_name(output_name(name)) == f"out-{name}"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("../x", "slash"),
        ("/etc/passwd", "slash"),
        ("a\\b", "backslash"),
        ("..", "dot"),
        (".hidden", "dot"),
        ("a\nb", "control"),
        ("a\0", "control"),
        ("a\u202eb", "control"),
        ("\ud800", "control"),
        ("x" * 201, "200 bytes"),
        ("é" * 101, "200 bytes"),
        ("e\u0301", "form C"),
    ],
)
def test_bad_names(name: str, why: str) -> None:
    with pytest.raises(VideoNameError, match=why) as caught:
        check_video_name(name)
    assert str(caught.value).isascii()


@given(st.text())
def test_an_accepted_name_is_one_part_of_a_key(name: str) -> None:
    try:
        check_video_name(name)
    except VideoNameError:
        return
    key = f"output-videos/{output_name(name)}"
    assert check_key(key) == ("output-videos", f"out-{name}")
    assert unicodedata.normalize("NFC", name) == name
