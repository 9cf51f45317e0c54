"""What every object storage must do: a test class inherits the tests and gives `storage`."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from deploy.storage.base import ObjectMissingError, ObjectStorage, StorageKeyError

HOSTILE_KEYS = (
    "",
    "/",
    "../x",
    "input-videos/../../etc/passwd",
    "/etc/passwd",
    "input-videos//x",
    "input-videos/",
    "input-videos/.",
    ".incoming/x",
    "input-videos/.hidden",
    "a\\b",
    "a\0b",
    "a\nb",
    "a/\ud800",
    "x" * 256,
    "/".join(["x" * 100] * 12),
)


class StorageContract:
    """Tests of one storage; it is empty at the start of each."""

    @pytest.fixture
    def storage(self) -> ObjectStorage:
        raise NotImplementedError

    @pytest.fixture
    def clip(self, tmp_path: Path) -> Path:
        path = tmp_path / "clip"
        path.write_bytes(b"frames" * 1000)
        return path

    def test_what_was_uploaded_is_downloaded(
        self, storage: ObjectStorage, clip: Path, tmp_path: Path
    ) -> None:
        storage.upload(clip, "input-videos/clip.mp4")
        copy = tmp_path / "copies" / "copy"
        copy.parent.mkdir()
        storage.download("input-videos/clip.mp4", copy)
        assert copy.read_bytes() == clip.read_bytes()
        assert list(copy.parent.iterdir()) == [copy]
        assert storage.size("input-videos/clip.mp4") == 6000
        assert storage.exists("input-videos/clip.mp4")

    def test_a_part_is_read(self, storage: ObjectStorage, clip: Path) -> None:
        storage.upload(clip, "output-videos/clip.mp4")
        content = clip.read_bytes()
        for first, length in ((0, 6000), (3, 4), (5990, 100), (6000, 1), (9000, 1), (5, 0)):
            part = storage.read("output-videos/clip.mp4", first, length)
            assert part == content[first : first + length]
        place = storage.place("output-videos/clip.mp4")
        assert place.size == 6000
        assert place.modified == storage.stat("output-videos/clip.mp4").modified
        for missing in (storage.place, lambda key: storage.read(key, 0, 1)):
            with pytest.raises(ObjectMissingError):
                missing("output-videos/none.mp4")

    def test_a_download_replaces_the_local_file(
        self, storage: ObjectStorage, clip: Path, tmp_path: Path
    ) -> None:
        storage.upload(clip, "clip")
        copy = tmp_path / "copy"
        copy.write_text("old")
        storage.download("clip", copy)
        assert copy.read_bytes() == clip.read_bytes()

    def test_an_upload_replaces_the_object(self, storage: ObjectStorage, clip: Path) -> None:
        storage.upload(clip, "a/clip")
        clip.write_bytes(b"new")
        storage.upload(clip, "a/clip")
        assert storage.size("a/clip") == 3

    def test_an_empty_object_is_an_object(self, storage: ObjectStorage, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.touch()
        storage.upload(empty, "empty")
        assert storage.exists("empty")
        assert storage.size("empty") == 0
        storage.download("empty", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b""

    def test_a_large_object_keeps_every_byte(self, storage: ObjectStorage, tmp_path: Path) -> None:
        # Larger than one part of an S3 upload, and no multiple of it.
        large = tmp_path / "large"
        large.write_bytes(bytes(range(251)) * 70_000)
        storage.upload(large, "large")
        storage.download("large", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == large.read_bytes()

    @pytest.mark.parametrize("name", ["a b.mp4", "ü+é%20&=?#.mp4", "日本.mp4", "-rf", "a:b", "~"])
    def test_names_of_all_sorts(
        self, storage: ObjectStorage, clip: Path, tmp_path: Path, name: str
    ) -> None:
        key = f"input-videos/{name}"
        storage.upload(clip, key)
        storage.download(key, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == clip.read_bytes()
        assert list(storage.list("input-videos/")) == [key]

    def test_a_missing_object(self, storage: ObjectStorage, tmp_path: Path) -> None:
        assert not storage.exists("input-videos/none.mp4")
        with pytest.raises(ObjectMissingError, match=r"input-videos/none\.mp4"):
            storage.size("input-videos/none.mp4")
        with pytest.raises(ObjectMissingError, match=r"input-videos/none\.mp4"):
            storage.download("input-videos/none.mp4", tmp_path / "copy")
        assert list(tmp_path.glob("copy*")) == []

    def test_a_prefix_alone_is_no_object(self, storage: ObjectStorage, clip: Path) -> None:
        storage.upload(clip, "a/b/c")
        assert not storage.exists("a/b")
        assert not storage.exists("a")

    def test_keys_are_listed_by_prefix_in_order(self, storage: ObjectStorage, clip: Path) -> None:
        for key in ("b/2", "a/x", "b/10", "b/1/deep", "bb"):
            storage.upload(clip, key)
        assert list(storage.list()) == ["a/x", "b/1/deep", "b/10", "b/2", "bb"]
        assert list(storage.list("b/")) == ["b/1/deep", "b/10", "b/2"]
        assert list(storage.list("b/1")) == ["b/1/deep", "b/10"]
        assert list(storage.list("none/")) == []

    def test_an_object_tells_size_age_and_checksum(
        self, storage: ObjectStorage, clip: Path
    ) -> None:
        before = time.time()
        stored = storage.upload(clip, "a/clip")
        digest = hashlib.sha256(clip.read_bytes()).hexdigest()
        assert (stored.size, stored.sha256) == (6000, digest)
        found = storage.stat("a/clip")
        assert (found.size, found.sha256) == (6000, digest)
        # Whole seconds, and the storage's clock may differ a little.
        assert found.modified == pytest.approx(before, abs=300)
        with pytest.raises(ObjectMissingError, match="a/none"):
            storage.stat("a/none")

    def test_a_large_object_tells_its_checksum(
        self, storage: ObjectStorage, tmp_path: Path
    ) -> None:
        large = tmp_path / "large"
        large.write_bytes(bytes(range(251)) * 70_000)
        digest = hashlib.sha256(large.read_bytes()).hexdigest()
        assert storage.upload(large, "large").sha256 == digest
        assert storage.stat("large").sha256 == digest

    @pytest.mark.parametrize("target", ["b/c/copy", "a/ü +%20.mp4", "a/clip"])
    def test_a_copy_has_content_and_checksum(
        self, storage: ObjectStorage, clip: Path, tmp_path: Path, target: str
    ) -> None:
        stored = storage.upload(clip, "a/clip")
        storage.copy("a/clip", target)
        storage.download(target, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == clip.read_bytes()
        assert storage.stat(target).sha256 == stored.sha256
        assert sorted({"a/clip", target}) == list(storage.list())

    def test_a_copy_replaces_and_then_lives_by_itself(
        self, storage: ObjectStorage, clip: Path
    ) -> None:
        storage.upload(clip, "first")
        clip.write_bytes(b"other")
        storage.upload(clip, "latest")
        for _ in range(2):
            storage.copy("first", "latest")
            assert storage.size("latest") == 6000
        storage.upload(clip, "latest")
        assert storage.size("first") == 6000
        storage.copy("first", "latest")
        storage.delete("first")
        assert storage.size("latest") == 6000
        assert list(storage.list()) == ["latest"]

    def test_a_copy_of_nothing(self, storage: ObjectStorage, clip: Path) -> None:
        storage.upload(clip, "clip")
        with pytest.raises(ObjectMissingError, match="none"):
            storage.copy("none", "clip")
        assert storage.size("clip") == 6000
        assert list(storage.list()) == ["clip"]

    def test_deleting_twice_is_no_error(self, storage: ObjectStorage, clip: Path) -> None:
        storage.upload(clip, "a/clip")
        storage.delete("a/clip")
        storage.delete("a/clip")
        assert not storage.exists("a/clip")

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_hostile_keys_are_refused(
        self, storage: ObjectStorage, clip: Path, tmp_path: Path, key: str
    ) -> None:
        with pytest.raises(StorageKeyError):
            storage.exists(key)
        with pytest.raises(StorageKeyError):
            storage.download(key, tmp_path / "copy")
        with pytest.raises(StorageKeyError):
            storage.upload(clip, key)
        with pytest.raises(StorageKeyError):
            storage.delete(key)
        with pytest.raises(StorageKeyError):
            storage.stat(key)
        storage.upload(clip, "clip")
        with pytest.raises(StorageKeyError):
            storage.copy("clip", key)
        with pytest.raises(StorageKeyError):
            storage.copy(key, "clip")
        assert list(storage.list()) == ["clip"]

    def test_readers_see_one_version_or_the_other(
        self, storage: ObjectStorage, tmp_path: Path
    ) -> None:
        versions = [bytes([letter]) * 300_000 for letter in b"ab"]
        files = [tmp_path / "a", tmp_path / "b"]
        for path, version in zip(files, versions, strict=True):
            path.write_bytes(version)
        storage.upload(files[0], "clip")
        wrong: list[int] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                storage.download("clip", tmp_path / "copy")
                if (content := (tmp_path / "copy").read_bytes()) not in versions:
                    wrong.append(len(content))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for turn in range(20):
                storage.upload(files[turn % 2], "clip")
        finally:
            done.set()
            reader.join()
        assert wrong == []

    def test_a_storage_that_is_there_passes_its_check(self, storage: ObjectStorage) -> None:
        storage.check()
        storage.prepare()
        storage.check()
