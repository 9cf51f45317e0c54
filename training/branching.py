"""What each action would really have cost: branches of the same future.

At a decision the simulation is copied once for each action that can be carried out; each
copy takes its action and then follows the policy. All copies see the same arrivals, sizes
and scatter (common random numbers), so the difference of their costs is the action's
advantage with nearly all of the noise gone: an ordinary rollout sees one action and all of
the noise. This is the "vine" of trust-region policy optimisation (Schulman et al. 2015),
with a simulator that can be copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from env.actions import (
    KEEP_INDEX,
    SPAWN_INDEX,
    ActionKind,
    action_from_index,
    action_index,
    alike,
    kill,
)
from env.arrivals import MEDIUM
from env.cluster import Cluster
from env.cost import cost_so_far
from env.gym_env import DaCircoEnv
from env.observation import Observer, action_mask
from env.simulator import Simulator
from training.lockstep import Decide, Weigh
from training.snapshot import Snapshot

_CERTAIN: Final = 0.97
"""A policy that gives one action at least this share is taken to be certain of it."""
_CERTAIN_SHARE: Final = 0.15
"""Share of the states at which the policy is certain that are branched at all: what it may
learn there, it mostly knows already."""
_CONTESTED: Final = 0.003
"""An action with at least this share is always tried."""
_LOTTERY: Final = 0.08
"""Chance of any other to be tried, so that no action is given up for good."""
_USUAL_PACE: Final = 0.6
"""Decisions a second in a middling run."""
_GREATEST_PACE: Final = 8.0
_AT_STAKE: Final = 0.05
"""Flavors of which two have at least this share are what is to be chosen between."""
_ASKED_AT_ONCE: Final = 0.25
"""Share of the states at which an order that was not given may be given at the next decision."""
_SHORTEST_HOLD_S: Final = 3.0
_LEAST_DRAIN: Final = 0.2
"""A backlog is taken to drain at this share of the workers' speed at least."""


@dataclass(frozen=True, slots=True)
class Branches:
    """Advantages of all actions at a number of states.

    Attributes:
        observations: shape (n, features).
        masks: the actions that were tried, shape (n, actions).
        chosen: what the policy would have done, shape (n,).
        advantages: saving relative to `chosen` in hundreds of seconds of the episode's
            reference cost, times the pace of the decisions relative to a middling run's: a
            crowded cluster saves little at each of many decisions. 0 for what was not
            tried, shape (n, actions).
    """

    observations: NDArray[np.float32]
    masks: NDArray[np.bool_]
    chosen: NDArray[np.int64]
    advantages: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.chosen)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {
            "observations": self.observations,
            "masks": self.masks,
            "chosen": self.chosen,
            "advantages": self.advantages,
        }

    @staticmethod
    def join(parts: Sequence[Branches]) -> Branches:
        """All states of the parts."""
        return Branches(
            np.concatenate([part.observations for part in parts]),
            np.concatenate([part.masks for part in parts]),
            np.concatenate([part.chosen for part in parts]),
            np.concatenate([part.advantages for part in parts]),
        )


def residual_cost(cluster: Cluster) -> float:
    """A fluid estimate of what the jobs still in the system will cost until they are done.

    Without it a branch that ends early hides the price of a backlog: fewer workers would
    look like a pure saving. The queue is taken to drain at the speed of the present workers
    (in workers of the smallest flavor), less what later arrivals take up beyond the room that
    is left for more workers: in a crowded cluster a backlog delays all who come after it.
    """
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
    """One copy on its way to its horizon, with its discounted cost so far.

    Until `hold_s` seconds have passed, no order of the kind of the action `held` is given. If
    `stays_with` is a spawn, every later spawn is of that flavor as well, as long as one fits.
    """

    __slots__ = (
        *("_cost", "_discount_s", "_end", "_held", "_held_until", "_start", "_stays_with"),
        *("decisions", "observer", "simulator", "spent"),
    )

    def __init__(
        self,
        simulator: Simulator,
        discount_s: float,
        length_s: float,
        *,
        held: int,
        hold_s: float,
        stays_with: int,
    ) -> None:
        self.simulator = simulator
        self.observer = Observer(simulator.cluster)
        self._start = simulator.now
        self._end = simulator.now + length_s
        self._discount_s = discount_s
        self._cost = cost_so_far(simulator.cluster)
        self.spent = 0.0
        self.decisions = 0
        self._held = alike(held, simulator.cluster.n_flavors)
        # To keep is no order, and cannot be put off.
        self._held_until = simulator.now + (hold_s if held != KEEP_INDEX else 0.0)
        self._stays_with = stays_with

    def mask(self, row: NDArray[np.bool_]) -> None:
        """Fill the row: what may be ordered now."""
        action_mask(self.simulator.cluster, row)
        if self.simulator.now < self._held_until and row[KEEP_INDEX]:
            row[self._held] = False

    def steer(self, action_index: int, n_flavors: int) -> int:
        """What becomes of the policy's action: a spawn is of the flavor to stay with."""
        kept = self._stays_with
        kind = action_from_index(action_index, n_flavors).kind
        if kept == KEEP_INDEX or kind is not ActionKind.SPAWN:
            return action_index
        fits = self.simulator.cluster.can(action_from_index(kept, n_flavors))
        return kept if fits else action_index

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
        middle = (before + simulator.now) / 2 - self._start
        self.spent += spent * exp(-middle / self._discount_s)
        if alive and simulator.now < self._end:
            return True
        left = exp(-(simulator.now - self._start) / self._discount_s)
        self.spent += left * residual_cost(simulator.cluster)
        return False


