from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.catalog import Outcome, RenderError, fill, main
from deploy.media.probe import probe
from deploy.names import VideoNameError
from deploy.storage.directory import DirectoryStorage
from deploy.storage.factory import make_storage
from env.catalog import Catalog, Movie, load_catalog
from tests.deploy.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

TINY = Catalog(
    "tiny",
    [Movie("bbb_0.mp4", 1.0, 160, 90), Movie("bbb_1.mp4", 0.5, 96, 64)],
)


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path / "storage")


def test_movies_are_as_long_and_large_as_the_catalog_says(storage: DirectoryStorage) -> None:
    shares: dict[str, float] = {}
    outcomes = fill(
        storage, TINY, jobs=2, progress=lambda name, share: shares.update({name: share})
    )
    assert outcomes == dict.fromkeys(TINY, Outcome.RENDERED)
    assert shares == dict.fromkeys(TINY, 1.0)
    for movie in TINY.movies:
        found = probe(storage.root / "input-videos" / movie.name)
        assert (found.width, found.height) == (movie.width, movie.height)
        assert found.duration_s == pytest.approx(movie.duration_s, abs=0.05)


def test_the_same_ffmpeg_renders_the_same_bytes(storage: DirectoryStorage, tmp_path: Path) -> None:
    other = DirectoryStorage(tmp_path / "other")
    fill(storage, TINY, jobs=2)
    fill(other, TINY)
    contents = [
        [(root / "input-videos" / name).read_bytes() for name in TINY]
        for root in (storage.root, other.root)
    ]
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[0][1]


def test_what_is_there_is_kept(storage: DirectoryStorage) -> None:
    fill(storage, TINY)
    first, second = (storage.root / "input-videos" / name for name in TINY)
    written = first.stat().st_mtime_ns
    second.unlink()
    assert fill(storage, TINY) == {
        "bbb_0.mp4": Outcome.KEPT,
        "bbb_1.mp4": Outcome.RENDERED,
    }
    assert first.stat().st_mtime_ns == written


def test_another_movie_is_replaced_only_where_that_is_asked_for(storage: DirectoryStorage) -> None:
    longer = Catalog("longer", [Movie("bbb_0.mp4", 2.0, 160, 90)])
    fill(storage, longer)
    (storage.root / "input-videos" / "bbb_1.mp4").write_text("no video")
    assert fill(storage, TINY) == dict.fromkeys(TINY, Outcome.DIFFERS)
    assert probe(storage.root / "input-videos" / "bbb_0.mp4").duration_s == pytest.approx(
        2, abs=0.1
    )
    assert fill(storage, TINY, replace=True) == dict.fromkeys(TINY, Outcome.RENDERED)
    assert fill(storage, TINY) == dict.fromkeys(TINY, Outcome.KEPT)


def test_a_known_size_needs_no_look_inside(storage: DirectoryStorage) -> None:
    storage.prepare()
    path = storage.root / "input-videos" / "x.mp4"
    path.parent.mkdir()
    path.write_bytes(b"12345")
    catalog = Catalog("sized", [Movie("x.mp4", 1.0, 160, 90, size_bytes=5)])
    assert fill(storage, catalog) == {"x.mp4": Outcome.KEPT}


def test_what_cannot_be_rendered_is_named(storage: DirectoryStorage) -> None:
    with pytest.raises(RenderError, match=r"odd\.mp4: width and height must be even"):
        fill(storage, Catalog("odd", [Movie("odd.mp4", 1.0, 161, 90)]))
    with pytest.raises(VideoNameError):
        fill(storage, Catalog("bad", [Movie("../up.mp4", 1.0, 160, 90)]))
    with pytest.raises(RenderError, match=r"x\.txt cannot be rendered"):
        fill(storage, Catalog("huge", [Movie("x.txt", 1.0, 2, 200_000)]))
    assert not storage.root.exists() or list(storage.list()) == []


def test_a_bucket_is_made_and_filled() -> None:
    with S3Server() as server:
        storage = make_storage(
            f"s3://{server.endpoint}/videos", access_key=ACCESS_KEY, secret_key=SECRET_KEY
        )
        fill(storage, TINY)
        assert list(storage.list()) == ["input-videos/bbb_0.mp4", "input-videos/bbb_1.mp4"]
        assert fill(storage, TINY) == dict.fromkeys(TINY, Outcome.KEPT)


def test_the_local_catalog_is_small() -> None:
    local = load_catalog("local")
    assert list(local) == list(load_catalog("bbb"))
    assert sum(movie.size_bytes or 0 for movie in local.movies) < 50e6
    assert all(movie.size_bytes for movie in local.movies)


def test_the_shipped_sizes_are_those_of_the_locked_ffmpeg(storage: DirectoryStorage) -> None:
    movie = min(load_catalog("local").movies, key=lambda movie: movie.duration_s * movie.pixels)
    fill(storage, Catalog("one", [movie]))
    size = storage.size(f"input-videos/{movie.name}")
    assert movie.size_bytes is not None
    # Another ffmpeg, or another position in the catalog, gives another noise.
    assert size == pytest.approx(movie.size_bytes, rel=0.1)


def catalog_file(folder: Path) -> Path:
    path = folder / "tiny.csv"
    path.write_text("video,duration_s,width,height\nbbb_0.mp4,0.5,96,64\n")
    return path


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--catalog", str(catalog_file(tmp_path)), "--storage", str(tmp_path / "s")]
    assert main(words) == 0
    assert capsys.readouterr().out == "rendered: bbb_0.mp4\n"
    assert main(words) == 0
    assert capsys.readouterr().out == "was there: bbb_0.mp4\n"
    (tmp_path / "s" / "input-videos" / "bbb_0.mp4").write_text("x")
    assert main(words) == 2
    assert "--replace" in capsys.readouterr().err


def test_bad_words_end_with_one_line(tmp_path: Path) -> None:
    for words in (["--storage", "x://y"], ["--storage", str(tmp_path), "--catalog", "lokal"]):
        answer = subprocess.run(
            [sys.executable, "-m", "deploy.catalog", *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "80"},
        )
        assert answer.returncode == 2
        assert len(answer.stderr.strip().splitlines()) == 1, json.dumps(answer.stderr)
