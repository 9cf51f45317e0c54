"""How far the drift check can be trusted: ``python -m training.validation.power``.

Logs of the simulator, of which it is known what has changed, are judged by a profile. Printed is
how many of them are called drifted, change by change; those of no change are false alarms.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import track

from env.catalog import DEFAULT_CATALOG, Catalog, load_catalog
from env.command import CommandParser, run_command, whole_number
from env.config import Profile, load_profile
from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, SPEEDS, Request
from training.calibration.observations import tidy
from training.validation.consequence import scaled
from training.validation.drift import Drift, Verdict, find_drift
from training.validation.simulated_tables import simulated_tables

JOBS: Final = 60
GAP_S: Final = 15.0
UNCHANGED: Final = "nothing (false alarms)"

Change = Callable[[Profile], Profile]


def changed_step(step: str, ratio: float) -> Change:
    """A change that makes a step (boot, download, transcode, upload) so many times as long."""
    return lambda profile: replace(profile, timing=scaled(profile.timing, step, ratio))


def failing(share: float) -> Change:
    """A change that lets this share of the transcodes fail."""
    return lambda profile: replace(profile, faults=replace(profile.faults, transcode_error=share))


CHANGES: Final[dict[str, Change]] = {
    UNCHANGED: lambda profile: profile,
    "boot x 1.5": changed_step("boot", 1.5),
    "boot x 1.2": changed_step("boot", 1.2),
    "transcode x 1.3": changed_step("transcode", 1.3),
    "transcode x 1.2": changed_step("transcode", 1.2),
    "download x 1.5": changed_step("download", 1.5),
    "upload x 1.5": changed_step("upload", 1.5),
    "10 % of the transcodes fail": failing(0.1),
}
"""What is changed in the world that the profile is held against."""


def sized(catalog: Catalog, profile: Profile) -> Catalog:
    """The catalog with a file size for each video: downloads are judged by it.

    Args:
        catalog: some of its videos may lack one.
        profile: tells the bitrate of a typical source.
    """
    bytes_per_s = profile.timing.transcode.typical_source_mbps * 1e6 / 8
    return Catalog(
        catalog.name,
        [
            replace(movie, size_bytes=movie.size_bytes or round(bytes_per_s * movie.duration_s))
            for movie in catalog.movies
        ],
    )


def draw_requests(catalog: Catalog, seed: int, jobs: int = JOBS) -> list[Request]:
    """Requests for any videos at random times, the first at 0."""
    rng = np.random.default_rng(seed)
    movies = catalog.movies
    arrivals = np.cumsum(rng.exponential(GAP_S, jobs))
    return [
        Request(
            float(arrival - arrivals[0]),
            movies[rng.integers(len(movies))].name,
            int(rng.integers(MIN_BITRATE_KBPS, MAX_BITRATE_KBPS + 1)),
            SPEEDS[rng.integers(len(SPEEDS))],
        )
        for arrival in arrivals
    ]


def judged(profile: Profile, change: Change, catalog: Catalog, seed: int) -> Drift:
    """What the check says of one log of a changed world.

    Args:
        profile: that judges.
        change: of the world.
        catalog: videos that are asked for.
        seed: of the requests and of the world.
    """
    world = replace(change(profile), image_cached=True)
    requests = draw_requests(catalog, seed)
    runs = tidy(*simulated_tables(world, requests, catalog, seed=seed))
    return find_drift(runs, replace(profile, image_cached=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command("training.validation.power", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m training.validation.power",
        description="Counts on simulated logs how often the drift check finds what has changed, "
        "and how often it finds what has not.",
    )
    parser.add_argument(
        "--profiles",
        nargs="+",
        default=["openstack", "kubernetes"],
        metavar="PROFILE",
        help="that judge (default: %(default)s)",
    )
    parser.add_argument(
        "--catalog", default=DEFAULT_CATALOG, help="videos that are asked for (%(default)s)"
    )
    parser.add_argument(
        "--logs",
        type=whole_number,
        default=60,
        metavar="N",
        help=f"of {JOBS} jobs each, for each change; five times as many of no change "
        "(default: %(default)s)",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    console = Console(stderr=True)
    profiles = [load_profile(name) for name in options.profiles]
    catalog = sized(load_catalog(options.catalog), profiles[0])
    print("| what changed | " + " | ".join(options.profiles) + " |")
    print("|" + " --- |" * (1 + len(profiles)))
    for name, change in CHANGES.items():
        logs = 5 * options.logs if name == UNCHANGED else options.logs
        cells = []
        for profile in profiles:
            drifts = [
                judged(profile, change, catalog, seed)
                for seed in track(
                    range(logs),
                    f"{profile.name}: {name}",
                    console=console,
                    transient=True,
                    disable=not console.is_terminal,
                )
            ]
            found = sum(drift.verdict is Verdict.DRIFTED for drift in drifts)
            cells.append(f"{found} of {logs}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