def explore(
    states: Sequence[Simulator],
    tried: NDArray[np.bool_],
    decide: Decide,
    *,
    discount_s: float,
    length_s: NDArray[np.float64],
    held: NDArray[np.int64],
    hold_s: NDArray[np.float64],
    stay: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Discounted cost of each tried action at each state, following the policy afterwards.

    The cost of a branch is that of its length and the residual cost at its end.

    Args:
        states: simulations at a decision; they are not changed.
        tried: which actions to try, all of them possible; shape (states, actions).
        decide: the policy.
        discount_s: time constant of the discount, seconds.
        length_s: how long the branches of each state are followed, seconds, shape (states,).
        held: index of the action that the policy would take, shape (states,): where keep is
            tried instead, it is put off ...
        hold_s: ... for so long, seconds, shape (states,).
        stay: where another flavor than the policy's is tried, whether the branch stays with it,
            shape (states,).

    Returns:
        Costs, and decisions taken on the way, both of shape (states, actions); nan where
        not tried.
    """
    n_flavors = states[0].cluster.n_flavors
    costs = np.full(tried.shape, np.nan)
    decisions = np.full(tried.shape, np.nan)
    branches: list[tuple[int, int, _Branch]] = []
    active: list[_Branch] = []
    for i, state in enumerate(states):
        snapshot = Snapshot(state)
        for action in np.flatnonzero(tried[i]).tolist():
            put_off = int(held[i]) if action == KEEP_INDEX else KEEP_INDEX
            other = action != held[i]
            spawns = action_from_index(action, n_flavors).kind is ActionKind.SPAWN
            branch = _Branch(
                snapshot.copy(),
                discount_s,
                float(length_s[i]),
                held=put_off,
                hold_s=float(hold_s[i]),
                stays_with=action if stay[i] and other and spawns else KEEP_INDEX,
            )
            branches.append((i, action, branch))
            if branch.take(action, n_flavors):
                active.append(branch)
    width = branches[0][2].observer.size
    rows = np.zeros((len(active), width), dtype=np.float32)
    allowed = np.zeros((len(active), tried.shape[1]), dtype=np.bool_)
    while active:
        for row, branch in enumerate(active):
            branch.observer.write(rows[row])
            branch.mask(allowed[row])
        actions = decide(rows[: len(active)], allowed[: len(active)]).tolist()
        active = [
            branch
            for branch, action in zip(active, actions, strict=True)
            if branch.take(branch.steer(action, n_flavors), n_flavors)
        ]
    for i, action, branch in branches:
        costs[i, action] = branch.spent
        decisions[i, action] = branch.decisions
    return costs, decisions


def choose_trials(
    shares: NDArray[np.float32], masks: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which actions to try: none where that would teach nothing.

    Args:
        shares: what the policy gives to each action, shape (states, actions).
        masks: what can be carried out, shape (states, actions).
        rng: for the lotteries.

    Returns:
        Shape (states, actions); a row has none or at least two, the likeliest among them.
    """
    lots = rng.random(shares.shape)
    tried = masks & ((shares >= _CONTESTED) | (lots < _LOTTERY))
    best = shares.argmax(axis=1)
    tried[np.arange(len(shares)), best] = True
    worth_it = (shares.max(axis=1) < _CERTAIN) | (rng.random(len(shares)) < _CERTAIN_SHARE)
    chosen: NDArray[np.bool_] = tried & (worth_it & (tried.sum(axis=1) > 1))[:, None]
    return chosen


def draw_holds(n: int, longest_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """How long an order that is not given is put off, seconds, for n states.

    To keep now and order at the next decision, seconds later, costs or saves next to nothing:
    the noise of a branch hides it. To put the order off for longer shows whether it is needed.
    In a part of the states it may be given at the next decision, as the policy would do; in the
    others the time is log-uniform, so that short ones, which change least, are common.
    """
    shortest = min(_SHORTEST_HOLD_S, longest_s)
    holds = shortest * (longest_s / shortest) ** rng.random(n)
    return np.where(rng.random(n) < _ASKED_AT_ONCE, 0.0, holds)


def _retires(cluster: Cluster, tried: NDArray[np.bool_]) -> bool:
    """Whether a busy worker is retired by one of the actions that are tried."""
    kills = tried[alike(action_index(kill(0), cluster.n_flavors), cluster.n_flavors)]
    return any(ends and not idle for ends, idle in zip(kills, cluster.idle, strict=True))


def sample_branches(
    members: Sequence[DaCircoEnv],
    weigh: Weigh,
    rng: np.random.Generator,
    *,
    stride: int,
    random_share: float,
    discount_s: float,
    length_s: float,
    flavor_length_s: float,
    longest_hold_s: float,
) -> Branches:
    """Let the members run for up to `stride` decisions each, and branch where they arrive.

    Args:
        members: environments that have begun an episode.
        weigh: the policy; its likeliest action is what it does, here and in the branches.
        rng: for the number of decisions, the random actions, and what is tried.
        stride: most decisions between two branchings of a member.
        random_share: share of the decisions on the way that are random.
        discount_s: time constant of the discount, seconds.
        length_s: how long each branch is followed, seconds.
        flavor_length_s: the same where the choice is between flavors, or to retire a worker,
            seconds: a large worker that is always busy keeps its cores for as long as the rush.
        longest_hold_s: longest time for which an order that is not given is put off, seconds.
    """

    def decide(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        likeliest: NDArray[np.int64] = weigh(observations, masks).argmax(axis=1)
        return likeliest

    width = members[0].observation_space.shape
    assert width is not None
    n_actions = int(members[0].action_space.n)
    rows = np.zeros((len(members), *width), dtype=np.float32)
    masks = np.zeros((len(members), n_actions), dtype=np.bool_)

    def look() -> None:
        for i, member in enumerate(members):
            member.observe_into(rows[i])
            member.mask_into(masks[i])

    for _ in range(int(rng.integers(1, stride + 1))):
        look()
        actions = decide(rows, masks)
        for i, member in enumerate(members):
            action = int(actions[i])
            if rng.random() < random_share:
                action = int(rng.choice(np.flatnonzero(masks[i])))
            _, terminated, truncated = member.decide(action)
            if terminated or truncated:
                member.begin()
    look()
    shares = weigh(rows, masks)
    tried = choose_trials(shares, masks, rng)
    choice = np.flatnonzero(tried.any(axis=1))
    tried, chosen = tried[choice], shares[choice].argmax(axis=1)
    if not len(choice):
        return Branches(rows[:0], tried, chosen, np.zeros(tried.shape, dtype=np.float32))
    here = [members[i] for i in choice.tolist()]
    likely = shares[choice][:, alike(SPAWN_INDEX, here[0].simulator.cluster.n_flavors)] >= _AT_STAKE
    # One worker of another flavor says little of a fleet of it: where flavors compete, a branch
    # goes on with the one that it tries.
    competing = likely.sum(axis=1) > 1
    retires = np.array(
        [_retires(member.simulator.cluster, row) for member, row in zip(here, tried, strict=True)]
    )
    lengths = np.where(competing | retires, flavor_length_s, length_s)
    costs, decisions = explore(
        [member.simulator for member in here],
        tried,
        decide,
        discount_s=discount_s,
        length_s=lengths,
        held=chosen,
        hold_s=draw_holds(len(choice), longest_hold_s, rng),
        stay=competing,
    )
    unit = 100.0 * np.array([member.reference_cost_rate for member in here])
    own = np.arange(len(choice)), chosen
    pace = np.minimum(decisions[own] / lengths / _USUAL_PACE, _GREATEST_PACE)
    savings = (costs[own][:, None] - costs) / unit[:, None]
    advantages = np.where(tried, savings * pace[:, None], 0.0)
    return Branches(rows[choice], tried, chosen, advantages.astype(np.float32))
