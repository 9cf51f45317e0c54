"""A folder as object storage: the embedded default, or a shared file system."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from deploy.liveness import hold, take_abandoned
from deploy.storage.base import (
    MisleadingLinkError,
    ObjectMissingError,
    ObjectStorage,
    StorageError,
    StorageKeyError,
    StorageUnavailableError,
    StoredObject,
    check_key,
)

_INCOMING: Final = ".incoming"
"""Uploads that are not whole yet: in the root, so that a rename puts them in place. No key
begins with a dot."""
_AWAY: Final = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EREMOTEIO),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH),
    }
)
"""What a network file system says when its server is away."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_CHUNK_BYTES: Final = 1024 * 1024
_LINK_TRIES: Final = 3


class DirectoryStorage(ObjectStorage):
    """Objects are files below one folder.

    Args:
        root: exists before anything but `prepare` is called: a missing mount must not be
            mistaken for an empty storage.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = f"dir://{self.root}"

    def size(self, key: str) -> int:
        with self._errors(f"read {key}"), self._open(key) as descriptor:
            return os.fstat(descriptor).st_size

    def place(self, key: str) -> StoredObject:
        with self._errors(f"look at {key}"), self._open(key) as descriptor:
            found = os.fstat(descriptor)
            return StoredObject(found.st_size, found.st_mtime, None)

    def stat(self, key: str) -> StoredObject:
        with (
            self._errors(f"read {key}"),
            self._open(key) as descriptor,
            open(descriptor, "rb", closefd=False) as content,
        ):
            found = os.fstat(descriptor)
            digest = hashlib.file_digest(content, "sha256")
            return StoredObject(found.st_size, found.st_mtime, digest.hexdigest())

    def download(self, key: str, path: Path) -> None:
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        with self._errors(f"download {key} to {path}"):
            try:
                with (
                    self._open(key) as descriptor,
                    open(descriptor, "rb", closefd=False) as source,
                    partial.open("xb") as copy,
                ):
                    shutil.copyfileobj(source, copy)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def read(self, key: str, first: int, length: int) -> bytes:
        with self._errors(f"read {key}"), self._open(key) as descriptor:
            return os.pread(descriptor, length, first)

    def upload(self, path: Path, key: str) -> StoredObject:
        target = self._path(key)
        with self._errors(f"upload {path} to {key}", writes=True):
            self._check_there()
            self._remove_leftovers()
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._incoming() as partial:
                with path.open("rb") as source, partial.open("wb") as copy:
                    sha256 = _copy_hashed(source, copy)
                    copy.flush()
                    os.fsync(copy.fileno())
                    stored = os.fstat(copy.fileno())
                partial.replace(target)
            _sync_folder(target.parent)
        return StoredObject(stored.st_size, stored.st_mtime, sha256)

    def copy(self, source_key: str, target_key: str) -> None:
        target = self._path(target_key)
        with self._errors(f"copy {source_key} to {target_key}", writes=True):
            with self._open(source_key) as source:
                target.parent.mkdir(parents=True, exist_ok=True)
                # A second name costs nothing, and an upload to one key leaves the other's content
                # alone: it puts a new file in place.
                if not self._linked(source, target):
                    self._copied(source, target)
            _sync_folder(target.parent)

    def _linked(self, source: int, target: Path) -> bool:
        """Whether the target has become another name of the source; some systems have none."""
        folder = self.root / _INCOMING
        folder.mkdir(exist_ok=True)
        for _ in range(_LINK_TRIES):
            link = folder / uuid.uuid4().hex
            try:
                # Python follows the link to the file only where a descriptor is given, too.
                os.link(f"/proc/self/fd/{source}", link, src_dir_fd=source, follow_symlinks=True)
            except OSError:
                return False
            try:
                link.replace(target)
            except FileNotFoundError:
                continue  # another process tidied up: nobody holds a lock on such a link
            finally:
                # The rename of one name of a file to another name of it leaves both.
                link.unlink(missing_ok=True)
            return True
        return False

    def _copied(self, source: int, target: Path) -> None:
        with self._incoming() as partial:
            with open(source, "rb", closefd=False) as content, partial.open("wb") as copy:
                shutil.copyfileobj(content, copy)
                copy.flush()
                os.fsync(copy.fileno())
            partial.replace(target)

    def check_place(self, key: str) -> None:
        folder = self.root.joinpath(*check_key(key)).parent
        with self._errors(f"look at {key}"):
            inside = folder.resolve().is_relative_to(self.root.resolve())
            if inside and self._path(key).is_dir():
                raise StorageKeyError(f"{key[:80]!a} in {self.root} is a folder")

    def list(self, prefix: str = "") -> Iterator[str]:
        self._check_there()
        keys: list[str] = []
        with self._errors("list the objects"):
            for folder, folders, names in os.walk(self.root):
                folders[:] = [name for name in folders if not name.startswith(".")]
                paths = [Path(folder, name) for name in names if not name.startswith(".")]
                keys += [str(path.relative_to(self.root)) for path in paths if path.is_file()]
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    def delete(self, key: str) -> None:
        target = self._path(key)
        with self._errors(f"delete {key}"), contextlib.suppress(FileNotFoundError):
            target.unlink()
            _sync_folder(target.parent)

    def check(self) -> None:
        self._check_there()
        if not os.access(self.root, os.R_OK | os.W_OK | os.X_OK):
            raise StorageError(f"the storage folder {self.root} is not readable and writable")
        with self._errors("tidy"):
            self._remove_leftovers()

    def prepare(self) -> None:
        with self._errors("make the folder"):
            self.root.mkdir(parents=True, exist_ok=True)

    def _check_there(self) -> None:
        if not self.root.is_dir():
            raise StorageError(
                f"the storage folder {self.root} does not exist: make it, "
                f"or fill it by: python -m deploy.catalog --storage {self.root}"
            )

    def _path(self, key: str) -> Path:
        """The file of an object.

        Raises:
            StorageKeyError: it would lie outside the root.
            MisleadingLinkError: so would a symbolic link, or it leads in a circle.
        """
        path = self.root.joinpath(*check_key(key))
        try:
            inside = path.resolve().is_relative_to(self.root.resolve())
        except (RuntimeError, OSError) as error:  # pathlib's word for a circle, and the kernel's
            if isinstance(error, OSError) and error.errno != errno.ELOOP:
                raise
            raise MisleadingLinkError(f"{key[:80]!a} is a link that leads in a circle") from None
        if not inside:
            raise MisleadingLinkError(f"{key[:80]!a} is a link that leads out of {self.root}")
        return path

    @contextlib.contextmanager
    def _open(self, key: str) -> Iterator[int]:
        path = self._path(key)
        try:
            # Not blocked by a named pipe, and not led on by a link made in between.
            descriptor = os.open(
                path.resolve(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            self._check_there()
            raise ObjectMissingError(f"{key} does not exist in {self.root}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ObjectMissingError(f"{key} in {self.root} is not a file")
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _incoming(self) -> Iterator[Path]:
        """A new file for an upload, which is ours as long as we live; removed at the end."""
        folder = self.root / _INCOMING
        folder.mkdir(exist_ok=True)
        while True:
            path = folder / uuid.uuid4().hex
            path.touch(exist_ok=False)
            held = hold(path)
            if held is not None:
                break
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            os.close(held)

    def _remove_leftovers(self) -> None:
        """Remove the uploads of processes that were killed."""
        folder = self.root / _INCOMING
        for path in folder.iterdir() if folder.is_dir() else ():
            abandoned = take_abandoned(path)
            if abandoned is not None:
                path.unlink(missing_ok=True)
                os.close(abandoned)

    @contextlib.contextmanager
    def _errors(self, action: str, *, writes: bool = False) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            words = f"cannot {action} ({self.url}): {error.strerror}"
            # A download fills the local disk, not this folder.
            if error.errno in _AWAY or (writes and error.errno in _FULL):
                raise StorageUnavailableError(words) from error
            raise StorageError(words) from error


def _copy_hashed(source: BinaryIO, target: BinaryIO) -> str:
    """Copy to the end; the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename in it durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
