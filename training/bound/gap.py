"""How far the clairvoyant bound lies below the optimum: ``python -m training.bound.gap``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from env.catalog import Catalog, load_catalog
from env.command import CommandParser, run_command, whole_number
from env.config import Profile, load_profile
from env.errors import DaCircoError
from env.generator import attach_marks
from env.jobs import Request
from env.simulator import Simulator
from training.bound.clairvoyant import clairvoyant_bound
from training.bound.exact_schedule import MOST_JOBS, cheapest_schedule
from training.preferences import PREFERENCES
from training.progress import progress_bar

COMMAND: Final = "python -m training.bound.gap"
_MEAN_GAPS_S: Final = (5.0, 30.0, 120.0)
"""Mean times between two jobs of an instance: a burst, about a boot, far apart."""


def calm_world(profile: Profile) -> Profile:
    """The data centre without scatter, crowding, stops or image copies.

    So `training.bound.exact_schedule` wants it. It has a node like the first one for each job, so
    that there is always room; what a worker costs does not depend on the number of nodes.
    """
    timing = profile.timing
    nodes = tuple(replace(profile.cluster.nodes[0], name=f"node{i + 1}") for i in range(MOST_JOBS))
    return replace(
        profile,
        image_cached=True,
        cluster=replace(profile.cluster, nodes=nodes),
        timing=replace(
            timing,
            boot=replace(timing.boot, sigma=0.0, crowd_slope=0.0),
            transcode=replace(timing.transcode, sigma=0.0),
            stop=replace(timing.stop, median_s=0.0, sigma=0.0),
            download=replace(timing.download, sigma=0.0),
            upload=replace(timing.upload, sigma=0.0),
            contention=replace(timing.contention, slope_per_core=0.0, boot_load=0.0),
        ),
    )


def optimum(
    profile: Profile, requests: Sequence[Request], catalog: Catalog, preference: float
) -> float:
    """The least cost of a few requests in a calm world.

    Raises:
        DaCircoError: the data centre has no room for a largest worker for each request.
    """
    simulator = Simulator(profile, requests, catalog, preference=preference)
    cluster, alone = simulator.cluster, simulator.alone()
    if cluster.capacity_of(cluster.n_flavors - 1) < len(requests):
        raise DaCircoError(
            f"{profile.name} has no room for {len(requests)} workers of its largest flavor: "
            "take fewer jobs or a larger data centre"
        )
    return cheapest_schedule(
        np.array([request.arrival_s for request in requests]),
        alone.transcode_s + (alone.download_s + alone.upload_s)[:, None],
        boot_s=profile.timing.boot.median_s,
        first_order_s=min(requests[0].arrival_s, profile.tick_s),
        delay_price=preference,
        worker_price=[
            (1.0 - preference) * cluster.flavor_cost(f) for f in range(cluster.n_flavors)
        ],
    )


def draw_requests(
    n: int, mean_gap_s: float, rng: np.random.Generator, catalog: Catalog
) -> tuple[Request, ...]:
    """Some requests with exponential times between them."""
    arrivals: NDArray[np.float64] = np.cumsum(rng.exponential(mean_gap_s, size=n))
    return tuple(attach_marks(rng, catalog, arrivals))


@dataclass(frozen=True, slots=True)
class Gap:
    """The bound over the optimum, of several instances.

    Attributes:
        jobs, mean_gap_s, preference: what the instances have in common.
        shares: one of each instance; 1 would be tight.
    """

    jobs: int
    mean_gap_s: float
    preference: float
    shares: tuple[float, ...]


def gaps(profile: Profile, most_jobs: int, instances: int, seed: int) -> list[Gap]:
    """Draw instances and compare, with a progress bar on standard error."""
    calm, catalog = calm_world(profile), load_catalog()
    kinds = [
        (n, gap, w) for n in range(2, most_jobs + 1) for gap in _MEAN_GAPS_S for w in PREFERENCES
    ]
    rng = np.random.default_rng(seed)
    found = []
    with progress_bar() as progress:
        bar = progress.add_task("instances", total=len(kinds) * instances)
        for n, gap, w in kinds:
            shares = []
            for _ in range(instances):
                requests = draw_requests(n, gap, rng, catalog)
                bound = clairvoyant_bound(calm, requests, catalog, seed=0, preference=w)
                shares.append(bound / optimum(calm, requests, catalog, w))
                progress.advance(bar)
            found.append(Gap(n, gap, w, tuple(shares)))
    return found


def print_gaps(found: Sequence[Gap], console: Console) -> None:
    """The bound as a share of the optimum: mean and least over the instances."""
    table = Table(box=box.SIMPLE_HEAD, title="bound as a share of the optimum: mean (least)")
    table.add_column("jobs", justify="right")
    table.add_column("mean gap", justify="right")
    for w in PREFERENCES:
        table.add_column(f"w = {w:g}", justify="right", no_wrap=True)
    for n, gap in dict.fromkeys((one.jobs, one.mean_gap_s) for one in found):
        row = [one for one in found if (one.jobs, one.mean_gap_s) == (n, gap)]
        cells = [f"{np.mean(one.shares):.3f} ({min(one.shares):.3f})" for one in row]
        table.add_row(str(n), f"{gap:g} s", *cells)
    console.print(table)
    every = [share for one in found for share in one.shares]
    console.print(
        f"over all {len(every)} instances: mean {np.mean(every):.3f}, "
        f"median {np.median(every):.3f}, least {min(every):.3f}, most {max(every):.3f}"
    )


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=COMMAND,
        description=(
            "Compare the clairvoyant bound with the exact optimum on random instances of a few "
            "jobs, in a data centre without scatter and crowding, where the optimum can be found."
        ),
    )
    parser.add_argument(
        "--most-jobs",
        type=whole_number,
        default=4,
        metavar="N",
        help=f"instances have 2 to N jobs, N from 2 to {MOST_JOBS} (default: %(default)s)",
    )
    parser.add_argument(
        "--instances",
        type=whole_number,
        default=5,
        metavar="N",
        help="of each number of jobs, spacing and preference (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the instances (default: 0)")
    parser.add_argument(
        "--profile",
        default="openstack",
        metavar="NAME_OR_PATH",
        help="data centre: a shipped profile or a TOML file (default: %(default)s)",
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """The command.

    Raises:
        DaCircoError: bad input.
    """
    options: argparse.Namespace = make_parser().parse_args(arguments)
    if not 2 <= options.most_jobs <= MOST_JOBS:
        raise DaCircoError(f"--most-jobs {options.most_jobs} is not from 2 to {MOST_JOBS}")
    if options.seed < 0:
        raise DaCircoError(f"--seed {options.seed} is below 0: give a whole number of 0 or more")
    profile = load_profile(options.profile)
    found = gaps(profile, options.most_jobs, options.instances, options.seed)
    print_gaps(found, Console(highlight=False, width=120))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(COMMAND, lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
