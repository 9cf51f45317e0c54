"""A policy that looks ahead: it tries its likely actions on several futures before it decides.

This is the rollout policy of Bertsekas (*Rollout, Policy Iteration, and Distributed Reinforcement
Learning*, 2020): one step of policy improvement at the moment of the decision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from env.engine.engine import Engine
from env.engine.perceptron import Perceptron
from training.train.labels import RolloutSettings, rollout_costs
from training.train.vine_ppo import probabilities


@dataclass(frozen=True, slots=True)
class Improved:
    """Decisions.

    Attributes:
        actions: shape (n,).
        searched: at how many of them futures were looked at.
        changed: at how many of these the network would have done something else.
    """

    actions: NDArray[np.int64]
    searched: int
    changed: int


@dataclass(frozen=True, slots=True)
class Search:
    """How far the policy looks.

    Attributes:
        futures: drawn anew at each decision, from the hidden state of the arrivals.
        clairvoyant: look at the one future that will come instead; `futures` does not count then.
        doubt: an action that the network gives at least this share is tried.
        least_sure: another action is taken only where its mean saving is so many standard errors
            above 0.
        rollouts: how the network is followed.
    """

    futures: int
    clairvoyant: bool
    doubt: float
    least_sure: float
    rollouts: RolloutSettings

    def improve(
        self,
        engine: Engine,
        rows: NDArray[np.int64],
        observations: NDArray[np.float32],
        masks: NDArray[np.bool_],
        network: Perceptron,
    ) -> Improved:
        """What to do.

        Args:
            engine: its data centres are not changed.
            rows: the data centres that decide, shape (n,).
            observations: what they see, shape (n, features).
            masks: what can be carried out, shape (n, actions).
            network: the policy.
        """
        shares = probabilities(network, observations, masks)
        own: NDArray[np.int64] = shares.argmax(axis=1).astype(np.int64)
        actions = own.copy()
        tried = masks & (shares >= self.doubt)
        tried[np.arange(len(rows)), own] = True
        asked = np.flatnonzero(tried.sum(axis=1) > 1)
        if not len(asked):
            return Improved(actions, 0, 0)
        costs, _ = rollout_costs(
            engine,
            rows[asked],
            tried[asked],
            network,
            self.rollouts,
            1 if self.clairvoyant else self.futures + 1,
        )
        seen = costs if self.clairvoyant else costs[:, 1:]
        followed = np.broadcast_to(own[asked][:, None, None], (*seen.shape[:2], 1))
        savings = np.take_along_axis(seen, followed, axis=2) - seen
        actions[asked] = choose(savings, own[asked], self.least_sure)
        return Improved(actions, len(asked), int((actions != own).sum()))


def choose(
    savings: NDArray[np.float64], own: NDArray[np.int64], least_sure: float
) -> NDArray[np.int64]:
    """The action that saves most among those whose saving is sure enough, else the own one.

    Args:
        savings: relative to the own action, shape (n, futures, actions); not a number where an
            action was not tried.
        own: the policy's actions, shape (n,).
        least_sure: standard errors of the mean that it must be above 0; one future has none.
    """
    n, futures, _ = savings.shape
    mean = savings.mean(axis=1)
    error = savings.std(axis=1, ddof=1) / futures**0.5 if futures > 1 else np.zeros_like(mean)
    sure = np.nan_to_num(np.where(mean > least_sure * error, mean, 0.0), nan=0.0)
    best = sure.argmax(axis=1)
    chosen: NDArray[np.int64] = np.where(sure[np.arange(n), best] > 0.0, best, own)
    return chosen
