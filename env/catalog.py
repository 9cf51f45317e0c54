"""The movies that can be asked for: length and resolution of each.

A catalog file is CSV with a header row. The columns ``video``, ``duration_s``,
``width`` and ``height`` are needed and ``size_bytes`` is optional, in any order;
further columns are ignored, and so are empty lines and lines that begin with
``#``. The order of the rows is the order of popularity that the workload
generator uses, least asked first.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from env.errors import ScenarioError, UnknownNameError
from env.textfile import is_there, read_lines

DEFAULT_CATALOG: Final = "bbb"
_COLUMNS: Final = ("video", "duration_s", "width", "height")
_SIZE: Final = "size_bytes"
_SHIPPED: Final = files("env") / "catalogs"


class UnknownMovieError(UnknownNameError, KeyError):
    """A movie that the catalog lacks; a `KeyError` too, as a mapping must raise."""

    __str__ = Exception.__str__  # KeyError would print the message in quotes


@dataclass(frozen=True, slots=True)
class Movie:
    """One video of the catalog.

    Attributes:
        name: file name, e.g. ``bbb_3.mp4``.
        duration_s: playing time, seconds.
        width: picture width, pixels.
        height: picture height, pixels.
        size_bytes: size of the file, none if the catalog does not tell.
    """

    name: str
    duration_s: float
    width: int
    height: int
    size_bytes: int | None = None

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.width * self.height

    @property
    def source_mbps(self) -> float | None:
        """Mean bitrate of the source file, Mbit/s, if its size is known."""
        return None if self.size_bytes is None else 8e-6 * self.size_bytes / self.duration_s


class Catalog(Mapping[str, Movie]):
    """Movies by name, in the order of the file; never changes.

    Args:
        name: what to call the catalog in messages.
        movies: at least one; no two of the same name.
    """

    def __init__(self, name: str, movies: Iterable[Movie]) -> None:
        self.name = name
        self.movies = tuple(movies)
        self._by_name = {movie.name: movie for movie in self.movies}
        if not self.movies or len(self._by_name) < len(self.movies):
            raise ValueError(f"catalog {name!r} needs one movie or more, all with different names")

    def __getitem__(self, name: str) -> Movie:
        movie = self._by_name.get(name)
        if movie is None:
            raise UnknownMovieError("movie", name, self._by_name)
        return movie

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.movies)

    def __repr__(self) -> str:
        return f"Catalog({self.name!r}, {len(self)} movies)"


def catalog_names() -> list[str]:
    """The catalogs that ship with DaCirco."""
    return sorted(
        entry.name.removesuffix(".csv")
        for entry in _SHIPPED.iterdir()
        if entry.name.endswith(".csv")
    )


def load_catalog(name_or_path: str | Path = DEFAULT_CATALOG) -> Catalog:
    """A shipped catalog by its name, or any catalog file by its path.

    Raises:
        UnknownNameError: if it is neither.
        ScenarioError: if the file is not a valid catalog; names file and line.
    """
    name = str(name_or_path)
    if name in catalog_names():
        return _shipped_catalog(name)
    path = Path(name_or_path)
    if path.suffix == ".csv" or is_there(path):
        return _parse(path, path.stem)
    raise UnknownNameError("catalog", name, catalog_names())


@functools.cache
def _shipped_catalog(name: str) -> Catalog:
    return _parse(_SHIPPED / f"{name}.csv", name)


def _parse(source: Path | Traversable, name: str) -> Catalog:
    columns: dict[str, int] | None = None
    movies: dict[str, Movie] = {}
    for number, line in enumerate(read_lines(source), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            cells = [cell.strip() for cell in next(csv.reader([line]))]
            if columns is None:
                columns = _header(cells)
                continue
            movie = _movie(cells, columns)
            if movie.name in movies:
                raise ValueError(f"movie {movie.name!r} is listed twice; remove one of the rows")
        except (ValueError, csv.Error) as error:
            raise ScenarioError(f"{source}, line {number}: {error}") from error
        movies[movie.name] = movie
    if not movies:
        raise ScenarioError(f"{source}: no movie; needed: a header row {','.join(_COLUMNS)}")
    return Catalog(name, movies.values())


def _header(cells: list[str]) -> dict[str, int]:
    missing = [column for column in _COLUMNS if column not in cells]
    if missing:
        raise ValueError(f"the header row lacks {', '.join(missing)}; needed: {','.join(_COLUMNS)}")
    return {column: cells.index(column) for column in (*_COLUMNS, _SIZE) if column in cells}


def _movie(cells: list[str], columns: dict[str, int]) -> Movie:
    if len(cells) <= max(columns.values()):
        raise ValueError(f"{len(cells)} fields, fewer than the header row names")
    cell = {column: cells[index] for column, index in columns.items()}
    if not cell["video"]:
        raise ValueError("the video has no name")
    return Movie(
        name=cell["video"],
        duration_s=_seconds(cell["duration_s"]),
        width=_positive("width", cell["width"]),
        height=_positive("height", cell["height"]),
        size_bytes=_positive(_SIZE, cell[_SIZE]) if cell.get(_SIZE) else None,
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"duration_s {text!r} is not a number of seconds above 0")
    return value


def _positive(column: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f"{column} {text!r} is not a whole number above 0")
    return int(text)
