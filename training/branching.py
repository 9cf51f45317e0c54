"""What each action would really have cost: branches of the same future.

At a decision the simulation is copied once for each action that can be carried out; each
copy takes its action and then follows the policy. All copies see the same arrivals, sizes
and scatter (common random numbers), so the difference of their costs is the action's
advantage with nearly all of the noise gone: an ordinary rollout sees one action and all of
the noise. This is the "vine" of trust-region policy optimisation (Schulman et al. 2015),
with a simulator that can be copied.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from env.actions import ActionKind, action_from_index
from env.cluster import Cluster
from env.cost import cost_so_far
from env.gym_env import DaCircoEnv
from env.observation import Observer, action_mask
from env.simulator import Simulator
from training.lockstep import Decide

_QUIET_SHARE: Final = 0.1
"""Share of the states with no waiting job and no idle worker at which branches start: there
the only choice is to spawn ahead of need, which is nearly always wrong."""


@dataclass(frozen=True, slots=True)
class Branches:
    """Advantages of all actions at a number of states.

    Attributes:
        observations: shape (n, features).
        masks: shape (n, actions).
        chosen: what the policy would have done, shape (n,).
        advantages: saving relative to `chosen` in hundreds of seconds of the episode's
            reference cost; 0 where the mask forbids, shape (n, actions).
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


def copy_simulator(simulator: Simulator) -> Simulator:
    """An independent copy with the same future (what never changes is shared)."""
    memo = {id(thing): thing for thing in simulator.constants()}
    return copy.deepcopy(simulator, memo)


def residual_cost(cluster: Cluster) -> float:
    """A fluid estimate of what the jobs still in the system will cost until they are done.

    Without it a branch that ends early hides the price of a backlog: fewer workers would
    look like a pure saving. The queue is taken to drain at the present number of workers,
    all of them of the smallest flavor; later arrivals are left out.
    """
    running = cluster.n_busy * max(0.0, cluster.mean_remaining_s)
    queued = max(0.0, cluster.queued_service_s[0])
    drain_s = queued / max(1, cluster.n_workers - cluster.n_draining)
    delay = running + queued + cluster.waiting * drain_s / 2
    cores = (running + queued) * cluster.flavor_cost(0)
    return cluster.preference * delay + (1.0 - cluster.preference) * cores


class _Branch:
    """One copy on its way to its horizon, with its discounted cost so far."""

    __slots__ = ("_cost", "_discount_s", "_end", "_start", "observer", "simulator", "spent")

    def __init__(self, simulator: Simulator, discount_s: float, length_s: float) -> None:
        self.simulator = simulator
        self.observer = Observer(simulator.cluster)
        self._start = simulator.now
        self._end = simulator.now + length_s
        self._discount_s = discount_s
        self._cost = cost_so_far(simulator.cluster)
        self.spent = 0.0

    def take(self, action_index: int, n_flavors: int) -> bool:
        """Carry out an action; False when the branch has come to its end."""
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
    decide: Decide,
    *,
    discount_s: float,
    length_s: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Discounted cost of each action at each state, following the policy afterwards.

    The cost of a branch is that of its length and the residual cost at its end.

    Args:
        states: simulations at a decision; they are not changed.
        decide: the policy.
        discount_s: time constant of the discount, seconds.
        length_s: how long each branch is followed, seconds.

    Returns:
        Masks and costs, both of shape (states, actions); nan where the mask forbids.
    """
    n_flavors = states[0].cluster.n_flavors
    n_actions = 1 + 2 * n_flavors
    masks = np.zeros((len(states), n_actions), dtype=np.bool_)
    costs = np.full((len(states), n_actions), np.nan)
    branches: list[tuple[int, int, _Branch]] = []
    active: list[_Branch] = []
    for i, state in enumerate(states):
        action_mask(state.cluster, masks[i])
        for action in np.flatnonzero(masks[i]).tolist():
            branch = _Branch(copy_simulator(state), discount_s, length_s)
            branches.append((i, action, branch))
            if branch.take(action, n_flavors):
                active.append(branch)
    width = branches[0][2].observer.size
    rows = np.zeros((len(active), width), dtype=np.float32)
    allowed = np.zeros((len(active), n_actions), dtype=np.bool_)
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
    return masks, costs


def _is_worth_it(member: DaCircoEnv, rng: np.random.Generator) -> bool:
    """Whether to branch here: where jobs wait or workers idle, and now and then elsewhere."""
    cluster = member.simulator.cluster
    if cluster.waiting:
        return any(cluster.fits)
    return cluster.n_idle > 0 or rng.random() < _QUIET_SHARE


def sample_branches(
    members: Sequence[DaCircoEnv],
    decide: Decide,
    rng: np.random.Generator,
    *,
    stride: int,
    random_share: float,
    discount_s: float,
    length_s: float,
) -> Branches:
    """Let the members run for up to `stride` decisions each, and branch where they arrive.

    Args:
        members: environments that have begun an episode.
        decide: the policy, which both acts and is followed in the branches.
        rng: for the number of decisions and the random actions.
        stride: most decisions between two branchings of a member.
        random_share: share of the decisions on the way that are random.
        discount_s: time constant of the discount, seconds.
        length_s: how long each branch is followed, seconds.
    """
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
    choice = [i for i, member in enumerate(members) if _is_worth_it(member, rng)]
    if not choice:
        return Branches(
            rows[:0],
            masks[:0],
            np.zeros(0, dtype=np.int64),
            np.zeros((0, n_actions), dtype=np.float32),
        )
    chosen = decide(rows[choice], masks[choice])
    allowed, costs = explore(
        [members[i].simulator for i in choice], decide, discount_s=discount_s, length_s=length_s
    )
    unit = 100.0 * np.array([members[i].reference_cost_rate for i in choice])
    own = costs[np.arange(len(choice)), chosen]
    advantages = np.where(allowed, (own[:, None] - costs) / unit[:, None], 0.0)
    return Branches(
        rows[choice].copy(), allowed, chosen, np.nan_to_num(advantages).astype(np.float32)
    )
