"""The S3 server that the tests set up is a real one: it stores, and it refuses a wrong secret."""

from __future__ import annotations

import io

import minio
import pytest

from tests.clouds.s3.ceph import S3Server


def _client(server: S3Server, secret_key: str) -> minio.Minio:
    return minio.Minio(
        endpoint=f"{server.host}:{server.port}",
        access_key=server.access_key,
        secret_key=secret_key,
        secure=False,
    )


def test_what_is_put_is_got(s3_server: S3Server) -> None:
    client = _client(s3_server, s3_server.secret_key)
    client.make_bucket(bucket_name="smoke")
    try:
        content = bytes(range(256)) * 5_000
        client.put_object(
            bucket_name="smoke",
            object_name="in/a.mp4",
            data=io.BytesIO(content),
            length=len(content),
        )
        reply = client.get_object(bucket_name="smoke", object_name="in/a.mp4")
        try:
            assert reply.read() == content
        finally:
            reply.close()
            reply.release_conn()
        client.remove_object(bucket_name="smoke", object_name="in/a.mp4")
    finally:
        client.remove_bucket(bucket_name="smoke")


def test_a_wrong_secret_is_refused(s3_server: S3Server) -> None:
    with pytest.raises(minio.error.S3Error) as refused:
        _client(s3_server, "wrong-secret").list_buckets()
    assert refused.value.code == "SignatureDoesNotMatch"


def test_a_missing_object_is_named_as_missing(s3_server: S3Server) -> None:
    client = _client(s3_server, s3_server.secret_key)
    with pytest.raises(minio.error.S3Error) as missing:
        client.stat_object(bucket_name="no-such-bucket", object_name="x")
    assert missing.value.code in {"NoSuchBucket", "NoSuchKey"}
