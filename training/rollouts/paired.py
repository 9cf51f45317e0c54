"""Paired rollouts: from the same states each of several actions, then a policy to a horizon."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agents.compiled.rules import Form
from env import noise
from env.engine.engine import Engine
from env.engine.futures import Renewal, can_renew, stacked
from env.engine.layout import NOW, Floats, Ints
from env.engine.perceptron import Perceptron
from env.engine.rollout import Branches, roll_out
from env.observation import bounds
from training.rollouts.rules import roll_out_rule

BATCH: Final = 128
"""Copies that a network decides for at once: more do not fit the processor's cache."""


@dataclass(frozen=True, slots=True)
class Rollouts:
    """What came of the branches; not a number, or 0, where nothing was tried.

    Attributes:
        job_seconds: integral of the jobs in the system, shape (states, futures, actions).
        core_seconds: integral of the reserved equivalent cores, likewise.
        discounted: both again, discounted, shape (states, futures, actions, 2).
        elapsed_s: how long each was followed, seconds, shape (states, futures, actions).
        decisions: how many were taken, likewise.
        ended: whether the episode ended before the horizon, likewise.
        observations: at the end, shape (states, futures, actions, features).
        renewed: whether the futures but the first have arrivals of their own, shape (states,).
    """

    job_seconds: NDArray[np.float64]
    core_seconds: NDArray[np.float64]
    discounted: NDArray[np.float64]
    elapsed_s: NDArray[np.float64]
    decisions: NDArray[np.int64]
    ended: NDArray[np.bool_]
    observations: NDArray[np.float32]
    renewed: NDArray[np.bool_]


def roll_out_pairs(
    engine: Engine,
    states: NDArray[np.int64],
    tried: NDArray[np.bool_],
    policy: Perceptron | Form,
    *,
    length_s: float | NDArray[np.float64],
    futures: int = 1,
    renew: bool = True,
    discount_s: float = inf,
    threads: int = 1,
    batch: int = BATCH,
) -> Rollouts:
    """Take each of the given actions in copies of data centres, and follow a policy.

    All branches of a state and a future see the same arrivals, sizes and noise. The first future
    is the data centre's own. In the others the noise of what begins later (boots, stops, faults)
    is drawn anew, and where the episode is of an arrival family so are the later arrivals, given
    its hidden state, with their sizes. Those of a given scenario stay: `Rollouts.renewed` tells.

    Args:
        engine: its data centres are not changed.
        states: which of them, each at a decision; shape (states,).
        tried: which actions to try, all of them allowed; shape (states, actions).
        policy: what is followed: a network by its likeliest allowed action, or a rule
            (`agents.compiled.rules.form_of`).
        length_s: how long, seconds; one for all or shape (states,).
        futures: of each state.
        renew: whether arrivals are drawn anew where they can be; if not, only noise is.
        discount_s: time constant of the discount, seconds.
        threads: that share the work; the result does not depend on it.
        batch: copies that the network decides for at once, likewise.

    Raises:
        ValueError: the shapes do not fit together, or a number is out of range.
    """
    n, n_actions = tried.shape
    if states.shape != (n,):
        raise ValueError(f"states has the shape {states.shape}, tried {tried.shape}")
    if futures < 1 or threads < 1 or batch < 1:
        raise ValueError(
            f"futures {futures}, threads {threads} and batch {batch} must be at least 1"
        )
    lengths = np.broadcast_to(np.asarray(length_s, dtype=np.float64), (n,))
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("length_s must be finite and above 0")
    flavors = engine.episode(int(states[0])).profile.cluster.flavors if n else ()
    low, high = bounds([flavor.name for flavor in flavors])
    width = len(low)
    which, action = np.nonzero(tried)
    # The futures of a state one after the other: its record stays in the cache.
    which, action = np.repeat(which, futures), np.repeat(action, futures)
    future = np.tile(np.arange(futures), int(tried.sum()))
    keys = np.full((n, futures), -1)
    for i, row in enumerate(states.tolist()):
        own = engine.noise_key(row)
        keys[i, 1:] = [noise.other_key(own, number) for number in range(1, futures)]
    episode, renewed = np.full((n, futures), -1), np.zeros(n, dtype=np.bool_)
    others: list[tuple[Floats, Ints]] = []
    for i, row in enumerate(states.tolist() if renew and futures > 1 else ()):
        data, s = engine.episode(row), engine.centre(row)
        renewed[i] = can_renew(data)
        if renewed[i]:
            renewal = Renewal(data, s, float(s.f[NOW]) + float(lengths[i]))
            for number in range(1, futures):
                episode[i, number] = len(others)
                others.append(renewal.draw(int(keys[i, number])))
    ef, ei = stacked(others)
    if isinstance(policy, Form):
        engine.reserve(policy.floats, policy.ints)
    m = len(which)
    branches = Branches(
        source=states[which].astype(np.int64),
        action=action.astype(np.int64),
        key=keys[which, future],
        episode=episode[which, future],
        ef=ef,
        ei=ei,
        length_s=lengths[which],
        job_seconds=np.zeros(m),
        core_seconds=np.zeros(m),
        discounted=np.zeros((m, 2)),
        elapsed_s=np.zeros(m),
        decisions=np.zeros(m, dtype=np.int64),
        ended=np.zeros(m, dtype=np.bool_),
        observations=np.zeros((m, width), dtype=np.float32),
    )

    def part(rows: slice) -> None:
        some = Branches(
            source=branches.source[rows],
            action=branches.action[rows],
            key=branches.key[rows],
            episode=branches.episode[rows],
            ef=ef,
            ei=ei,
            length_s=branches.length_s[rows],
            job_seconds=branches.job_seconds[rows],
            core_seconds=branches.core_seconds[rows],
            discounted=branches.discounted[rows],
            elapsed_s=branches.elapsed_s[rows],
            decisions=branches.decisions[rows],
            ended=branches.ended[rows],
            observations=branches.observations[rows],
        )
        if isinstance(policy, Perceptron):
            roll_out(engine, some, policy, low=low, high=high, discount_s=discount_s, batch=batch)
        else:
            roll_out_rule(engine, some, policy, low=low, high=high, discount_s=discount_s)

    if m:
        edges = np.linspace(0, m, min(threads, m) + 1).astype(int).tolist()
        parts = [slice(a, b) for a, b in pairwise(edges)]
        if len(parts) == 1:
            part(parts[0])
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(part, parts))
    place = (which, future, action)
    shape = (n, futures, n_actions)
    result = Rollouts(
        job_seconds=np.full(shape, np.nan),
        core_seconds=np.full(shape, np.nan),
        discounted=np.full((*shape, 2), np.nan),
        elapsed_s=np.full(shape, np.nan),
        decisions=np.zeros(shape, dtype=np.int64),
        ended=np.zeros(shape, dtype=np.bool_),
        observations=np.zeros((*shape, width), dtype=np.float32),
        renewed=renewed,
    )
    for name in set(Rollouts.__slots__) - {"renewed"}:
        getattr(result, name)[place] = getattr(branches, name)
    return result
