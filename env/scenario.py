"""Scenarios: fixed sequences of requests, in the CSV format of the DaCirco tools.

A row is ``delay,movie,bitrate,speed`` and there is no header; ``delay`` is the time
in seconds since the row before (for the first row: since the start). Lines that
begin with ``#`` and rows that do not have four fields are skipped, as the
existing players do. A row with a bad value is an error for those who measure, and
is skipped with a warning by those who only send jobs (`deploy.clients`).

Arrival times are held in whole milliseconds: reading rounds each arrival (not each
delay, so that rounding does not add up), and writing gives delays with three
decimals. So ``read(write(x)) == x`` for every scenario that was read or drawn by
this package, and for any other after one rounding.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import Final

from env.catalog import Catalog, load_catalog
from env.errors import DaCircoError, ScenarioError, UnknownNameError
from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, SPEEDS, Request, Speed
from env.textfile import is_there, read_lines, write_atomically

SPLITS: Final = ("train", "test")
_MAX_DELAY_S: Final = 10**9  # so that a sum of delays keeps its milliseconds in a float
_SHIPPED: Final = files("env") / "scenarios"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Requests to replay.

    Attributes:
        name: ``SPLIT/NAME`` of a shipped scenario, else the file's name without suffix.
        requests: in order of arrival; one or more.
        notes: the file's comment lines, without the ``#``.
    """

    name: str
    requests: tuple[Request, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.requests:
            raise ScenarioError(
                f"scenario {self.name!r} holds no request; a row is delay,movie,bitrate,speed"
            )
        for earlier, later in pairwise(self.requests):
            if later.arrival_s < earlier.arrival_s:
                raise ScenarioError(
                    f"scenario {self.name!r}: a request at {later.arrival_s} s comes after "
                    f"one at {earlier.arrival_s} s; sort them by arrival"
                )

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def duration_s(self) -> float:
        """Arrival of the last request, seconds since the start."""
        return self.requests[-1].arrival_s


def scenario_names(split: str | None = None) -> list[str]:
    """The shipped scenarios of a split (default: of all) as ``SPLIT/NAME``.

    Raises:
        UnknownNameError: if there is no such split.
    """
    if split is not None and split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    return [
        f"{folder}/{name}"
        for folder in (SPLITS if split is None else (split,))
        for name in sorted(
            entry.name.removesuffix(".csv")
            for entry in (_SHIPPED / folder).iterdir()
            if entry.name.endswith(".csv")
        )
    ]


def load_split(split: str) -> list[Scenario]:
    """All shipped scenarios of the split ``train`` or ``test``, by name.

    Raises:
        UnknownNameError: if there is no such split.
    """
    return [load_scenario(name) for name in scenario_names(split)]


def load_scenario(name_or_path: str | Path, catalog: Catalog | None = None) -> Scenario:
    """A shipped scenario by name, or any scenario file by its path.

    Args:
        name_or_path: ``test/poisson-half``, or ``poisson-half`` if only one split has
            it, or the path of a file. A shipped name comes before a path.
        catalog: the movies that may be asked for; default: the catalog ``bbb``.

    Raises:
        UnknownNameError: if it is neither a shipped scenario nor a file.
        ScenarioError: if the name is in more than one split, or the file is not valid.
    """
    name = str(name_or_path)
    shipped = scenario_names()
    matches = [full for full in shipped if name in (full, full.partition("/")[2])]
    if len(matches) > 1:
        raise ScenarioError(f"scenario {name!r} is ambiguous: use {' or '.join(matches)}")
    if matches:
        return read_scenario(_SHIPPED / f"{matches[0]}.csv", catalog, name=matches[0])
    path = Path(name_or_path)
    if path.suffix == ".csv" or is_there(path):
        return read_scenario(path, catalog)
    known = shipped if "/" in name else [full.partition("/")[2] for full in shipped]
    raise UnknownNameError("scenario", name, known)


def read_scenario(
    source: Path | Traversable, catalog: Catalog | None = None, *, name: str | None = None
) -> Scenario:
    """The scenario in a file.

    Args:
        source: the file.
        catalog: the movies that may be asked for; default: the catalog ``bbb``.
        name: the scenario's name; default: the file's name without suffix.

    Raises:
        ScenarioError: if the file cannot be read, holds no request, or a row of four
            fields has a bad value; names file, line, value and what is allowed.
    """
    movies = load_catalog() if catalog is None else catalog
    requests, notes = read_rows(source, lambda movie: movies[movie].name)
    label = source.name.removesuffix(".csv") if name is None else name
    return Scenario(label, tuple(requests), tuple(notes))


def read_rows(
    source: Path | Traversable,
    movie_name: Callable[[str], str],
    on_bad_row: Callable[[str], None] | None = None,
) -> tuple[list[Request], list[str]]:
    """The requests and the comment lines (without the ``#``) of a scenario file.

    Args:
        source: the file.
        movie_name: gives the name to ask for, or raises a `DaCircoError`.
        on_bad_row: is told of each row of four fields with a bad value (file, line, value and
            what is allowed), which is left out; its delay counts, if that can be read, so that
            the rows after it keep their times. By default the first one is an error.

    Raises:
        ScenarioError: as `read_scenario`.
    """
    requests: list[Request] = []
    notes: list[str] = []
    clock = Decimal()
    for number, line in enumerate(read_lines(source), start=1):
        if line.startswith("#"):
            notes.append(line[1:].strip())
            continue
        try:
            fields = [field.strip() for field in next(csv.reader([line]), [])]
            if len(fields) != 4:
                continue
            delay, movie, bitrate, speed = fields
            clock += _delay(delay)
            requests.append(
                Request(
                    round(float(clock), 3),
                    movie_name(movie),
                    _bitrate(bitrate),
                    _speed(speed),
                )
            )
        except (ValueError, csv.Error, DaCircoError) as error:
            message = f"{source}, line {number}: {error}"
            if on_bad_row is None:
                raise ScenarioError(message) from error
            on_bad_row(message)
    if not requests:
        raise ScenarioError(f"{source}: no request; a row is delay,movie,bitrate,speed")
    return requests, notes


def write_scenario(path: Path, scenario: Scenario) -> None:
    """Write a scenario file, notes first, in one step: never half a file.

    Raises:
        ScenarioError: if the file cannot be written; an earlier one is as before.
    """
    write_atomically(path, format_scenario(scenario))


def format_scenario(scenario: Scenario) -> str:
    """The text of a scenario file; delays in seconds with three decimals."""
    text = io.StringIO()
    for note in scenario.notes:
        text.write(f"# {note}".rstrip() + "\n")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows(_rows(scenario.requests))
    return text.getvalue()


def _rows(requests: Iterable[Request]) -> Iterable[tuple[str, str, int, str]]:
    clock_ms = 0
    for request in requests:
        arrival_ms = round(request.arrival_s * 1000)
        delay = f"{(arrival_ms - clock_ms) / 1000:.3f}"
        clock_ms = arrival_ms
        yield delay, request.movie, request.bitrate_kbps, request.speed


def _delay(text: str) -> Decimal:
    try:
        delay = Decimal(text)
    except InvalidOperation:
        delay = Decimal("NaN")
    if not (delay.is_finite() and 0 <= delay <= _MAX_DELAY_S):
        raise ValueError(f"delay {text!r} is not a number of seconds from 0 to {_MAX_DELAY_S}")
    return delay


def _bitrate(text: str) -> int:
    try:
        number = Decimal(text)
        good = MIN_BITRATE_KBPS <= number <= MAX_BITRATE_KBPS and number == int(number)
    except InvalidOperation:
        good = False
    if not good:
        raise ValueError(
            f"bitrate {text!r} is not a whole number from {MIN_BITRATE_KBPS} "
            f"to {MAX_BITRATE_KBPS} (kbit/s)"
        )
    return int(number)  # 7000.0 is 7000


def _speed(text: str) -> Speed:
    for speed in SPEEDS:
        if text == speed:
            return speed
    raise ValueError(f"speed {text!r} is not one of {', '.join(SPEEDS)}")
