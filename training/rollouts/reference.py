"""Paired rollouts on the reference simulator: slow, to check and to measure the engine's.

What `training.rollouts.paired` and `training.train.labels` do in compiled code is written here once
more in plain words, on copies of a SimPy simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import expm1
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.actions import ActionKind, action_from_index
from env.arrivals import MEDIUM
from env.cluster import Cluster
from env.cost import cost_so_far
from env.observation import Observer, action_mask
from env.simulator import Simulator
from training.lockstep import Decide
from training.snapshot import Snapshot

_LEAST_DRAIN: Final = 0.2
_ROUNDING_S: Final = 1e-6


def terminal_cost(cluster: Cluster) -> float:
    """What `training.train.labels.TerminalCost` estimates, from the cluster itself."""
    running = cluster.n_busy * max(0.0, cluster.mean_remaining_s)
    queued = max(0.0, cluster.queued_service_s[0])
    workers = max(1.0, cluster.speed)
    room = (cluster.capacity_vcpus - cluster.reserved_vcpus) / cluster.vcpus[0]
    excess = max(0.0, cluster.arrivals.offered_load(cluster.now, MEDIUM) - room)
    drain_s = queued / max(_LEAST_DRAIN * workers, workers - excess)
    delay = running + queued + cluster.waiting * drain_s / 2
    cores = (running + queued) * cluster.flavor_cost(0)
    return cluster.preference * delay + (1.0 - cluster.preference) * cores


class _Branch:
    """One copy on its way to its horizon, with its discounted cost so far."""

    def __init__(self, simulator: Simulator, discount_s: float, length_s: float) -> None:
        self.simulator = simulator
        self.observer = Observer(simulator.cluster)
        self._start = simulator.now
        self._end = simulator.now + length_s
        self._discount_s = discount_s
        self._cost = cost_so_far(simulator.cluster)
        self.spent = 0.0
        self.decisions = 0
        simulator.wake_at(self._end)

    def take(self, action_index: int, n_flavors: int) -> bool:
        """Carry out an action; False when the branch has come to its end."""
        self.decisions += 1
        simulator = self.simulator
        action = action_from_index(action_index, n_flavors)
        if action.kind is not ActionKind.KEEP and simulator.apply(action):
            return True
        before = simulator.now
        alive = simulator.advance()
        cost = cost_so_far(simulator.cluster)
        spent = cost.since(self._cost).weighed(simulator.cluster.preference)
        self._cost = cost
        share = (simulator.now - before) / self._discount_s
        within = -expm1(-share) / share if share > 0.0 else 1.0
        self.spent += spent * self._faded(before) * within
        if alive and simulator.now < self._end - _ROUNDING_S:
            return True
        self.spent += self._faded(simulator.now) * terminal_cost(simulator.cluster)
        return False

    def _faded(self, now: float) -> float:
        return float(np.exp(-(now - self._start) / self._discount_s))


def explore(
    states: Sequence[Simulator],
    tried: NDArray[np.bool_],
    decide: Decide,
    *,
    discount_s: float,
    length_s: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Discounted cost of each tried action at each state, following the policy afterwards.

    The cost is that of the rollout's length and the terminal cost-to-go at its end.

    Args:
        states: simulations at a decision; they are not changed.
        tried: which actions to try, all of them possible; shape (states, actions).
        decide: the policy.
        discount_s: time constant of the discount, seconds.
        length_s: how long the rollouts are followed, seconds.

    Returns:
        Costs, and decisions taken on the way, both of shape (states, actions); not a number where
        nothing was tried.
    """
    n_flavors = states[0].cluster.n_flavors
    costs = np.full(tried.shape, np.nan)
    decisions = np.full(tried.shape, np.nan)
    branches: list[tuple[int, int, _Branch]] = []
    active: list[_Branch] = []
    for i, state in enumerate(states):
        snapshot = Snapshot(state)
        for action in np.flatnonzero(tried[i]).tolist():
            branch = _Branch(snapshot.copy(), discount_s, length_s)
            branches.append((i, action, branch))
            if branch.take(action, n_flavors):
                active.append(branch)
    width = branches[0][2].observer.size
    rows = np.zeros((len(active), width), dtype=np.float32)
    allowed = np.zeros((len(active), tried.shape[1]), dtype=np.bool_)
    while active:
        for row, branch in enumerate(active):
            branch.observer.write(rows[row])
            action_mask(branch.simulator.cluster, allowed[row])
        actions = decide(rows[: len(active)], allowed[: len(active)]).tolist()
        active = [
            branch
            for branch, action in zip(active, actions, strict=True)
            if branch.take(action, n_flavors)
        ]
    for i, action, branch in branches:
        costs[i, action] = branch.spent
        decisions[i, action] = branch.decisions
    return costs, decisions
