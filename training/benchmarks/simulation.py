"""Time of simulations under a naive rule: a day, and an event in clusters of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any, Final

import numpy as np

from agents.policy import Policy
from agents.registry import make_policy
from env.actions import Action
from env.catalog import load_catalog
from env.cluster import Cluster
from env.config import Profile, load_profile
from env.families import Poisson, draw_requests
from env.jobs import Request
from env.load import mean_core_seconds, rate_for_load
from env.simulator import Simulator
from env.timing import TimingModel
from training.benchmarks.laps import Speed, measure

DAY_S: Final = 86_400.0
LOAD: Final = 0.5
RULE: Final = "minimize-workers"
NODES: Final = (3, 10, 30, 100, 300)


class EventCounter:
    """Asks a policy, and counts at how many events a decision was due."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.events = 0

    def reset(self, cluster: Cluster) -> None:
        """Begin to count."""
        self._policy.reset(cluster)
        self.events = 0

    def act(self, cluster: Cluster) -> Action:
        """What the policy orders."""
        return self._policy.act(cluster)

    def wake_at(self, cluster: Cluster) -> float | None:
        """Called once after each event."""
        self.events += 1
        return self._policy.wake_at(cluster)


def with_nodes(profile: Profile, n: int) -> Profile:
    """The profile with `n` nodes like its first."""
    model = profile.cluster.nodes[0]
    nodes = tuple(replace(model, name=f"node{i + 1}") for i in range(n))
    return replace(profile, cluster=replace(profile.cluster, nodes=nodes))


def arrival_rate(profile: Profile, load: float = LOAD) -> float:
    """Requests a second that offer the load to the profile's cores."""
    work = mean_core_seconds(TimingModel(profile), load_catalog())
    return rate_for_load(load, sum(node.cores for node in profile.cluster.nodes), work)


def poisson_requests(profile: Profile, horizon_s: float, seed: int) -> list[Request]:
    """Poisson arrivals at half the profile's capacity."""
    rng = np.random.default_rng(seed)
    return draw_requests(Poisson(arrival_rate(profile)), rng, load_catalog(), horizon_s)


def simulate(profile: Profile, requests: Sequence[Request], rule: str = RULE) -> EventCounter:
    """Run a rule to the end of the last job."""
    policy = make_policy(rule)
    simulator = Simulator(profile, requests, load_catalog(), discipline=policy.discipline)
    counter = EventCounter(policy)
    simulator.run(counter)
    return counter


def day_speed(repetitions: int, length_s: float = DAY_S, seed: int = 0) -> Speed:
    """A simulated day in the shipped data centre; a unit is a job."""
    profile = load_profile("openstack")
    requests = poisson_requests(profile, length_s, seed)

    def day() -> int:
        simulate(profile, requests)
        return len(requests)

    return measure(day, repetitions)


@dataclass(frozen=True, slots=True)
class SizeCost:
    """What an event costs in a cluster of so many nodes.

    Attributes:
        nodes: how many.
        speed: its unit is an event at which a decision is due.
        ratio: of the cost of an event to that in the smallest cluster.
        bound: what that ratio would be if the cost grew as the logarithm of the nodes.
    """

    nodes: int
    speed: Speed
    ratio: float
    bound: float

    @property
    def event_us(self) -> float:
        """Cost of an event, microseconds of a core."""
        return 1e6 / self.speed.per_second


@dataclass(frozen=True, slots=True)
class Scaling:
    """Cost of an event over the number of nodes, at equal load per node.

    Attributes:
        sizes: from small to large.
        base_us, slope_us: least-squares fit of the cost, ``base + slope * ln(nodes)``.
        exponent: slope of the logarithm of the cost over that of the nodes: 1 if the cost
            grew as the nodes do, 0 if not at all.
    """

    sizes: tuple[SizeCost, ...]
    base_us: float
    slope_us: float
    exponent: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "sizes": [
                {
                    "nodes": size.nodes,
                    "event_us": size.event_us,
                    "ratio": size.ratio,
                    "logarithmic_bound": size.bound,
                    **size.speed.to_dict(),
                }
                for size in self.sizes
            ],
            "fit_base_us": self.base_us,
            "fit_slope_us_per_ln_nodes": self.slope_us,
            "power_exponent": self.exponent,
        }


def scaling(jobs: int, repetitions: int, nodes: Sequence[int] = NODES, seed: int = 0) -> Scaling:
    """Simulate about so many jobs in clusters of each size.

    Args:
        jobs: the same for all sizes, so the larger clusters run for a shorter time.
        repetitions: how often.
        nodes: sizes, small to large, two or more, of two nodes or more each.
        seed: of the arrivals.
    """
    home = load_profile("openstack")
    speeds = []
    for n in nodes:
        profile = with_nodes(home, n)
        requests = poisson_requests(profile, jobs / arrival_rate(profile), seed)

        def run(profile: Profile = profile, requests: Sequence[Request] = requests) -> int:
            return simulate(profile, requests).events

        speeds.append(measure(run, repetitions))
    return describe(nodes, speeds)


def describe(nodes: Sequence[int], speeds: Sequence[Speed]) -> Scaling:
    """Ratios and fits from the speeds at each number of nodes."""
    costs = [1e6 / speed.per_second for speed in speeds]
    slope, base = np.polyfit(np.log(nodes), costs, 1).tolist()
    exponent = np.polyfit(np.log(nodes), np.log(costs), 1).tolist()[0]
    return Scaling(
        sizes=tuple(
            SizeCost(n, speed, cost / costs[0], log(n) / log(nodes[0]))
            for n, speed, cost in zip(nodes, speeds, costs, strict=True)
        ),
        base_us=base,
        slope_us=slope,
        exponent=exponent,
    )
