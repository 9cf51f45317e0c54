from __future__ import annotations

from pathlib import Path

import pytest

from deploy.storage.base import StorageError
from deploy.storage.directory import DirectoryStorage
from deploy.storage.factory import make_storage, s3_url


@pytest.mark.parametrize("url", ["/a/b", "dir:///a/b"])
def test_folders(url: str) -> None:
    storage = make_storage(url)
    assert isinstance(storage, DirectoryStorage)
    assert storage.url == "dir:///a/b"


def test_a_folder_with_a_space(tmp_path: Path) -> None:
    assert make_storage("dir:///a%20b").url == "dir:///a b"


def test_a_relative_folder_is_one_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_storage("data").url == f"dir://{tmp_path}/data"


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("s3://minio:9100/videos", "s3://minio:9100/videos"),
        ("s3://minio/videos/", "s3://minio:9000/videos"),
        ("s3s://minio/videos", "s3s://minio:443/videos"),
        ("s3://[::1]:9000/videos", "s3://[::1]:9000/videos"),
    ],
)
def test_buckets(url: str, plain: str) -> None:
    assert make_storage(url).url == plain


def test_the_url_of_a_bucket() -> None:
    assert s3_url("10.0.0.5", 9000, "videos") == "s3://10.0.0.5:9000/videos"
    assert s3_url("::1", 9000, "videos", secure=True) == "s3s://[::1]:9000/videos"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "unknown"),
        ("ftp://host/x", "unknown"),
        ("dir://relative/x", "three slashes"),
        ("s3://minio:9000", "cannot be a bucket"),
        ("s3://minio:9000/a/b", "cannot be a bucket"),
        ("s3://minio:9000/Videos", "cannot be a bucket"),
        ("s3:///videos", "HOST:PORT"),
        ("s3://minio:nine/videos", "HOST:PORT"),
        ("s3://minio:9000/videos?x", "HOST:PORT"),
        ("s3://user:hunter2@minio:9000/videos", "environment"),
    ],
)
def test_bad_urls(url: str, why: str) -> None:
    with pytest.raises(StorageError, match=why) as caught:
        make_storage(url)
    assert "hunter2" not in str(caught.value)


def test_half_a_pair_of_keys_is_refused() -> None:
    with pytest.raises(StorageError, match="both"):
        make_storage("s3://minio:9000/videos", access_key="minio")
