"""A storage by its URL: ``dir:///FOLDER``, ``s3://HOST:PORT/BUCKET``, ``s3s://`` over TLS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from deploy.listening import join_host_port
from deploy.storage.base import ObjectStorage, StorageError
from deploy.storage.directory import DirectoryStorage

DEFAULT_ACCESS_KEY: Final = "minio"
DEFAULT_SECRET_KEY: Final = "pass4minio"
DEFAULT_S3_PORT: Final = 9000
URL_HELP: Final = "a folder, dir:///FOLDER, s3://HOST:PORT/BUCKET, or s3s:// over TLS"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def make_storage(
    url: str, *, access_key: str | None = None, secret_key: str | None = None
) -> ObjectStorage:
    """The storage at a URL; nothing is read or written yet.

    Args:
        url: `URL_HELP`; a plain path is a folder.
        access_key: for S3; none for anonymous access.
        secret_key: for S3; given exactly if the access key is.

    Raises:
        StorageError: names what is wrong with the URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise StorageError(f"storage {url[:200]!r}: {error}: give {URL_HELP}") from None
    match parts.scheme:
        case "s3" | "s3s":
            return _s3(url, parts, access_key, secret_key)
        case "dir":
            folder = Path(unquote(parts.path))
            if parts.netloc or not folder.is_absolute():
                raise StorageError(f"storage {url!r}: write dir:///FOLDER, with three slashes")
            return _directory(folder, url)
        case _ if "://" in url or not url:
            raise StorageError(f"storage {_without_user(parts)!r} is unknown: give {URL_HELP}")
    return _directory(Path(url), url)


def s3_url(server: str, port: int, bucket: str, *, secure: bool = False) -> str:
    """The URL of a bucket."""
    return f"{'s3s' if secure else 's3'}://{join_host_port(server, port)}/{bucket}"


def _directory(folder: Path, url: str) -> ObjectStorage:
    try:
        folder.is_dir()
    except OSError as error:  # a name that is too long, for instance
        raise StorageError(f"storage {url[:200]!r}: {error.strerror}") from None
    return DirectoryStorage(folder)


def _s3(
    url: str, parts: SplitResult, access_key: str | None, secret_key: str | None
) -> ObjectStorage:
    # The client takes a third of a second to import: a folder needs it not.
    from deploy.storage.s3 import S3Storage

    if parts.username is not None or parts.password is not None:
        raise StorageError(
            f"storage {_without_user(parts)!r}: keys in a URL can be read by everybody; "
            "give them by environment variables"
        )
    bucket = parts.path.strip("/")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise StorageError(f"storage {url!r}: write {parts.scheme}://HOST:PORT/BUCKET")
    if not _BUCKET.fullmatch(bucket):
        raise StorageError(f"storage {url!r}: {bucket!r} cannot be a bucket's name")
    if (access_key is None) != (secret_key is None):
        raise StorageError(f"storage {url!r}: give both the access key and the secret key")
    secure = parts.scheme == "s3s"
    endpoint = join_host_port(parts.hostname, port or (443 if secure else DEFAULT_S3_PORT))
    return S3Storage(endpoint, bucket, secure=secure, access_key=access_key, secret_key=secret_key)


def _without_user(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host).geturl()
