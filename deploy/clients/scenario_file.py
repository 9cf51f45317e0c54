"""The jobs that a player sends: read from a scenario file, or generated."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from deploy.names import check_video_name
from env.catalog import load_catalog
from env.generator import generate_requests
from env.jobs import Request
from env.scenario import Scenario, read_rows, write_scenario


def read_jobs(path: Path) -> list[Request]:
    """The jobs of a file; any video may be named.

    Raises:
        ScenarioError: the file cannot be read, holds no job, or a row has a bad value: a file
            is sent as a whole or not at all.
    """
    return read_rows(path, check_video_name)[0]


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
