from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.storage.base import ObjectMissingError, ObjectStorage, StorageError, StorageKeyError
from deploy.storage.directory import DirectoryStorage
from tests.deploy.storage_contract import StorageContract


class TestDirectory(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> ObjectStorage:
        storage = DirectoryStorage(tmp_path / "root")
        storage.prepare()
        return storage


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    storage = DirectoryStorage(tmp_path / "root")
    storage.prepare()
    return storage


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip"
    path.write_bytes(b"frames")
    return path


def test_a_missing_folder_is_named_with_the_fix(tmp_path: Path, clip: Path) -> None:
    storage = DirectoryStorage(tmp_path / "nowhere")
    for call in (
        storage.check,
        lambda: storage.size("clip"),
        storage.list,
        lambda: storage.upload(clip, "clip"),
    ):
        with pytest.raises(StorageError, match=r"nowhere does not exist: make it") as caught:
            call()
        assert not isinstance(caught.value, ObjectMissingError)
    assert not (tmp_path / "nowhere").exists()


def test_links_that_lead_out_are_refused(
    storage: DirectoryStorage, clip: Path, tmp_path: Path
) -> None:
    (storage.root / "file").symlink_to(clip)
    (storage.root / "folder").symlink_to(tmp_path)
    for key in ("file", "folder/clip"):
        with pytest.raises(StorageKeyError, match="leads out"):
            storage.size(key)
        with pytest.raises(StorageKeyError, match="leads out"):
            storage.upload(clip, key)
        with pytest.raises(StorageKeyError, match="leads out"):
            storage.delete(key)
    assert clip.read_bytes() == b"frames"


def test_a_link_that_leads_nowhere_is_no_object(storage: DirectoryStorage, clip: Path) -> None:
    (storage.root / "out").symlink_to(clip)
    (storage.root / "self").symlink_to(storage.root / "self")
    (storage.root / "a").symlink_to(storage.root / "b")
    (storage.root / "b").symlink_to(storage.root / "a")
    (storage.root / "dangling").symlink_to(storage.root / "gone")
    for key, words in {
        "out": "leads out",
        "self": "in a circle",
        "a": "in a circle",
        "b/deeper": "in a circle",
        "dangling": "does not exist",
    }.items():
        with pytest.raises(ObjectMissingError, match=words):
            storage.size(key)
        assert not storage.exists(key)


def test_a_link_within_the_folder_is_followed(storage: DirectoryStorage, clip: Path) -> None:
    storage.upload(clip, "a/clip")
    (storage.root / "b").symlink_to(storage.root / "a")
    assert storage.size("b/clip") == 6


def test_a_key_has_no_place_where_a_folder_or_a_misleading_link_stands(
    storage: DirectoryStorage, clip: Path, tmp_path: Path
) -> None:
    storage.upload(clip, "a/clip")
    (storage.root / "a/folder").mkdir()
    (storage.root / "a/out").symlink_to(tmp_path.parent / "elsewhere")
    (storage.root / "a/circle").symlink_to("circle")
    for key in ("a/clip", "a/new", "new/new", "a/clip/below"):
        storage.check_place(key)
    for key in ("a/folder", "a/out", "a/circle"):
        with pytest.raises(StorageKeyError):
            storage.check_place(key)
    # What is wrong with every key of a folder is not one key's fault.
    (storage.root / "away").symlink_to(tmp_path.parent)
    storage.check_place("away/clip")


def test_what_is_no_file_is_no_object(storage: DirectoryStorage) -> None:
    os.mkfifo(storage.root / "pipe")
    assert not storage.exists("pipe")


def test_the_leftover_of_a_killed_upload_is_removed(storage: DirectoryStorage, clip: Path) -> None:
    # The upload blocks on a pipe that nobody writes to.
    pipe = storage.root.parent / "endless"
    os.mkfifo(pipe)
    program = (
        "import sys; from pathlib import Path; from deploy.storage.directory import *;"
        "DirectoryStorage(Path(sys.argv[1])).upload(Path(sys.argv[2]), 'victim')"
    )
    command = [sys.executable, "-c", program, str(storage.root), str(pipe)]
    # Opening the pipe returns once the upload has opened the other end.
    with subprocess.Popen(command) as process, pipe.open("wb"):
        (leftover,) = (storage.root / ".incoming").iterdir()
        storage.upload(clip, "other")
        assert leftover.exists(), "an upload in progress was taken for a leftover"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert leftover.exists()
    storage.check()
    assert list((storage.root / ".incoming").iterdir()) == []
    assert list(storage.list()) == ["other"]


def test_a_failed_upload_leaves_the_object_as_it_was(
    storage: DirectoryStorage, clip: Path, tmp_path: Path
) -> None:
    storage.upload(clip, "clip")
    with pytest.raises(StorageError, match="No such file"):
        storage.upload(tmp_path / "none", "clip")
    assert storage.size("clip") == 6
    assert list((storage.root / ".incoming").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(storage: DirectoryStorage, clip: Path) -> None:
    (storage.root / "taken").write_text("a file")
    with pytest.raises(StorageError, match="cannot upload"):
        storage.upload(clip, "taken/clip")


def test_a_copy_takes_no_space_where_the_system_has_links(
    storage: DirectoryStorage, clip: Path
) -> None:
    storage.upload(clip, "a/clip")
    storage.copy("a/clip", "b/clip")
    assert (storage.root / "a/clip").samefile(storage.root / "b/clip")
    assert list((storage.root / ".incoming").iterdir()) == []


def test_a_copy_where_the_system_has_no_links(
    storage: DirectoryStorage, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    storage.upload(clip, "a/clip")
    monkeypatch.setattr(os, "link", refuse)
    storage.copy("a/clip", "b/clip")
    assert not (storage.root / "a/clip").samefile(storage.root / "b/clip")
    assert (storage.root / "b/clip").read_bytes() == b"frames"
    assert list((storage.root / ".incoming").iterdir()) == []


def test_a_link_that_another_process_tidies_away_is_made_again(
    storage: DirectoryStorage, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.upload(clip, "a/clip")
    link, tidied = os.link, []

    def link_and_tidy(source: str, target: Path, *, src_dir_fd: int, **options: bool) -> None:
        link(source, target, src_dir_fd=src_dir_fd, **options)
        if not tidied:
            tidied.append(target)
            storage.check()

    monkeypatch.setattr(os, "link", link_and_tidy)
    storage.copy("a/clip", "b/clip")
    assert tidied
    assert (storage.root / "b/clip").samefile(storage.root / "a/clip")
