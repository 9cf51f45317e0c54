"""``dacirco_generate_scenario``: writes a scenario file, and sends nothing."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.clients.scenario import SAVED_AS, chosen_seed, job_count, seed_number
from deploy.clients.scenario_file import generate_jobs
from deploy.names import VideoNameError, check_video_name
from env.catalog import load_catalog
from env.command import CommandParser, check_output_file, run_command
from env.errors import DaCircoError

COMMAND: Final = "dacirco_generate_scenario"
DEFAULT_NUMBER: Final = 100
_MOST_VIDEOS: Final = 10_000
_NUMBERED: Final = re.compile(r"(.*?)(\d{1,9})(.*?)\.\.\1(\d{1,9})\3")
"""``vid-00..vid-40``: the same text around two numbers."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, write the file, and return the exit code."""
    return run_command(COMMAND, lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    path: Path = options.output
    check_output_file(path)
    if options.videos is None:
        videos, source = list(load_catalog(options.catalog)), f"--catalog {options.catalog}"
    else:
        videos, source = video_names(options.videos), f"--videos {options.videos}"
    jobs = generate_jobs(
        options.number,
        chosen_seed(options.seed),
        path,
        videos=videos,
        command=f"{COMMAND} {source}",
    )
    print(
        f"{path}: {len(jobs)} jobs over {jobs[-1].arrival_s:.0f} s; "
        f"send them with dacirco_scenario -f {path}"
    )


def video_names(text: str) -> list[str]:
    """The names that a list such as ``vid-00..vid-40,bbb_3.mp4`` means.

    Raises:
        DaCircoError: a name is not usable, is there twice, or there are too many.
    """
    names: list[str] = []
    for part in text.split(","):
        match = _NUMBERED.fullmatch(part.strip())
        if match is None:
            names.append(part.strip())
            continue
        before, first, after, last = match.groups()
        if not int(first) <= int(last) < int(first) + _MOST_VIDEOS:
            raise DaCircoError(
                f"--videos {part[:60]!r} is not a range of 1 to {_MOST_VIDEOS} videos"
            )
        names += [
            f"{before}{number:0{len(first)}d}{after}" for number in range(int(first), int(last) + 1)
        ]
    for name in names:
        try:
            check_video_name(name)
        except VideoNameError as error:
            raise DaCircoError(f"--videos: {error}") from None
    if len(set(names)) < len(names):
        raise DaCircoError(f"--videos {text[:60]!r} names a video twice: name each once")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog=COMMAND,
        description="Write a scenario file of random jobs, as dacirco_scenario -n draws them, "
        "without sending them.",
    )
    parser.add_argument(
        "-n",
        "--number",
        type=job_count,
        default=DEFAULT_NUMBER,
        metavar="N",
        help="of jobs, one in about 6 s (%(default)s)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=SAVED_AS, metavar="FILE", help="(%(default)s)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--catalog",
        default="bbb",
        metavar="NAME_OR_PATH",
        help="the videos that are asked for (%(default)s)",
    )
    source.add_argument(
        "--videos",
        metavar="NAMES",
        help="their names instead, by commas, least asked first; vid-00..vid-40 stands for 41",
    )
    parser.add_argument(
        "--seed",
        type=seed_number,
        help="generate the same jobs each time (default: others each time)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
