"""What a cell of a measured table says: a moment, a figure; and where a wrong one is."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from env.errors import ScenarioError
from env.moments import parse_duration, parse_moment
from env.textfile import read_lines
from training.calibration.errors import CalibrationError

_NOTHING: Final = frozenset({"", "nat", "none", "null"})
_LATEST_S: Final = 1e11
"""More than a thousand years of seconds: no moment of a run."""

T = TypeVar("T")


def parse_seconds(text: str) -> float:
    """A moment or a length of time, in seconds; not a number where the cell is empty.

    Args:
        text: seconds; a date in ISO 8601, local time unless an offset follows (seconds since
            the epoch); or a timedelta as pandas writes it.

    Raises:
        ValueError: it is none of these.
    """
    text = text.strip()
    if text.lower() in _NOTHING:
        return math.nan
    seconds = math.inf
    for parse in (parse_duration, parse_moment):
        with contextlib.suppress(ValueError, OverflowError, OSError):
            seconds = parse(text)
            break
    if not abs(seconds) < _LATEST_S:
        raise ValueError(
            f"{text[:60]!r} is not a time: give seconds, a date like 2026-11-30 14:30:29.6, "
            "or a length like 0 days 00:00:04.7"
        )
    return seconds


def parse_figure(text: str) -> float:
    """A figure; not a number where the cell is empty.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if text.lower() in _NOTHING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"{text[:60]!r} is not a number")
    return value


@dataclass(frozen=True)
class Table:
    """A CSV file with a header row, as texts.

    Attributes:
        path: the file.
        header: names of the columns.
        rows: cells of each row by column.
        lines: number of the line that each row begins on, from 1.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]

    def where(self, row: int, column: str = "") -> str:
        """The place of a cell, for people."""
        place = f"{self.path}, line {self.lines[row]}"
        return f"{place}, column {column!r}" if column else place

    def needs(self, columns: Sequence[str]) -> None:
        """Refuse a table without one of these columns.

        Raises:
            CalibrationError: it names the first that is missing.
        """
        for column in columns:
            if column not in self.header:
                raise CalibrationError(f"{self.path}: the column {column!r} is missing")

    def column(self, name: str, parse: Callable[[str], T]) -> list[T]:
        """A column's cells, each parsed.

        Raises:
            CalibrationError: a cell is wrong; it names line and column.
        """
        values = []
        for i, row in enumerate(self.rows):
            try:
                values.append(parse(row[name]))
            except ValueError as error:
                raise CalibrationError(f"{self.where(i, name)}: {error}") from None
        return values


def read_table(path: Path) -> Table:
    """Read a CSV file.

    Raises:
        CalibrationError: it cannot be read, has no header row, is separated by semicolons or
            tabs, has a row of another width, or says a row twice.
    """
    try:
        lines = list(read_lines(path))
    except ScenarioError as error:
        raise CalibrationError(str(error)) from error
    reader = csv.reader(lines, strict=True)
    header: tuple[str, ...] = ()
    rows: list[dict[str, str]] = []
    numbers: list[int] = []
    seen: dict[tuple[str, ...], int] = {}
    begins = 1
    try:
        for cells in reader:
            number, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = _header(path, cells)
                continue
            if len(cells) != len(header):
                raise CalibrationError(
                    f"{path}, line {number}: {len(cells)} cells, but the header row has "
                    f"{len(header)}"
                )
            first = seen.setdefault(tuple(cells), number)
            if first != number:
                raise CalibrationError(
                    f"{path}, line {number}: says the same as line {first}: remove one of them"
                )
            rows.append(dict(zip(header, cells, strict=True)))
            numbers.append(number)
    except csv.Error as error:
        raise CalibrationError(f"{path}, line {reader.line_num}: {error}") from None
    if not header:
        raise CalibrationError(f"{path} is empty: a header row is needed")
    return Table(path, header, rows, numbers)


def _header(path: Path, cells: Sequence[str]) -> tuple[str, ...]:
    header = tuple(cell.strip() for cell in cells)
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            raise CalibrationError(
                f"{path}, line 1: the columns are separated by {name}: save it with commas"
            )
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise CalibrationError(f"{path}, line 1: the column {twice!r} is there twice")
    return header
