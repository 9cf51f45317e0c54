"""What if every worker were of one flavor: the policy's own choice set against each fleet.

The policy decides when to start a worker and when to end an idle one; only the flavor is
exchanged. A worker that is always busy can be retired only when a rush has filled the cluster: the
right fleet depends on what comes, which the policy cannot know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy
from env.actions import KEEP, Action, ActionKind, spawn
from env.cluster import Cluster
from env.cost import cost_so_far
from training.findings.world import BURSTINESS, POISSON, Burstiness, Track, World

PREFERENCE: Final = 0.9
"""Where on the dial larger workers pay: at low w the smallest is always the cheapest."""

ARRIVALS: Final = tuple(row for row in BURSTINESS if row.name == POISSON or row.gap_cv > 1)


class OneFleet(Policy):
    """Orders what another policy orders, but starts workers of one flavor as long as they fit.

    Busy workers are not retired: that would make room for another flavor, which never comes.

    Args:
        inner: decides when.
        flavor: index of the flavor.
    """

    def __init__(self, inner: Policy, flavor: int) -> None:
        self.inner, self.flavor = inner, flavor
        self.name, self.discipline = f"{inner.name} in one flavor", inner.discipline

    def reset(self, cluster: Cluster) -> None:
        """As the inner policy."""
        self.inner.reset(cluster)

    def act(self, cluster: Cluster) -> Action:
        """The inner policy's order; the flavor of a spawn is exchanged."""
        action = self.inner.act(cluster)
        if action.kind is ActionKind.SPAWN and cluster.can_spawn(self.flavor):
            return spawn(self.flavor)
        return KEEP if _retires(action, cluster) else action

    def wake_at(self, cluster: Cluster) -> float | None:
        """As the inner policy."""
        return self.inner.wake_at(cluster)


class CountedRetirements(Policy):
    """Orders what another policy orders, and counts the busy workers that it retires."""

    def __init__(self, inner: Policy) -> None:
        self.inner, self.retired = inner, 0
        self.name, self.discipline = inner.name, inner.discipline

    def reset(self, cluster: Cluster) -> None:
        """As the inner policy."""
        self.inner.reset(cluster)

    def act(self, cluster: Cluster) -> Action:
        """The inner policy's order."""
        action = self.inner.act(cluster)
        if _retires(action, cluster):
            self.retired += 1
        return action

    def wake_at(self, cluster: Cluster) -> float | None:
        """As the inner policy."""
        return self.inner.wake_at(cluster)


def _retires(action: Action, cluster: Cluster) -> bool:
    return action.kind is ActionKind.KILL and not cluster.idle[action.flavor]


@dataclass(frozen=True)
class Fleets:
    """Cost of each fleet relative to the policy's own choice of flavors.

    Attributes:
        loads: offered loads.
        arrivals: how uneven the arrivals are.
        ratios: geometric means over the seeds, shape (arrivals, loads, flavors).
        retired: busy workers that the policy retired for 100 jobs, shape (arrivals, loads).
    """

    loads: tuple[float, ...]
    arrivals: tuple[Burstiness, ...]
    ratios: NDArray[np.float64]
    retired: NDArray[np.float64]


def fleets(world: World, track: Track) -> Fleets:
    """The frozen policy and every fleet on the same requests."""
    effort = world.effort
    own = world.policy(world.frozen)
    logs = np.zeros((len(ARRIVALS), len(effort.fleet_loads), len(world.flavors)))
    retired = np.zeros(logs.shape[:2])
    cases = [(row, column) for row in range(len(ARRIVALS)) for column in range(logs.shape[1])]
    for row, column in track(cases, "fleets of one flavor"):
        family = ARRIVALS[row].family(world.rate(effort.fleet_loads[column]))
        counted, jobs = CountedRetirements(own), 0
        deciders = [counted, *(OneFleet(own, flavor) for flavor in range(len(world.flavors)))]
        for seed in range(effort.seeds):
            requests = world.requests(family, seed, effort.fleet_hours)
            if not requests:
                continue
            jobs += len(requests)
            costs = [
                cost_so_far(
                    world.simulate(requests, decider, seed=seed, preference=PREFERENCE).cluster
                ).weighed(PREFERENCE)
                for decider in deciders
            ]
            logs[row, column] += np.log(np.array(costs[1:]) / costs[0]) / effort.seeds
        retired[row, column] = 100 * counted.retired / max(1, jobs)
    return Fleets(effort.fleet_loads, ARRIVALS, np.exp(logs), retired)
