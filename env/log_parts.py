"""The files of one event log: the first, and the parts that continue it.

A log that has grown to its limit goes on in another file beside it: ``tc-events-07.txt``, then
``tc-events-07_part0002.txt``, ``tc-events-07_part0003.txt`` and so on, in this order also by name.
Whoever is given the first file reads them all; a part that is given is read alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from env.errors import EventLogError

CONFIG_ENDING: Final = ".config.txt"
"""Of the file beside a log, in place of ``.txt``, that holds the controller's settings."""

_PART: Final = re.compile(r"(?P<log>.+)_part(?P<number>\d{4,})")


def part_path(log: Path, number: int) -> Path:
    """The file of a log's part; 1 is the log's first file."""
    return log if number == 1 else log.with_name(f"{log.stem}_part{number:04d}{log.suffix}")


def first_of(path: Path) -> Path | None:
    """The first file of the log that a part continues; none if the name is no part's."""
    match = _PART.fullmatch(path.stem)
    return None if match is None else path.with_name(match["log"] + path.suffix)


def parts_of(path: Path) -> Iterator[Path]:
    """The files of a log in order, each when the one before is done with: it may still grow.

    Raises:
        EventLogError: a part is missing between two others.
    """
    yield path
    if first_of(path) is not None:
        return
    number = 2
    while (part := part_path(path, number)).exists():
        yield part
        number += 1
    later = sorted(other.name for other in _others(path) if other.name > part.name)
    if later and not part.exists():
        raise EventLogError(
            f"{part} is missing, but {later[0]} is there: put it back, or read the parts alone"
        )


def last_part(path: Path) -> int:
    """The number of a log's last part, 1 if nothing continues it."""
    numbers = [int(match["number"]) for p in _others(path) if (match := _PART.fullmatch(p.stem))]
    return max(numbers, default=1)


def logs_in(folder: Path) -> list[Path]:
    """The first files of the logs ``tc-events-XY.txt`` in a folder, by number."""
    return sorted(folder.glob("tc-events-[0-9][0-9].txt"))


def _others(path: Path) -> list[Path]:
    try:
        names = [other for other in path.parent.iterdir() if other.suffix == path.suffix]
    except OSError:
        return []
    return [other for other in names if first_of(other) == path]
