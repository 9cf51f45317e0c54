"""The measured rows and their CSV file, which grows row by row."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any, Final, get_type_hints

from deploy.bench_encoder.clips import BenchError
from deploy.bench_encoder.grid import SIZES, Cell
from env.jobs import SPEEDS


@dataclass(frozen=True, slots=True)
class Row:
    """One measured transcode.

    Attributes:
        scene: what was to be seen.
        lines: height of the picture.
        seconds: playing time.
        speed: preset.
        kbps: asked bitrate, kbit/s.
        threads: of the encoder.
        repeat: which repetition, from 0.
        wall_s: from start to end.
        cpu_s: processor time of the encoder's process, seconds.
        output_kbps: written, container included, kbit/s.
        source_mbps: of the clip, Mbit/s.
        others_cores: cores that other programs (and other virtual machines of the host) kept
            from this machine meanwhile.
        cores: that this machine has for us.
        machine: its processor and system.
        encoder: the version of ffmpeg.
        begun: when, ISO 8601.
    """

    scene: str
    lines: int
    seconds: float
    speed: str
    kbps: int
    threads: int
    repeat: int
    wall_s: float
    cpu_s: float
    output_kbps: float
    source_mbps: float
    others_cores: float
    cores: int
    machine: str
    encoder: str
    begun: str

    @property
    def cell(self) -> tuple[object, ...]:
        """What was measured, to tell whether a cell of a grid has been."""
        return (
            *(self.scene, self.lines, round(self.seconds, 3), self.speed),
            *(self.kbps, self.threads, self.repeat),
        )


COLUMNS: Final = tuple(field.name for field in fields(Row))
_TYPES: Final = get_type_hints(Row)


def key(cell: Cell) -> tuple[object, ...]:
    """The cell as `Row.cell` tells it."""
    return (
        *(cell.scene, cell.lines, round(cell.seconds, 3), cell.speed),
        *(cell.kbps, cell.threads, cell.repeat),
    )


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; none if it is not there. A last line that was cut off is passed over.

    Raises:
        BenchError: it cannot be read, or is not such a file; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"cannot read {path}: {error}") from error
    lines = text[: text.rfind("\n") + 1].splitlines()
    if not lines:
        return []
    if lines[0].split(",") != list(COLUMNS):
        raise BenchError(f"{path}, line 1: not the columns of measured rows: {lines[0][:80]!r}")
    return [
        _row(cells, f"{path}, line {number}")
        for number, cells in enumerate(csv.reader(lines[1:]), start=2)
    ]


def append_row(path: Path, row: Row) -> None:
    """Add a row to a file; a last line that was cut off is taken off first.

    Raises:
        BenchError: it cannot be written.
    """
    try:
        with path.open("a+", encoding="utf-8", newline="") as file:
            file.seek(0)
            text = file.read()
            if text and not text.endswith("\n"):
                file.truncate(len(text[: text.rfind("\n") + 1].encode()))
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if "\n" not in text:
                writer.writeheader()
            writer.writerow(asdict(row))
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror}") from error


def one_machine(rows: Sequence[Row]) -> str:
    """The machine that all rows are of; empty without rows.

    Raises:
        BenchError: they are of several.
    """
    machines = sorted({row.machine for row in rows})
    if len(machines) > 1:
        raise BenchError(f"the rows are of several machines: {' and '.join(machines)}")
    return machines[0] if machines else ""


def _row(cells: Sequence[str], where: str) -> Row:
    if len(cells) != len(COLUMNS):
        raise BenchError(f"{where}: {len(cells)} columns instead of {len(COLUMNS)}")
    values: dict[str, Any] = {}
    for name, text in zip(COLUMNS, cells, strict=True):
        kind = _TYPES[name]
        try:
            values[name] = kind(text)
        except ValueError:
            raise BenchError(f"{where}: {name}: {text!r} is not a number") from None
        if kind is not str and not (isfinite(values[name]) and values[name] >= 0):
            raise BenchError(f"{where}: {name}: {text!r} is not 0 or more")
    row = Row(**values)
    for name in ("seconds", "kbps", "threads", "wall_s", "cpu_s", "output_kbps", "source_mbps"):
        if getattr(row, name) <= 0:
            raise BenchError(f"{where}: {name}: {getattr(row, name)} is not above 0")
    if row.lines not in SIZES or row.speed not in SPEEDS:
        raise BenchError(f"{where}: no picture of {row.lines} lines or no speed {row.speed!r}")
    return row
