"""The catalog of movies: files read, errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from env.catalog import Catalog, Movie, UnknownMovieError, catalog_names, load_catalog
from env.config import load_profile
from env.errors import ScenarioError, UnknownNameError
from env.load import mean_core_seconds, rate_for_load
from env.timing import TimingModel

TRACES = Path(__file__).parents[2].parent / "shared" / "traces"
HEADER = "video,duration_s,width,height"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "movies.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_shipped_catalog_has_the_ten_movies_of_the_generator() -> None:
    catalog = load_catalog()
    assert list(catalog) == [f"bbb_{x}.mp4" for x in range(10)]
    assert "bbb" in catalog_names()
    assert all(10 <= movie.duration_s <= 60 for movie in catalog.movies)
    assert {(movie.width, movie.height) for movie in catalog.movies} == {
        (1280, 720),
        (1920, 1080),
        (3840, 2160),
    }


def test_the_generator_offers_some_half_of_eighteen_cores() -> None:
    work = mean_core_seconds(TimingModel(load_profile("openstack")), load_catalog())
    assert 55 <= work <= 65
    assert work / 6 / 18 == pytest.approx(0.555, abs=0.04)


def test_rate_for_load_gives_back_the_load() -> None:
    rate = rate_for_load(0.5, cores=18, mean_core_s=45)
    assert rate * 45 / 18 == pytest.approx(0.5)


def test_extra_columns_comments_and_any_column_order_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "# about the films",
        "height,codec,video,width,duration_s,size_bytes",
        "",
        "720, h264, a.mp4 ,1280,12.5,1000000",
        "1080,h264,b.mp4,1920,8,",
    )
    catalog = load_catalog(path)
    assert catalog.name == "movies"
    assert catalog["a.mp4"] == Movie("a.mp4", 12.5, 1280, 720, 1_000_000)
    assert catalog["a.mp4"].pixels == 1280 * 720
    assert catalog["a.mp4"].source_mbps == pytest.approx(0.64)
    assert catalog["b.mp4"].source_mbps is None


def test_a_byte_order_mark_and_dos_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "dos.csv"
    path.write_bytes(f"\ufeff{HEADER}\r\na.mp4,1,2,3\r\n".encode())
    assert load_catalog(path).movies == (Movie("a.mp4", 1.0, 2, 3),)


@pytest.mark.skipif(not TRACES.exists(), reason="no measured traces beside the project")
def test_the_measured_catalog_loads() -> None:
    catalog = load_catalog(TRACES / "catalog.csv")
    assert len(catalog) == 41
    assert all(movie.size_bytes for movie in catalog.movies)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("b.mp4,long,1280,720", "duration_s 'long' is not a number of seconds above 0"),
        ("b.mp4,0,1280,720", "duration_s '0'"),
        ("b.mp4,nan,1280,720", "duration_s 'nan'"),
        ("b.mp4,inf,1280,720", "duration_s 'inf'"),
        ("b.mp4,10,-1280,720", "width '-1280' is not a whole number above 0"),
        ("b.mp4,10,1280,720.5", "height '720.5' is not a whole number above 0"),
        (",10,1280,720", "the video has no name"),
        ("b.mp4,10,1280", "3 fields, fewer than the header row names"),
        ("a.mp4,10,1280,720", "movie 'a.mp4' is listed twice"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row: str, complaint: str) -> None:
    path = write(tmp_path, "# films", HEADER, "a.mp4,10,1280,720", row)
    with pytest.raises(ScenarioError) as caught:
        load_catalog(path)
    assert str(caught.value).startswith(f"{path}, line 4: ")
    assert complaint in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "video,width,height", "a.mp4,1280,720")
    with pytest.raises(ScenarioError, match=r"line 1: the header row lacks duration_s"):
        load_catalog(path)


@pytest.mark.parametrize("lines", [("",), ("# nothing",), (HEADER,)])
def test_a_catalog_without_movies_is_refused(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(ScenarioError, match="no movie"):
        load_catalog(write(tmp_path, *lines))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"cannot read .*nowhere\.csv"):
        load_catalog(tmp_path / "nowhere.csv")
    with pytest.raises(ScenarioError, match="cannot read"):
        load_catalog(tmp_path)
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"video\xe9,duration_s")
    with pytest.raises(ScenarioError, match="not UTF-8"):
        load_catalog(latin)


def test_unknown_names_suggest_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'bbb'"):
        load_catalog("bbbb")
    with pytest.raises(UnknownNameError, match=r"unknown movie 'bbb_10\.mp4': did you mean"):
        load_catalog()["bbb_10.mp4"]


def test_a_missing_movie_behaves_as_in_any_mapping() -> None:
    catalog = load_catalog()
    assert "none.mp4" not in catalog
    assert catalog.get("none.mp4") is None
    with pytest.raises(KeyError) as caught:
        catalog["none.mp4"]
    assert isinstance(caught.value, UnknownMovieError)
    assert str(caught.value).startswith("unknown movie 'none.mp4'")


def test_a_catalog_needs_different_movies() -> None:
    movie = Movie("a.mp4", 1.0, 2, 3)
    for movies in ((), (movie, movie)):
        with pytest.raises(ValueError, match="all with different names"):
            Catalog("twice", movies)
