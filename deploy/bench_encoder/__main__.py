"""How long this machine transcodes: ``python -m deploy.bench_encoder``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.bench_encoder.clips import BenchError
from deploy.bench_encoder.fit import fit_rows
from deploy.bench_encoder.grid import DEFAULT_BITRATES, DEFAULT_LENGTHS, DEFAULT_SIZES, SIZES, Grid
from deploy.bench_encoder.measure import machine, measure
from deploy.bench_encoder.rows import Row, append_row, key, one_machine, read_rows
from deploy.bench_encoder.scenes import SCENES
from deploy.bench_encoder.section import section_text
from deploy.media.command import MAX_BITRATE_KBPS
from deploy.media.ffmpeg import find_ffmpeg
from deploy.worker.cpus import usable_cpus
from env.command import CommandParser, UsageError, run_command, whole_number
from env.config import load_profile
from env.jobs import SPEEDS
from env.textfile import write_atomically

COMMAND: Final = "python -m deploy.bench_encoder"
ROWS_FILE: Final = "rows.csv"
SECTION_FILE: Final = "transcode.toml"
CLIPS_FOLDER: Final = "clips"
_DEFAULT_MINUTES: Final = 5.0

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command("bench_encoder", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=COMMAND,
        description="Measures how long the worker's own ffmpeg command takes on this machine, over "
        "sizes of picture, speeds, bitrates and threads, and fits the profile's law of "
        "transcoding to it. Each transcode is written down at once: a run that was ended goes on "
        "where it stopped, and another run adds to it. Run it where workers run: on a VM of each "
        "flavor, or in a pod.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/bench-encoder"),
        metavar="DIR",
        help=f"folder for the measured rows ({ROWS_FILE}), the fitted tables ({SECTION_FILE}), "
        "a picture and the clips (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=_minutes,
        default=_DEFAULT_MINUTES,
        help="measure for so long; 0 fits what was measured before (default: %(default)g)",
    )
    parser.add_argument(
        "--with",
        dest="others",
        type=Path,
        nargs="+",
        default=[],
        metavar="CSV",
        help="rows of other runs on the same kind of machine, fitted together with these: "
        "those of a VM with more vCPUs, say",
    )
    parser.add_argument(
        "--base",
        default="openstack",
        metavar="PROFILE",
        help="shipped profile or TOML file whose figures are held where the rows show none "
        "(default: %(default)s)",
    )
    grid = parser.add_argument_group("what is measured")
    grid.add_argument(
        "--sizes",
        type=whole_number,
        nargs="+",
        choices=sorted(SIZES),
        default=list(DEFAULT_SIZES),
        help="lines of the picture (default: %(default)s)",
    )
    grid.add_argument("--speeds", nargs="+", choices=SPEEDS, default=list(SPEEDS))
    grid.add_argument(
        "--bitrates",
        type=_bitrate,
        nargs="+",
        default=list(DEFAULT_BITRATES),
        metavar="KBPS",
        help="asked, kbit/s; the lowest should be below what the encoder can write "
        "(default: %(default)s)",
    )
    grid.add_argument(
        "--threads",
        type=whole_number,
        nargs="+",
        metavar="N",
        help="of the encoder (default: 1, 2, 4, ... and all cores of this machine)",
    )
    names = [scene.name for scene in SCENES]
    grid.add_argument("--scenes", nargs="+", choices=names, default=names)
    grid.add_argument(
        "--lengths",
        type=_length,
        nargs="+",
        default=list(DEFAULT_LENGTHS),
        metavar="FACTOR",
        help="of the clips, relative to 12 s at 360 lines and about 4 megapixel-seconds at more; "
        "they are taken in turn (default: %(default)s)",
    )
    grid.add_argument(
        "--repeats",
        type=whole_number,
        default=3,
        metavar="N",
        help="measure each cell so often, if there is time (default: %(default)s)",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    base = load_profile(options.base).timing
    out: Path = options.out
    path = out / ROWS_FILE
    rows = read_rows(path)
    others = [row for other in options.others for row in _rows_of(other)]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"cannot make the folder {out}: {error.strerror}") from error
    if options.minutes > 0:
        if {row.machine for row in rows} - {machine()}:
            raise BenchError(
                f"{path} was measured on another machine ({one_machine(rows)}): give another --out"
            )
        find_ffmpeg()
        rows = _measure(_grid(options), rows, path, options.minutes)
    console = Console(highlight=False, soft_wrap=True)
    every = [*rows, *others]
    fit = fit_rows(every, base.transcode, base.upload)
    text = section_text(fit, every, base.transcode, base.upload)
    write_atomically(out / SECTION_FILE, text)
    from deploy.bench_encoder.plots import write_plot  # matplotlib, once there is what to draw

    picture = write_plot(out, every, fit, base.transcode)
    console.print(text, markup=False, end="")
    console.print(f"\nwrote {path}, {out / SECTION_FILE} and {picture}", markup=False)


def _rows_of(path: Path) -> list[Row]:
    rows = read_rows(path)
    if not rows:
        raise BenchError(f"{path} holds no measured rows")
    return rows


def _grid(options: argparse.Namespace) -> Grid:
    cores = usable_cpus()
    threads = options.threads or _powers_up_to(cores)
    if max(threads) > cores:
        raise UsageError(f"--threads {max(threads)}: this machine has {cores} cores for us")
    return Grid(
        lines=_once(options.sizes),
        speeds=_once(options.speeds),
        bitrates=_once(options.bitrates),
        threads=_once(threads),
        scenes=_once(options.scenes),
        lengths=_once(options.lengths),
        repeats=options.repeats,
    )


def _measure(grid: Grid, rows: list[Row], path: Path, minutes: float) -> list[Row]:
    """Measure what is missing until the time is up; returns all rows."""
    done = {row.cell for row in rows}
    cells = grid.cells()
    missing = [cell for cell in cells if key(cell) not in done]
    deadline = time.monotonic() + 60 * minutes
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(f"of {minutes:g} min"),
        console=Console(stderr=True),
    )
    with progress:
        bar = progress.add_task("", total=len(cells), completed=len(cells) - len(missing))
        for cell in missing:
            if time.monotonic() >= deadline:
                break
            progress.update(
                bar,
                description=f"{cell.lines}p {cell.speed} {cell.kbps}k, "
                f"{cell.threads} thread{'s' * (cell.threads > 1)}",
            )
            row = measure(cell, path.parent / CLIPS_FOLDER)
            append_row(path, row)
            rows = [*rows, row]
            progress.advance(bar)
    return rows


def _powers_up_to(cores: int) -> list[int]:
    powers = [1 << n for n in range(cores.bit_length())]
    return sorted({n for n in powers if n <= cores} | {cores})


def _once(values: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


def _minutes(text: str) -> float:
    return _number(text, 0.0, 10_000.0, "a number of minutes, 0 or more")


def _length(text: str) -> float:
    return _number(text, 0.01, 1_000.0, "a factor from 0.01 to 1000")


def _bitrate(text: str) -> int:
    number = whole_number(text)
    if number > MAX_BITRATE_KBPS:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {MAX_BITRATE_KBPS} kbit/s")
    return number


def _number(text: str, low: float, high: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


if __name__ == "__main__":
    sys.exit(main())
