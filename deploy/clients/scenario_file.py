"""The jobs that a player sends: read from a scenario file, or generated."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.clients.printable import printable
from deploy.names import check_video_name
from env.catalog import load_catalog
from env.generator import generate_requests
from env.jobs import Request
from env.scenario import Scenario, read_rows, write_scenario


@dataclass(frozen=True, slots=True)
class JobFile:
    """What a scenario file holds.

    Attributes:
        jobs: to be sent; any video may be named.
        skipped: how many rows had a bad value.
    """

    jobs: list[Request]
    skipped: int = 0


def read_jobs(path: Path, *, strict: bool = False) -> JobFile:
    """The jobs of a file; a row with a bad value is skipped with a warning on standard error.

    Args:
        path: the file.
        strict: such a row is an error.

    Raises:
        ScenarioError: the file cannot be read, holds no job, or is not strictly as it should be.
    """
    bad: list[str] = []

    def skip(message: str) -> None:
        bad.append(message)
        print(printable(f"skipped: {message}"), file=sys.stderr)

    jobs, _ = read_rows(path, check_video_name, None if strict else skip)
    return JobFile(jobs, len(bad))


def add_strict_option(parser: argparse.ArgumentParser) -> None:
    """The option of the players that send a file."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="send nothing if a row of the file has a bad value (default: skip such rows with a "
        "warning, send the others, and end with code 2)",
    )


def complaint(of: JobFile, failed: int, what: str) -> str:
    """What did not go well, in words; empty if all did.

    Args:
        of: the jobs.
        failed: how many of them failed.
        what: did not happen to these, e.g. ``were not accepted``.
    """
    parts = []
    if failed:
        parts.append(f"{failed} of {len(of.jobs)} jobs {what}")
    if of.skipped:
        parts.append(f"{of.skipped} rows of the file were skipped")
    return f"{' and '.join(parts)}, see above" if parts else ""


def generate_jobs(
    n: int,
    seed: int,
    save_as: Path | None,
    *,
    videos: Collection[str] | None = None,
    command: str = "dacirco_scenario",
) -> list[Request]:
    """Jobs as the existing system's generator draws them, saved before they are sent.

    Args:
        n: how many.
        seed: fixes what is drawn.
        save_as: the file to write, none to save them nowhere.
        videos: the names to draw from, least asked first; default: those of the catalog ``bbb``.
        command: that can make them again, for a comment in the file.

    Raises:
        ScenarioError: they cannot be saved.
    """
    jobs = generate_requests(n, np.random.default_rng(seed), videos or load_catalog())
    if save_as is not None:
        note = f"{command} -n {n} --seed {seed}"
        write_scenario(save_as, Scenario(save_as.stem, tuple(jobs), (note,)))
    return jobs
