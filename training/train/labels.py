"""What every action would really have cost: labels of states by paired rollouts.

At a state the data centre is copied once for each plausible action; each copy takes its action and
then follows the policy. All copies see the same arrivals, sizes and noise (common random numbers),
so the difference of their costs is the action's advantage with nearly all of the noise gone. This
is the "vine" of trust-region policy optimisation (Schulman et al. 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from env.engine import layout as at
from env.engine.engine import Engine
from env.engine.perceptron import Perceptron
from env.node import MILLI
from env.observation import COUNT_SCALE, SECONDS_SCALE, WAITING_SCALE, features
from training.rollouts.paired import roll_out_pairs

_CERTAIN: Final = 0.97
"""A policy that gives one action at least this share is taken to be certain of it."""
_CERTAIN_SHARE: Final = 0.15
"""Share of the states at which the policy is certain that are labelled at all: what it may learn
there, it mostly knows already."""
_CONTESTED: Final = 0.003
"""An action with at least this share is always tried."""
_LOTTERY: Final = 0.08
"""Chance of any other to be tried, so that no action is given up for good."""
_UNIT_S: Final = 100.0
"""Advantages are told in the reference cost of so many seconds."""
_USUAL_PACE: Final = 0.6
"""Decisions a second in a middling run."""
_GREATEST_PACE: Final = 8.0
_LEAST_DRAIN: Final = 0.2
"""A backlog is taken to drain at this share of the workers' speed at least."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Advantages of all plausible actions at a number of states.

    Attributes:
        observations: shape (n, features).
        masks: the actions that were tried, shape (n, actions).
        chosen: what the policy would have done, shape (n,).
        advantages: saving relative to `chosen` in hundreds of seconds of the episode's reference
            cost, times the pace of the decisions relative to a middling run's: a crowded cluster
            saves little at each of many decisions. 0 for what was not tried, shape (n, actions).
    """

    observations: NDArray[np.float32]
    masks: NDArray[np.bool_]
    chosen: NDArray[np.int64]
    advantages: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.chosen)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in Labels.__slots__}

    @staticmethod
    def join(parts: Sequence[Labels]) -> Labels:
        """All states of the parts."""
        return Labels(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in Labels.__slots__)
        )


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """How states are labelled.

    Attributes:
        length_s: how long each rollout is followed, seconds.
        discount_s: time constant of the discount, seconds.
        threads: that share the work; labels do not depend on it.
    """

    length_s: float
    discount_s: float
    threads: int


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


class TerminalCost:
    """A fluid estimate of what the jobs still in the system will cost until they are done.

    Without it a rollout that ends early hides the price of a backlog: fewer workers would look like
    a pure saving. The queue is taken to drain at the speed of the present workers (in workers of
    the smallest flavor), less what later arrivals take up beyond the room that is left for more
    workers: in a crowded cluster a backlog delays all who come after it.

    It is worked out from the observation at the rollout's end, which holds all that it needs but
    for the relative speed of the flavors: that is the one at the rollout's start.

    Args:
        flavors: names of the flavors of the observation.
    """

    def __init__(self, flavors: Sequence[str]) -> None:
        places = {feature.name: i for i, feature in enumerate(features(flavors))}
        self._live = [
            np.array([places[f"{state}[{flavor}]"] for flavor in flavors])
            for state in ("booting", "idle", "busy")
        ]
        self._places = places

    def __call__(
        self, engine: Engine, states: NDArray[np.int64], ends: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """The estimate, in job-seconds and equivalent core-seconds weighed by the preference.

        Args:
            engine: with the data centres that the rollouts began in.
            states: which of them each end comes from, shape (n,).
            ends: observations at the ends, shape (n, features).
        """
        flavors = len(self._live[0])
        seen = ends.astype(np.float64)

        def logarithm(name: str, scale: float) -> NDArray[np.float64]:
            return np.expm1(seen[:, self._places[name]] * scale)

        counts = [np.rint(np.expm1(seen[:, places] * COUNT_SCALE)) for places in self._live]
        means = engine.f[
            states[:, None], at.FLAVORS_F + at.FLAVOR_F * np.arange(flavors) + at.MEAN_SERVICE
        ]
        faster = np.where(means > 0.0, means[:, :1] / np.where(means > 0.0, means, 1.0), 1.0)
        workers = np.maximum(1.0, (sum(counts) * faster).sum(axis=1))
        episodes = engine.i[states, at.EPISODE]
        vcpus = engine.ei[episodes, at.FLAVORS_EI + at.MILLICORES] / MILLI
        free = 1.0 - seen[:, self._places["reserved_cpu"]]
        room = free * engine.ef[episodes, at.CAPACITY_VCPUS] / vcpus
        excess = np.maximum(0.0, logarithm("erlangs_medium", COUNT_SCALE) - room)
        running = counts[2].sum(axis=1) * logarithm("mean_remaining", SECONDS_SCALE)
        queued = logarithm("queued_work", SECONDS_SCALE)
        waiting = np.rint(logarithm("waiting", WAITING_SCALE))
        drain_s = queued / np.maximum(_LEAST_DRAIN * workers, workers - excess)
        delay = running + queued + waiting * drain_s / 2
        cores = (running + queued) * engine.ef[episodes, at.FLAVORS_EF + at.COST]
        w = engine.f[states, at.PREFERENCE]
        cost: NDArray[np.float64] = w * delay + (1.0 - w) * cores
        return cost


def label_states(
    engine: Engine,
    states: NDArray[np.int64],
    observations: NDArray[np.float32],
    tried: NDArray[np.bool_],
    chosen: NDArray[np.int64],
    network: Perceptron,
    reference_cost_rates: NDArray[np.float64],
    settings: RolloutSettings,
) -> Labels:
    """Try the actions at the states.

    Args:
        engine: its data centres are not changed.
        states: which of them, shape (n,).
        observations: what is seen there, shape (n, features).
        tried: the actions to try, `chosen` among them; shape (n, actions).
        chosen: what the policy does, shape (n,).
        network: the policy; in the rollouts its likeliest action is what it does.
        reference_cost_rates: of the episodes, shape (n,).
        settings: how.
    """
    found, decisions = rollout_costs(engine, states, tried, network, settings)
    costs = found[:, 0]
    own = np.arange(len(states)), chosen
    pace = decisions[own] / settings.length_s / _USUAL_PACE
    savings = (costs[own][:, None] - costs) / (_UNIT_S * reference_cost_rates)[:, None]
    weighed = savings * np.minimum(pace, _GREATEST_PACE)[:, None]
    advantages = np.where(tried, weighed, 0.0).astype(np.float32)
    return Labels(observations, tried, chosen, advantages)


def rollout_costs(
    engine: Engine,
    states: NDArray[np.int64],
    tried: NDArray[np.bool_],
    network: Perceptron,
    settings: RolloutSettings,
    futures: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Discounted cost of each tried action with the terminal cost-to-go, and decisions taken.

    Args:
        engine: its data centres are not changed.
        states: which of them, shape (n,).
        tried: the actions to try, shape (n, actions).
        network: the policy; its likeliest action is what it does.
        settings: how.
        futures: of each state: the first is the one that will come, the others are drawn anew.

    Returns:
        Costs, shape (n, futures, actions), not a number where nothing was tried; decisions in the
        first future, shape (n, actions).
    """
    found = roll_out_pairs(
        engine,
        states,
        tried,
        network,
        length_s=settings.length_s,
        futures=futures,
        discount_s=settings.discount_s,
        threads=settings.threads,
    )
    w = engine.f[states, at.PREFERENCE][:, None, None]
    costs = w * found.discounted[..., 0] + (1.0 - w) * found.discounted[..., 1]
    which, future, action = np.nonzero(np.repeat(tried[:, None], futures, axis=1))
    if len(which):
        names = [flavor.name for flavor in engine.episode(int(states[0])).profile.cluster.flavors]
        branch = which, future, action
        left = np.exp(-found.elapsed_s[branch] / settings.discount_s)
        ends = found.observations[branch]
        costs[branch] += left * TerminalCost(names)(engine, states[which], ends)
    return costs, found.decisions[:, 0]
