"""Policies compared for real on this machine: ``python -m deploy.compare_live --out DIR``.

The embedded service plays the same scenario under each policy, with worker processes and ffmpeg;
beside the measured figures stands what the simulator predicts for this machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from deploy.catalog import fill, movie_bars
from deploy.comparison.live_run import empty_folder, play_live
from deploy.comparison.predicted import predict
from deploy.comparison.report import Row, markdown, write_report
from deploy.embedded.settings import EmbeddedSettings, find_policy
from deploy.managers.machine import machine_cluster, with_boot_delay
from deploy.storage.directory import DirectoryStorage
from env.catalog import Catalog, load_catalog
from env.command import CommandParser, positive_seconds, run_command, whole_number
from env.config import Profile, load_profile
from env.cost import check_preference
from env.errors import DaCircoError
from env.scenario import Scenario, load_scenario

POLICIES = ("minimize-workers", "grace-period", "models/dacirco")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, run and compare, print the table, and return the exit code."""
    return run_command("deploy.compare_live", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    check_preference(options.preference)
    catalog = load_catalog(options.catalog)
    scenario = load_scenario(options.scenario, catalog)
    cluster = machine_cluster(options.cores)
    profile = replace(load_profile(options.profile), cluster=cluster)
    profile = with_boot_delay(profile, options.boot_delay)
    videos = _videos(options.out, catalog)
    rows = []
    for policy in options.policy or POLICIES:
        settings = EmbeddedSettings(
            data=options.out,
            rest_port=0,
            grpc_port=0,
            http_port=0,
            scheduler=policy,
            fallback=options.fallback,
            preference=options.preference,
            catalog=options.catalog,
            profile=options.profile,
            cores=options.cores,
            boot_delay_s=options.boot_delay,
        )
        rows.append(_compare(settings, scenario, catalog, videos, profile, options))
    facts = {
        "scenario": scenario.name,
        "jobs": len(scenario),
        "preference": options.preference,
        "boot_delay_s": options.boot_delay,
        "cores": cluster.nodes[0].cores,
        "vcpus_offered": cluster.nodes[0].cores * cluster.vcpu_overcommit,
        "simulations": options.seeds,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    for path in write_report(options.out, rows, facts):
        print(path)
    print(markdown(rows))


def _compare(
    settings: EmbeddedSettings,
    scenario: Scenario,
    catalog: Catalog,
    videos: Path,
    profile: Profile,
    options: argparse.Namespace,
) -> Row:
    policy = settings.scheduler
    data = options.out / policy.replace("/", "-").replace(":", "-")
    with _Bars(policy, len(scenario)) as tell:
        live = play_live(empty_folder(settings, data), scenario, videos, profile, tell)
    predicted, runs = predict(
        profile,
        scenario,
        catalog,
        find_policy(policy),
        options.fallback,
        options.preference,
        options.seeds,
    )
    load: Any = os.getloadavg()[0]
    print(f"{policy}: done; load of the machine over the last minute {load:.1f}", flush=True)
    return Row(policy, live, predicted, tuple(runs))


class _Bars:
    """Progress bars of one run."""

    def __init__(self, policy: str, jobs: int) -> None:
        self._progress = Progress(console=Console(stderr=True))
        self._sent = self._progress.add_task(f"{policy}: sent", total=jobs)
        self._ended = self._progress.add_task(f"{policy}: ended", total=jobs)

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _tell(self, sent: int, ended: int) -> None:
        self._progress.update(self._sent, completed=sent)
        self._progress.update(self._ended, completed=ended)


def _videos(out: Path, catalog: Catalog) -> Path:
    """The folder with the movies, rendered if they are missing."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DaCircoError(f"cannot make the folder {out}: {error.strerror}") from None
    with movie_bars() as progress:
        fill(DirectoryStorage(out / "videos"), catalog, progress=progress)
    return out / "videos" / "input-videos"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m deploy.compare_live",
        description="Run the embedded service for real under several policies with the same "
        "scenario, and set the measured figures beside the simulator's prediction.",
    )
    parser.add_argument(
        "--scenario",
        required=True,
        metavar="NAME|FILE",
        help="what is asked for: rows delay,movie,bitrate,speed, or a shipped scenario",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="for comparison.json, .md and .png, and the data of each run",
    )
    parser.add_argument(
        "--policy",
        action="append",
        metavar="POLICY",
        help=f"a rule or a frozen policy; may be repeated (default: {', '.join(POLICIES)})",
    )
    parser.add_argument(
        "--fallback",
        default="grace-period",
        metavar="RULE",
        help="takes over where a policy cannot decide (%(default)s)",
    )
    parser.add_argument(
        "--preference",
        type=float,
        default=0.5,
        metavar="W",
        help="0.1 is lean, 0.9 is fast (%(default)s)",
    )
    parser.add_argument(
        "--catalog", default="local", metavar="NAME|FILE", help="the movies (%(default)s)"
    )
    parser.add_argument(
        "--profile",
        default="local",
        metavar="NAME|FILE",
        help="timing for the simulator and for what the service expects (%(default)s)",
    )
    parser.add_argument(
        "--cores", type=whole_number, metavar="N", help="cores to offer; by default all"
    )
    parser.add_argument(
        "--boot-delay",
        type=positive_seconds,
        default=0.0,
        metavar="SECONDS",
        help="start workers this much later, to imitate the boot of a VM (%(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=whole_number,
        default=30,
        metavar="N",
        help="simulations of which the prediction is the mean (%(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
