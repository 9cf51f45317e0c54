"""How long a live decision takes, and which part of it: ``python -m deploy.bench_decision``.

The states are those of simulated runs under the policy itself: bursts, queues and quiet hours on
the profile's nodes. Whole decisions are timed as the controller makes them; the parts are timed one
by one on the same states, by a second copy, in turn before and after, so that neither finds the
memory warmer than the other.

All times are the processor's time that the decision takes (`time.thread_time`), which other
programs change little; one row tells the wall's time too, which on a busy machine is mostly that
of the others.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from agents.guard import fingerprint
from agents.loading import LivePolicy, live_policy
from agents.network_policy import NetworkPolicy
from env.actions import ActionKind
from env.catalog import load_catalog
from env.command import CommandParser, run_command, whole_number
from env.config import load_profile
from env.errors import PolicyError
from env.scenario import load_split
from env.simulator import Simulator

COMMAND: Final = "python -m deploy.bench_decision"
TARGET_S: Final = 1e-3
"""The 99th percentile must stay below this on three nodes."""

PARTS: Final = ("observe", "hash", "envelope", "infer", "mask", "choose")
REST: Final = "guard and shield"
_PREFERENCES: Final = (0.1, 0.5, 0.9)
_MICRO: Final = 1e6
_WARM_UP: Final = 200


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one part over all states, seconds."""

    part: str
    mean_s: float
    p50_s: float
    p99_s: float
    max_s: float

    @classmethod
    def of(cls, part: str, seconds: Sequence[float]) -> Timing:
        """From the time of each state."""
        p50, p99 = np.percentile(seconds, (50, 99))
        return cls(part, float(np.mean(seconds)), float(p50), float(p99), float(max(seconds)))


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured.

    Attributes:
        policy: text of the policy.
        profile: name of the profile.
        nodes: its nodes.
        states: how many decisions were timed.
        whole: of whole decisions.
        wall: of the same by the wall's time.
        parts: of each part; the last is what is left of the whole.
        machine: where.
    """

    policy: str
    profile: str
    nodes: int
    states: int
    whole: Timing
    wall: Timing
    parts: tuple[Timing, ...]
    machine: str

    @property
    def met(self) -> bool:
        """Whether the 99th percentile is below the target."""
        return self.whole.p99_s < TARGET_S


class _Parts:
    """Times the steps of a network's decision one by one."""

    def __init__(self, network: NetworkPolicy) -> None:
        self._network = network
        self.seconds: dict[str, list[float]] = {part: [] for part in PARTS}

    def measure(self, simulator: Simulator) -> None:
        """Take all steps on the state as it is."""
        network, cluster, clock = self._network, simulator.cluster, time.thread_time
        times = [clock()]
        observation = network.observe(cluster)
        times.append(clock())
        fingerprint(observation[0])
        times.append(clock())
        if network.envelope is not None:
            network.envelope.outside(observation[0])
        times.append(clock())
        logits = network.logits(observation)[0]
        times.append(clock())
        mask = network.mask(cluster)
        times.append(clock())
        network.choose(logits, mask)
        times.append(clock())
        for part, begin, end in zip(PARTS, times, times[1:], strict=False):
            self.seconds[part].append(end - begin)


def _network_of(policy: LivePolicy) -> NetworkPolicy:
    network = policy.guard.policy
    if not isinstance(network, NetworkPolicy):
        raise PolicyError(f"{policy.name} is not a usable frozen policy: give --policy models/NAME")
    return network


