"""``python -m deploy.catalog``: render the movies of a catalog and put them into a storage.

The movies are synthetic: moving patterns under noise, as long and as large as the catalog says,
at a bitrate that is usual for the size.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from itertools import count
from pathlib import Path
from threading import Event
from typing import Final

from deploy.launcher import bound_to_us
from deploy.media.ffmpeg import BadVideoError, last_words
from deploy.media.probe import probe
from deploy.media.render import render_command
from deploy.names import check_video_name
from deploy.storage.base import ObjectMissingError, ObjectStorage
from deploy.storage.factory import (
    DEFAULT_ACCESS_KEY,
    DEFAULT_SECRET_KEY,
    URL_HELP,
    make_storage,
)
from env.catalog import Catalog, Movie, catalog_names, load_catalog
from env.command import CommandParser, run_command, whole_number
from env.errors import DaCircoError

INPUT_PATH: Final = "input-videos"
SECRET_VARIABLE: Final = "TCWORKER_MINIO_SECRET_KEY"
_DURATION_TOLERANCE_S: Final = 0.1
_HD_PIXELS: Final = 1280 * 720
_HD_KBPS: Final = 5000.0
"""A usual bitrate of 1280 x 720; it grows with the pixels to the power of 3/4."""

Progress = Callable[[str, float], None]
"""Told the movie and the share of it that is done, 0 to 1; from several threads."""


class RenderError(DaCircoError):
    """A movie could not be rendered."""


class Outcome(Enum):
    """What became of a movie."""

    RENDERED = "rendered"
    KEPT = "was there"
    DIFFERS = "is there but is not as the catalog says"


def fill(
    storage: ObjectStorage,
    catalog: Catalog,
    *,
    input_path: str = INPUT_PATH,
    jobs: int = 1,
    replace: bool = False,
    progress: Progress = lambda name, share: None,
) -> dict[str, Outcome]:
    """Render what the storage lacks; a movie appears in it whole or not at all.

    Args:
        storage: made if it is not there.
        catalog: the movies.
        input_path: their key prefix.
        jobs: how many to render at the same time.
        replace: also those that are there but are not as the catalog says.
        progress: told now and then.

    Returns:
        What became of each movie, by name.

    Raises:
        StorageError: the storage does not work.
        RenderError: the catalog asks for what ffmpeg cannot do.
    """
    for movie in catalog.movies:
        check_video_name(movie.name)
        if movie.width % 2 or movie.height % 2:
            raise RenderError(f"{movie.name}: width and height must be even for H.264")
    storage.prepare()
    stop = Event()

    def do(seed: int, movie: Movie) -> Outcome:
        key = f"{input_path}/{movie.name}"
        there = _there(storage, key, movie)
        if there is True or (there is False and not replace):
            outcome = Outcome.KEPT if there else Outcome.DIFFERS
        else:
            _render(storage, key, movie, seed, lambda share: progress(movie.name, share), stop)
            outcome = Outcome.RENDERED
        progress(movie.name, 1.0)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return dict(zip(catalog, pool.map(do, count(1), catalog.movies), strict=True))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _there(storage: ObjectStorage, key: str, movie: Movie) -> bool | None:
    """Whether the object is the movie; none if there is no object."""
    try:
        if storage.size(key) == movie.size_bytes:
            return True
        with _scratch() as folder:
            copy = folder / "copy"
            storage.download(key, copy)
            found = probe(copy)
    except ObjectMissingError:
        return None
    except BadVideoError:
        return False
    duration = found.duration_s or 0.0
    as_long = abs(duration - movie.duration_s) <= _DURATION_TOLERANCE_S
    return as_long and (found.width, found.height) == (movie.width, movie.height)


def _render(
    storage: ObjectStorage,
    key: str,
    movie: Movie,
    seed: int,
    progress: Callable[[float], None],
    stop: Event,
) -> None:
    with _scratch() as folder, tempfile.TemporaryFile(dir=folder) as stderr:
        path = folder / "movie.mp4"
        command = render_command(
            path,
            width=movie.width,
            height=movie.height,
            duration_s=movie.duration_s,
            bitrate_kbps=round(_HD_KBPS * (movie.pixels / _HD_PIXELS) ** 0.75),
            seed=seed,
        )
        with subprocess.Popen(
            bound_to_us(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    name, _, value = line.strip().partition("=")
                    if stop.is_set():
                        raise RenderError(f"{movie.name}: stopped")
                    if name == "out_time_us" and value.isdigit():
                        progress(min(1.0, int(value) / 1e6 / movie.duration_s))
            finally:
                process.kill()
        if process.returncode != 0:
            stderr.seek(0)
            words = last_words(stderr.read().decode(errors="replace"), hide=[folder])
            raise RenderError(f"{movie.name} cannot be rendered: {words}")
        storage.upload(path, key)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dacirco-catalog-") as folder:
        yield Path(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the storage, showing how far it is, and return the exit code."""
    return run_command("catalog", lambda: _run(_parser().parse_args(argv)))


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="python -m deploy.catalog",
        description="Renders the synthetic movies of a catalog and puts them into a storage. "
        "What is there already is kept, so it can be interrupted and started again.",
        epilog=f"The S3 secret key is read from {SECRET_VARIABLE} (default: {DEFAULT_SECRET_KEY}).",
    )
    parser.add_argument(
        "--catalog",
        default="local",
        metavar="NAME|FILE",
        help=f"a catalog file, or one of: {', '.join(catalog_names())} (default: local)",
    )
    parser.add_argument("--storage", required=True, metavar="URL", help=URL_HELP)
    parser.add_argument(
        "--access-key", default=DEFAULT_ACCESS_KEY, help="user of S3 (default: %(default)s)"
    )
    parser.add_argument(
        "--input-path",
        default=INPUT_PATH,
        metavar="PREFIX",
        help="where the movies go in the storage (default: %(default)s)",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=whole_number,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="movies to render at the same time (default: one for each core, here %(default)s)",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="render anew what is there but is not as long or as large as the catalog says",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    catalog = load_catalog(options.catalog)
    storage = make_storage(
        options.storage,
        access_key=options.access_key,
        secret_key=os.environ.get(SECRET_VARIABLE) or DEFAULT_SECRET_KEY,
    )
    with movie_bars() as progress:
        outcomes = fill(
            storage,
            catalog,
            input_path=options.input_path.strip("/"),
            jobs=options.jobs,
            replace=options.replace,
            progress=progress,
        )
    for outcome in Outcome:
        names = [name for name, became in outcomes.items() if became is outcome]
        if names:
            print(f"{outcome.value}: {', '.join(names)}")
    if Outcome.DIFFERS in outcomes.values():
        raise DaCircoError(f"some movies in {storage.url} are other ones; --replace renders them")


@contextlib.contextmanager
def movie_bars() -> Iterator[Progress]:
    """A progress bar for each movie on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    console = Console(stderr=True)
    bars, movies = Bars(console=console, disable=not console.is_terminal), dict[str, TaskID]()

    def progress(name: str, share: float) -> None:
        if name not in movies:
            movies[name] = bars.add_task(name, total=1.0)
        bars.update(movies[name], completed=share)

    with bars:
        yield progress


if __name__ == "__main__":
    sys.exit(main())
