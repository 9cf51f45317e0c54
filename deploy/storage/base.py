"""What every object storage is: whole objects by key, such as ``input-videos/bbb_0.mp4``."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from env.errors import DaCircoError

MAX_KEY_BYTES: Final = 1024
"""In UTF-8, as S3 has it."""
MAX_PART_BYTES: Final = 255
"""In UTF-8, between two slashes, as file systems have it."""


class StorageError(DaCircoError):
    """The storage refused or failed; the message tells why and never holds a secret."""


class StorageKeyError(StorageError):
    """A key that no storage takes: it could leave the folder, or names nothing."""


class ObjectMissingError(StorageError):
    """No object has this key."""


class MisleadingLinkError(ObjectMissingError, StorageKeyError):
    """A link stands where the object should be, and leads out of the storage or in a circle."""


class StorageUnavailableError(StorageError):
    """The storage cannot be reached or is overloaded: the same call may succeed later."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a storage tells of an object.

    Attributes:
        size: bytes.
        modified: when its content was stored, seconds since the epoch, by the storage's clock.
        sha256: of its content, hexadecimal. A bucket knows it of what was uploaded through
            `ObjectStorage.upload`; none for objects that others have put there.
    """

    size: int
    modified: float
    sha256: str | None


class ObjectStorage(ABC):
    """Objects by key. The methods block: an event loop calls them in a thread.

    Keys are parts joined by ``/``; a part is not empty and does not begin with a dot, so that no
    key leads out of a folder. Every method raises `StorageKeyError` for another key,
    `StorageUnavailableError` where a later try may succeed, and `StorageError` otherwise.
    Instances may be used from several threads.
    """

    url: str
    """Where the objects are, for messages; without secrets."""

    def exists(self, key: str) -> bool:
        """Whether there is an object."""
        try:
            self.size(key)
        except ObjectMissingError:
            return False
        return True

    @abstractmethod
    def size(self, key: str) -> int:
        """Bytes of an object.

        Raises:
            ObjectMissingError: there is none.
        """

    @abstractmethod
    def place(self, key: str) -> StoredObject:
        """Size and age of an object, without reading it for its checksum.

        Raises:
            ObjectMissingError: there is none.
        """

    @abstractmethod
    def stat(self, key: str) -> StoredObject:
        """Size, age and checksum of an object; a folder reads the whole of it for the checksum.

        Raises:
            ObjectMissingError: there is none.
        """

    @abstractmethod
    def download(self, key: str, path: Path) -> None:
        """Copy an object to a local file, which appears whole or not at all.

        Raises:
            ObjectMissingError: there is none.
        """

    @abstractmethod
    def read(self, key: str, first: int, length: int) -> bytes:
        """A part of an object; shorter where the object ends.

        Args:
            key: of the object.
            first: byte to begin with, from 0.
            length: most bytes.

        Raises:
            ObjectMissingError: there is none.
        """

    def signed_url(self, key: str, name: str, valid_s: int) -> str:
        """Where a client may fetch an object from the storage itself; empty if nowhere.

        Args:
            key: of the object.
            name: under which a browser is to save it.
            valid_s: for how long, seconds.
        """
        return ""

    @abstractmethod
    def upload(self, path: Path, key: str) -> StoredObject:
        """Copy a local file to an object; readers see the old one or the new one, never a part.

        Returns:
            What was stored, with its checksum.
        """

    @abstractmethod
    def copy(self, source_key: str, target_key: str) -> None:
        """Give an object's content and checksum to another key, within the storage.

        Readers of the target see the old object or the new one. Later uploads to either key leave
        the other as it is.

        Raises:
            ObjectMissingError: there is no source.
        """

    def check_place(self, key: str) -> None:
        """See that this one key could have an object; what is wrong with all keys is not told.

        Raises:
            StorageKeyError: it never can, whoever uploads to it: something else stands there.
        """
        check_key(key)

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with `prefix`, sorted."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    @abstractmethod
    def check(self) -> None:
        """See to it that the storage can be used.

        Raises:
            StorageError: names what is wrong and the fix.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Make the folder or the bucket if it is missing."""


def check_key(key: str) -> tuple[str, ...]:
    """The parts of a key.

    Raises:
        StorageKeyError: it is not one.
    """
    parts = tuple(key.split("/"))
    if any(not part or part.startswith(".") for part in parts):
        raise StorageKeyError(f"storage key {key[:80]!a} has an empty or a dotted part")
    if "\\" in key or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in key):
        raise StorageKeyError(f"storage key {key[:80]!a} has a backslash or control character")
    too_long = len(key.encode()) > MAX_KEY_BYTES
    if too_long or any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        raise StorageKeyError(f"storage key {key[:80]!a} is too long")
    return parts
