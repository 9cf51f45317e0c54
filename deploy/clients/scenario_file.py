"""The jobs that a player sends: read from a scenario file, or generated."""

from __future__ import annotations

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


def generate_jobs(n: int, seed: int, save_as: Path) -> list[Request]:
    """Jobs as the existing system's generator draws them, saved before they are sent.

    Raises:
        ScenarioError: they cannot be saved.
    """
    jobs = generate_requests(n, np.random.default_rng(seed), load_catalog())
    note = f"dacirco_scenario -n {n} --seed {seed}"
    write_scenario(save_as, Scenario(save_as.stem, tuple(jobs), (note,)))
    return jobs