def measure(policy_spec: str, profile_name: str, states: int) -> Figures:
    """Time decisions.

    Raises:
        DaCircoError: the policy is not a frozen one that can be loaded, or the profile is none.
    """
    profile, catalog = load_profile(profile_name), load_catalog()
    # A second of patience: the guard must not fall back for what is to be measured.
    policy, _ = live_policy(policy_spec, clock=lambda: 0.0)
    copy, _ = live_policy(policy_spec)
    network = _network_of(copy)
    _network_of(policy)
    parts, whole, wall = _Parts(network), list[float](), list[float]()
    scenarios, clock, wall_clock = load_split("test"), time.thread_time, time.perf_counter
    for i in range(len(scenarios) * len(_PREFERENCES)):
        scenario = scenarios[i % len(scenarios)]
        simulator = Simulator(
            profile,
            scenario.requests,
            catalog,
            preference=_PREFERENCES[i // len(scenarios)],
            discipline=policy.discipline,
        )
        cluster = simulator.cluster
        policy.reset(cluster)
        if policy.guard.unusable:
            raise PolicyError(policy.guard.unusable)
        network.reset(cluster)
        share = -(-(states + _WARM_UP) // (len(scenarios) * len(_PREFERENCES)))
        done = 0
        while done < share and simulator.advance():
            while True:
                first = len(whole) % 2
                if first:
                    parts.measure(simulator)
                wall_begin, begin = wall_clock(), clock()
                decision = policy.decide(cluster)
                end, wall_end = clock(), wall_clock()
                whole.append(end - begin)
                wall.append(wall_end - wall_begin)
                if not first:
                    parts.measure(simulator)
                done += 1
                if decision.action.kind is ActionKind.KEEP or not simulator.apply(decision.action):
                    break
    timed = {part: seconds[_WARM_UP:] for part, seconds in parts.seconds.items()}
    whole, wall = whole[_WARM_UP:], wall[_WARM_UP:]
    rest = np.maximum(np.array(whole) - np.sum(list(timed.values()), axis=0), 0.0).tolist()
    return Figures(
        policy_spec,
        profile.name,
        len(profile.cluster.nodes),
        len(whole),
        Timing.of("whole decision", whole),
        Timing.of("by the wall's time", wall),
        (*(Timing.of(part, timed[part]) for part in PARTS), Timing.of(REST, rest)),
        describe_machine(),
    )


def describe_machine() -> str:
    """Processor, cores and Python, one line."""
    import onnxruntime

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0].partition(":")[2].strip() if models else name
    return (
        f"{name}, {os.cpu_count()} cores, {platform.system()}, Python "
        f"{platform.python_version()}, onnxruntime {onnxruntime.__version__}"
    )


def table(figures: Figures) -> Table:
    """The figures for a terminal."""
    drawn = Table("part", title=f"{figures.states:,} decisions, {figures.nodes} nodes")
    for column in ("p50 µs", "p99 µs", "max µs", "mean µs", "share"):
        drawn.add_column(column, justify="right")
    for timing in (*figures.parts, figures.whole, figures.wall):
        drawn.add_row(
            timing.part,
            *(
                f"{seconds * _MICRO:,.1f}"
                for seconds in (timing.p50_s, timing.p99_s, timing.max_s, timing.mean_s)
            ),
            f"{timing.mean_s / figures.whole.mean_s:.0%}",
        )
    return drawn


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=COMMAND,
        description="Time the decisions of a frozen policy as the controller makes them, and "
        "each part of them, in the states of simulated runs.",
    )
    parser.add_argument(
        "--policy",
        default="models/dacirco",
        metavar="SPEC",
        help="frozen policy (default: %(default)s)",
    )
    parser.add_argument(
        "--profile",
        default="openstack",
        metavar="NAME_OR_PATH",
        help="data centre (default: %(default)s)",
    )
    parser.add_argument(
        "--states",
        type=whole_number,
        default=20_000,
        metavar="N",
        help="how many decisions, at least (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, times in seconds")
    return parser


def run(arguments: Sequence[str], console: Console) -> None:
    """The command.

    Raises:
        DaCircoError: bad input.
    """
    options = make_parser().parse_args(arguments)
    figures = measure(options.policy, options.profile, options.states)
    if options.json:
        data: dict[str, Any] = {**asdict(figures), "target_s": TARGET_S, "met": figures.met}
        print(json.dumps(data, indent=1))
        return
    console.print(table(figures))
    console.print(figures.machine, markup=False)
    verdict = "met" if figures.met else "missed"
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    console.print(f"load of the machine: {load:.1f} for each core")
    console.print(f"target: p99 below {TARGET_S * 1e3:g} ms for 3 nodes: {verdict}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(COMMAND, lambda: run(given, Console(highlight=False)))


if __name__ == "__main__":
    sys.exit(main())
