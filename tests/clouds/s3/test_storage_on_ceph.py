"""Our S3 storage and our worker against a real S3 server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import minio
import pytest

from deploy.media.probe import probe
from deploy.storage.base import ObjectStorage, StorageError, StorageUnavailableError
from deploy.storage.factory import make_storage, s3_url
from tests.clouds.s3.ceph import CephS3, S3Server
from tests.deploy.scripted_controller import ScriptedController
from tests.deploy.storage_contract import StorageContract
from tests.deploy.worker_process import make_clip, running_worker, task


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[str]:
    """A bucket's name; the bucket is not there yet, and is removed at the end."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    client = minio.Minio(
        endpoint=f"{s3_server.host}:{s3_server.port}",
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        secure=False,
    )
    if client.bucket_exists(bucket_name=name):
        for entry in client.list_objects(bucket_name=name, recursive=True):
            client.remove_object(bucket_name=name, object_name=str(entry.object_name))
        client.remove_bucket(bucket_name=name)


def storage_in(server: S3Server, bucket: str, secret: str | None = None) -> ObjectStorage:
    return make_storage(
        s3_url(server.host, server.port, bucket),
        access_key=server.access_key,
        secret_key=secret or server.secret_key,
    )


@pytest.fixture
def storage(s3_server: S3Server, bucket: str) -> ObjectStorage:
    made = storage_in(s3_server, bucket)
    made.prepare()
    return made


class TestS3OnCeph(StorageContract):
    @pytest.fixture
    def storage(self, s3_server: S3Server, bucket: str) -> ObjectStorage:
        made = storage_in(s3_server, bucket)
        made.prepare()
        return made


def test_a_wrong_secret_is_told_and_never_printed(s3_server: S3Server, bucket: str) -> None:
    with pytest.raises(StorageError, match="refuses the secret key") as caught:
        storage_in(s3_server, bucket, "battery staple").check()
    assert "staple" not in str(caught.value)


def test_an_unknown_user_is_told(s3_server: S3Server, bucket: str) -> None:
    url = s3_url(s3_server.host, s3_server.port, bucket)
    with pytest.raises(StorageError, match="does not know the access key"):
        make_storage(url, access_key="stranger", secret_key="x" * 8).check()


def test_a_missing_bucket_is_named(s3_server: S3Server, bucket: str) -> None:
    with pytest.raises(StorageError, match=f"no bucket '{bucket}'"):
        storage_in(s3_server, bucket).check()


def test_a_server_that_is_down_and_comes_back(
    s3_cloud: CephS3, storage: ObjectStorage, tmp_path: Path
) -> None:
    clip = tmp_path / "clip"
    clip.write_bytes(b"frames" * 1000)
    storage.upload(clip, "clip")
    with s3_cloud.gateway_down(), pytest.raises(StorageUnavailableError):
        storage.size("clip")
    assert storage.size("clip") == 6000


def test_a_worker_transcodes_from_and_to_the_bucket(
    s3_server: S3Server, bucket: str, storage: ObjectStorage, tmp_path: Path
) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=2)
    storage.upload(tmp_path / "clip.mp4", "input-videos/clip.mp4")
    settings = {  # the contract's variables, as VMs and pods get them
        "MINIO_SERVER": s3_server.host,
        "MINIO_PORT": str(s3_server.port),
        "MINIO_ACCESS_KEY": s3_server.access_key,
        "MINIO_SECRET_KEY": s3_server.secret_key,
        "BUCKET_NAME": bucket,
    }
    with (
        ScriptedController() as controller,
        running_worker(tmp_path, controller.port, "", **settings) as worker,
    ):
        controller.send(task(worker, bitrate=700))
        controller.wait_for("task-1", "FILE_UPLOADED")
    storage.download("output-videos/out-clip.mp4", tmp_path / "out.mp4")
    found = probe(tmp_path / "out.mp4")
    assert found.video == "hevc"
    assert found.duration_s == pytest.approx(2, abs=0.1)
