"""What another policy would have cost: ``python -m deploy.shadow_cost tc-events-XY.txt``.

The requests that a log has recorded are simulated again in the data centre that it describes, under
both policies, on the same jobs with the same noise, several times. A controller in shadow mode runs
this in a process of its own (`estimate_in_background`).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import exp, log, sqrt
from pathlib import Path
from typing import Any, Final

import numpy as np

from agents.loading import DEFAULT_FALLBACK, live_policy
from deploy.replay.history import read_history
from deploy.student_t import t_quantile
from deploy.system.child import json_of_child
from env.catalog import Catalog
from env.command import CommandParser, run_command, whole_number
from env.config import Profile
from env.cost import CostVector, cost_so_far
from env.errors import DaCircoError, EventLogError
from env.event_log import EventCode
from env.jobs import Request
from env.labels import describe_preference
from env.simulator import Simulator
from env.timing import TimingModel

COMMAND: Final = "python -m deploy.shadow_cost"
DEFAULT_SEEDS: Final = 5
DEFAULT_LAST: Final = 2000
PERIOD_S: Final = 1800.0
"""How often a controller in shadow mode estimates by default, seconds."""
LOW_PRIORITY: Final = 10
_FEWEST_REQUESTS: Final = 5
_MOST_NICE: Final = 19
"""There is no lower priority."""


@dataclass(frozen=True, slots=True)
class RelativeCost:
    """Simulated cost of a policy relative to the one in charge, on the same requests.

    Attributes:
        policy: text of the policy.
        against: text of the one in charge.
        ratio: geometric mean over the seeds; below 1 the policy is cheaper.
        low, high: paired 95 % interval (Student's t on the logarithms).
        requests: how many were simulated, the latest ones.
        substituted: of these, ask for a video whose length is not known; the catalog's movie
            nearest to its mean takes its place.
        seeds: simulations of each policy.
        preference: w.
    """

    policy: str
    against: str
    ratio: float
    low: float
    high: float
    requests: int
    substituted: int
    seeds: int
    preference: float

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.policy} would have cost {self.ratio:.3f} times as much as {self.against} "
            f"(95 % interval {self.low:.3f} to {self.high:.3f}): {self.requests} requests, "
            f"{self.seeds} simulations each, {describe_preference(self.preference)}"
        )


def known_requests(
    requests: Sequence[Request], profile: Profile, catalog: Catalog
) -> tuple[list[Request], int]:
    """The requests with arrivals from 0 on and videos of the catalog, and how many were changed."""
    names = list(catalog)
    timing = TimingModel(profile)
    service = timing.describe(
        [Request(0.0, name, 2000, "fast") for name in names], catalog
    ).service_s[:, 0]
    typical = names[int(np.abs(service - service.mean()).argmin())]
    first = requests[0].arrival_s if requests else 0.0
    known = [
        Request(
            request.arrival_s - first,
            request.movie if request.movie in catalog else typical,
            request.bitrate_kbps,
            request.speed,
        )
        for request in requests
    ]
    return known, sum(request.movie not in catalog for request in requests)


def simulated_costs(
    spec: str,
    fallback: str,
    requests: Sequence[Request],
    profile: Profile,
    catalog: Catalog,
    *,
    preference: float,
    seed: int,
) -> CostVector:
    """Both costs of one simulation under a policy with its guard and shield.

    Raises:
        DaCircoError: the policy cannot be used: an estimate of its fallback would mislead.
    """
    # Simulated time only: a busy machine must not change the result.
    policy, warnings = live_policy(spec, fallback, clock=lambda: 0.0)
    simulator = Simulator(
        profile,
        requests,
        catalog,
        seed=seed,
        preference=preference,
        discipline=policy.discipline,
    )
    policy.reset(simulator.cluster)
    if policy.guard.unusable:
        raise DaCircoError(warnings[0] if warnings else policy.guard.unusable)
    simulator.run(policy)
    return cost_so_far(simulator.cluster)


def relative_cost(
    policy: str,
    against: str,
    requests: Sequence[Request],
    profile: Profile,
    catalog: Catalog,
    *,
    preference: float,
    fallback: str = DEFAULT_FALLBACK,
    seeds: int = DEFAULT_SEEDS,
) -> RelativeCost:
    """Simulate both policies on the requests.

    Raises:
        DaCircoError: too few requests or seeds, or a policy cannot be used.
    """
    if len(requests) < _FEWEST_REQUESTS:
        raise DaCircoError(
            f"{len(requests)} requests say nothing about cost: {_FEWEST_REQUESTS} are needed"
        )
    if seeds < 2:
        raise DaCircoError(f"{seeds} simulation gives no interval: take 2 or more")
    known, substituted = known_requests(requests, profile, catalog)
    logs = []
    for seed in range(seeds):
        costs = [
            simulated_costs(
                spec, fallback, known, profile, catalog, preference=preference, seed=seed
            ).weighed(preference)
            for spec in (policy, against)
        ]
        logs.append(log(costs[0] / costs[1]))
    mean = float(np.mean(logs))
    half = t_quantile(0.975, seeds - 1) * float(np.std(logs, ddof=1)) / sqrt(seeds)
    return RelativeCost(
        policy,
        against,
        exp(mean),
        exp(mean - half),
        exp(mean + half),
        len(known),
        substituted,
        seeds,
        preference,
    )


async def estimate_in_background(
    log_path: Path,
    policy: str,
    against: str,
    *,
    fallback: str = DEFAULT_FALLBACK,
    seeds: int = DEFAULT_SEEDS,
    last: int = DEFAULT_LAST,
    niceness: int = LOW_PRIORITY,
) -> RelativeCost:
    """Estimate from a log that is being written, in a process of its own.

    Cancelling ends the process.

    Args:
        log_path: the event log.
        policy: text of the policy.
        against: of the one in charge.
        fallback: of the rule that decides where either fails.
        seeds: simulations of each.
        last: at most so many of the latest requests.
        niceness: by how much the process gives way to others.

    Raises:
        DaCircoError: the estimate could not be made (yet); the message tells why.
    """
    found = await json_of_child(
        *("deploy.shadow_cost", str(log_path), "--policy", policy),
        *("--against", against, "--fallback", fallback, "--seeds", str(seeds)),
        *("--last", str(last), "--nice", str(niceness), "--json"),
    )
    return RelativeCost(**found)


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=COMMAND,
        description="Simulate the requests of an event log under a policy and under the one that "
        "was in charge, and tell how their costs compare.",
    )
    parser.add_argument("log", type=Path, metavar="FILE", help="tc-events-XY.txt")
    parser.add_argument(
        "--policy", required=True, metavar="SPEC", help="NAME[:key=value,...] or models/NAME"
    )
    parser.add_argument(
        "--against", metavar="SPEC", help="compare with this policy (default: the one in charge)"
    )
    parser.add_argument(
        "--fallback",
        metavar="SPEC",
        help=f"decides where either fails (default: as recorded, else {DEFAULT_FALLBACK})",
    )
    parser.add_argument(
        "--preference",
        type=float,
        metavar="W",
        help="0.1 lean to 0.9 fast (default: the latest that the log tells)",
    )
    parser.add_argument(
        "--profile", metavar="NAME_OR_PATH", help="data centre (default: as the log describes it)"
    )
    parser.add_argument(
        "--seeds",
        type=whole_number,
        default=DEFAULT_SEEDS,
        metavar="N",
        help="simulations of each policy (default: %(default)s)",
    )
    parser.add_argument(
        "--last",
        type=whole_number,
        default=DEFAULT_LAST,
        metavar="N",
        help="simulate at most the N latest requests (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--nice",
        type=whole_number,
        metavar="N",
        help=f"give way to other programs; a controller in shadow mode takes {LOW_PRIORITY}",
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """The command.

    Raises:
        DaCircoError: bad input, or too little to go by.
    """
    options = make_parser().parse_args(arguments)
    if options.nice is not None:
        os.nice(min(options.nice, _MOST_NICE))
    history = read_history(options.log, profile=options.profile, preference=options.preference)
    against = options.against or history.policy
    if not against:
        raise EventLogError(f"{options.log} does not tell which policy decided: give --against")
    preference = history.preference
    for entry in history.entries:
        if entry.code is EventCode.PREFERENCE_CHANGED:
            preference = float(entry.keys["preference"])
    found = relative_cost(
        options.policy,
        against,
        history.requests()[-options.last :],
        history.world.profile,
        history.world.catalog,
        preference=preference,
        fallback=options.fallback or history.fallback or DEFAULT_FALLBACK,
        seeds=options.seeds,
    )
    data: dict[str, Any] = asdict(found)
    print(json.dumps(data) if options.json else found)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.ERROR)  # warnings are part of what is printed
    return run_command(COMMAND, lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
