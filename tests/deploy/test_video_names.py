from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.names import (
    JobIdError,
    VideoNameError,
    check_output_name,
    check_video_name,
    is_safe_job_id,
    output_name,
    result_key,
)
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


def test_each_job_has_its_own_result() -> None:
    job_id = "0c0a1f3c-3f4a-4f0e-9d0e-0a9f6c0c9f11"
    key = result_key(job_id, "out-ü b.mp4")
    assert key == f"job-results/{job_id}/out-ü b.mp4"
    check_key(key)


@pytest.mark.parametrize(
    "job_id", ["", ".", "..", "../x", "a/b", "a\\b", ".a", "a b", "a\n", "ü", "-a", "x" * 101]
)
def test_ids_that_lead_elsewhere_have_no_result(job_id: str) -> None:
    assert not is_safe_job_id(job_id)
    with pytest.raises(JobIdError, match="cannot be part of a storage key"):
        result_key(job_id, "out-a.mp4")


@given(st.text(), st.text())
def test_no_id_and_name_lead_out_of_the_results(job_id: str, name: str) -> None:
    try:
        key = result_key(job_id, name)
    except (JobIdError, VideoNameError):
        return
    assert check_key(key) == ("job-results", job_id, name)
