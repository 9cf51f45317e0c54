"""An S3 bucket (MinIO, Ceph, ...) as object storage."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, SSLError

from deploy.names import attachment
from deploy.storage.base import (
    ObjectMissingError,
    ObjectStorage,
    StorageError,
    StorageUnavailableError,
    StoredObject,
    check_key,
)

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 30.0
"""Between two packets, not for a whole object."""
RETRIES: Final = 2
"""Of one HTTP request, within a second; patience beyond that is the caller's."""
PART_BYTES: Final = 16 * 1024 * 1024
"""Of a larger upload. Three parts are in memory at once, so a small worker can do it."""
_SHA256: Final = "sha256"
"""Name of the user metadata that holds an object's checksum."""
_OVERLOADED: Final = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioServerNotInitialized",
        "XMinioStorageFull",
    }
)


class S3Storage(ObjectStorage):
    """Objects in one bucket. An object appears when the server has all of it: S3 sees to that.

    Args:
        endpoint: ``HOST:PORT``.
        bucket: its name.
        secure: over TLS; the certificate is checked against ``SSL_CERT_FILE`` or certifi's list.
        access_key: as a user's name; none for anonymous access.
        secret_key: as the user's password.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        *,
        secure: bool,
        access_key: str | None = None,
        secret_key: str | None = None,
    ) -> None:
        self.url = f"{'s3s' if secure else 's3'}://{endpoint}/{bucket}"
        self._bucket = bucket
        self._endpoint = endpoint
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
            retries=urllib3.Retry(
                total=RETRIES, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)
            ),
            cert_reqs="CERT_REQUIRED",
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
            maxsize=8,
        )
        self._client = Minio(
            endpoint,
            access_key=access_key,
            secret_key=secret_key,
            secure=secure,
            http_client=self._pool,
        )

    def size(self, key: str) -> int:
        return self.stat(key).size

    def place(self, key: str) -> StoredObject:
        return self.stat(key)

    def stat(self, key: str) -> StoredObject:
        check_key(key)
        with self._errors(key):
            found = self._client.stat_object(self._bucket, key)
        modified = found.last_modified
        return StoredObject(
            size=found.size or 0,
            modified=modified.timestamp() if modified is not None else 0.0,
            sha256=(found.metadata or {}).get(f"x-amz-meta-{_SHA256}"),
        )

    def download(self, key: str, path: Path) -> None:
        check_key(key)
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            with self._errors(key):
                self._client.fget_object(self._bucket, key, str(path), tmp_file_path=str(partial))
        finally:
            partial.unlink(missing_ok=True)

    def read(self, key: str, first: int, length: int) -> bytes:
        check_key(key)
        if first >= self.size(key) or length <= 0:  # S3 takes neither
            return b""
        with self._errors(key):
            reply = self._client.get_object(self._bucket, key, offset=first, length=length)
            try:
                return reply.read()
            finally:
                reply.close()
                reply.release_conn()

    def signed_url(self, key: str, name: str, valid_s: int) -> str:
        check_key(key)
        with self._errors(key):
            return self._client.presigned_get_object(
                self._bucket,
                key,
                expires=timedelta(seconds=valid_s),
                response_headers={
                    "response-content-disposition": attachment(name),
                    "response-content-type": "video/mp4",
                },
            )

    def upload(self, path: Path, key: str) -> StoredObject:
        check_key(key)
        with self._errors(key):
            size = path.stat().st_size
            with path.open("rb") as content:
                sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            self._client.fput_object(
                self._bucket,
                key,
                str(path),
                part_size=PART_BYTES if size > PART_BYTES else 0,
                metadata={_SHA256: sha256},
            )
        return StoredObject(size, time.time(), sha256)

    def copy(self, source_key: str, target_key: str) -> None:
        check_key(target_key)
        sha256 = self.stat(source_key).sha256
        if source_key == target_key:
            return  # S3 refuses a copy that changes nothing
        with self._errors(source_key):
            # The server keeps the metadata by itself, but for objects of more than 5 GiB.
            self._client.copy_object(
                self._bucket,
                target_key,
                CopySource(self._bucket, source_key),
                metadata={_SHA256: sha256} if sha256 else None,
            )

    def list(self, prefix: str = "") -> Iterator[str]:
        with self._errors(prefix):
            found = self._client.list_objects(self._bucket, prefix=prefix, recursive=True)
            return iter(sorted(entry.object_name for entry in found if entry.object_name))

    def delete(self, key: str) -> None:
        check_key(key)
        with self._errors(key):
            self._client.remove_object(self._bucket, key)

    def check(self) -> None:
        with self._errors(""):
            # One that anybody may ask would not show that the secret is right.
            next(self._client.list_objects(self._bucket), None)

    def prepare(self) -> None:
        with self._errors(""):
            try:
                self._client.make_bucket(self._bucket)
            except S3Error as error:
                if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            raise self._explained(error, key) from error
        except (HTTPError, ServerError) as error:
            if isinstance(getattr(error, "reason", error), SSLError):
                raise StorageError(
                    f"no trusted TLS at {self._endpoint} ({_cause(error)}): "
                    "give the issuer's certificate by SSL_CERT_FILE, or write s3:// for plain HTTP"
                ) from error
            raise StorageUnavailableError(
                f"no answer from the object storage at {self._endpoint} ({_cause(error)}): "
                "is it up, and are host and port right?"
            ) from error
        except (InvalidResponseError, ParseError, UnicodeDecodeError) as error:
            raise StorageError(f"what answers at {self._endpoint} is not S3: check the port") from (
                error
            )
        except MinioException as error:
            raise StorageError(f"the object storage at {self._endpoint} failed: {error}") from error
        except OSError as error:
            place = error.filename or f"the local copy of {key}"
            raise StorageError(f"cannot read or write {place}: {error.strerror}") from error

    def _explained(self, error: S3Error, key: str) -> StorageError:
        where = f"the object storage at {self._endpoint}"
        match error.code:
            case "NoSuchKey":
                return ObjectMissingError(f"{key} does not exist in {self.url}")
            case "NoSuchBucket":
                return StorageError(
                    f"{where} has no bucket {self._bucket!r}: make it, "
                    f"or fill it by: python -m deploy.catalog --storage {self.url}"
                )
            case "SignatureDoesNotMatch":
                return StorageError(f"{where} refuses the secret key: it does not fit the user")
            case "InvalidAccessKeyId":
                return StorageError(f"{where} does not know the access key")
            case "AccessDenied":
                return StorageError(f"{where} denies access to {self._bucket}/{key}")
            case "RequestTimeTooSkewed":
                return StorageError(f"{where} has another time than this machine: set its clock")
            case code if code in _OVERLOADED:
                return StorageUnavailableError(f"{where} is not ready: {code}")
        return StorageError(f"{where} failed with {error.code}: {error.message}")


def _cause(error: Exception) -> str:
    """The reason in a few words: urllib3 wraps it in long ones."""
    reason = getattr(error, "reason", None) or error
    text = str(reason).rsplit(": ", maxsplit=1)[-1]
    return text[:120] or type(reason).__name__
