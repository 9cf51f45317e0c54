"""Paired rollouts in compiled code: copies of data centres that take an action each, then follow.

All copies of a state see the same arrivals, sizes and noise unless they are given another key, so
the difference of what they cost is what their first actions bring (common random numbers). The
policy decides for many copies at once; as soon as a copy is at its horizon the next takes its
place, so that the batch stays full.
"""

from __future__ import annotations

from math import exp
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from env.engine.compiling import compiled, entry
from env.engine.kernel import GOES_ON, centre, decide, wake_at
from env.engine.layout import KEY_HIGH, KEY_LOW, NOW, Centre, Floats, Ints
from env.engine.mask import write_mask
from env.engine.observe import observe
from env.engine.perceptron import (
    Perceptron,
    fill_inputs,
    fill_logits,
    likeliest,
    n_inputs,
    widest,
)

_ROUNDING_S: Final = 1e-6
"""A time that falls short of the horizon by so little has reached it."""


class Branches(NamedTuple):
    """What to try, and room for what comes of it; one entry for each branch.

    Attributes:
        source: row of the data centre that is copied.
        action: what the copy does first.
        key: of its noise from then on, -1 for the data centre's own.
        length_s: how long it is followed, seconds.
        job_seconds: is filled: integral of the jobs in the system until then.
        core_seconds: is filled: of the reserved equivalent cores.
        discounted: is filled: both again, but what comes after t seconds counts exp(-t /
            `discount_s`) times; shape (branches, 2).
        elapsed_s: is filled: shorter than asked where the episode ends before.
        decisions: is filled: how many were taken, the first included.
        ended: is filled: whether the episode ended before.
        observations: is filled: what is seen at the end, shape (branches, features).
    """

    source: NDArray[np.int64]
    action: NDArray[np.int64]
    key: NDArray[np.int64]
    length_s: Floats
    job_seconds: Floats
    core_seconds: Floats
    discounted: Floats
    elapsed_s: Floats
    decisions: NDArray[np.int64]
    ended: NDArray[np.bool_]
    observations: NDArray[np.float32]


@compiled
def _take(
    s: Centre, action: int, branch: int, branches: Branches, start_s: float, discount_s: float
) -> bool:
    """Carry out a decision and book what it costs; false at the end of the branch."""
    before = s.f[NOW]
    jobs, cores, end = decide(s, action)
    branches.decisions[branch] += 1
    passed = s.f[NOW] - before
    if passed > 0.0:
        branches.job_seconds[branch] += jobs
        branches.core_seconds[branch] += cores
        # Both rates are constant in between: the mean of the discount is exact.
        at = (before - start_s) / discount_s
        share = passed / discount_s
        weight = exp(-at) * ((1.0 - exp(-share)) / share if share > 1e-9 else 1.0)
        branches.discounted[branch, 0] += weight * jobs
        branches.discounted[branch, 1] += weight * cores
    end_s = start_s + branches.length_s[branch] - _ROUNDING_S
    over = end != GOES_ON or s.f[NOW] >= end_s
    if over:
        branches.elapsed_s[branch] = s.f[NOW] - start_s
        branches.ended[branch] = s.f[NOW] < end_s
    return not over


@entry
def roll_out(
    f: Floats,
    i: Ints,
    ef: Floats,
    ei: Ints,
    branches: Branches,
    network: Perceptron,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    discount_s: float,
    batch: int,
) -> None:
    """Follow the network's likeliest actions from each branch's first one to its horizon.

    Args:
        f: states of data centres, floats, shape (data centres, ...); they are not changed.
        i: the same, whole numbers.
        ef: their episodes, floats.
        ei: the same, whole numbers.
        branches: what to try; the outcomes are filled in.
        network: the policy.
        low: bounds of the features (`env.observation.bounds`).
        high: likewise.
        discount_s: time constant of the discount, seconds; infinite for none.
        batch: copies that are decided for at once.
    """
    n = len(branches.source)
    batch = min(batch, n)
    copies_f = np.empty((batch, f.shape[1]))
    copies_i = np.empty((batch, i.shape[1]), dtype=np.int32)
    actions = len(network.biases[len(network.biases) - 1])
    observations = np.zeros((batch, len(low)), dtype=np.float32)
    masks = np.zeros((batch, actions), dtype=np.bool_)
    inputs = np.zeros((batch, n_inputs(network)), dtype=np.float32)
    one = np.empty(batch * widest(network), dtype=np.float32)
    other = np.empty(batch * widest(network), dtype=np.float32)
    logits = np.zeros((batch, actions), dtype=np.float32)
    branch_of = np.full(batch, -1)
    start_s = np.zeros(batch)
    chosen = np.zeros(batch, dtype=np.int64)
    following = 0
    active = 0
    while True:
        active = 0
        for slot in range(batch):
            branch = branch_of[slot]
            alive = False
            if branch >= 0:
                s = centre(copies_f, copies_i, ef, ei, slot)
                alive = _take(s, chosen[slot], branch, branches, start_s[slot], discount_s)
                if not alive:
                    observe(s, branches.observations[branch], low, high)
            while not alive and following < n:
                branch = following
                following += 1
                source = branches.source[branch]
                copies_f[slot] = f[source]
                copies_i[slot] = i[source]
                s = centre(copies_f, copies_i, ef, ei, slot)
                key = branches.key[branch]
                if key >= 0:
                    s.i[KEY_LOW] = np.int32(key & 0xFFFFFFFF)
                    s.i[KEY_HIGH] = np.int32(key >> 32)
                start_s[slot] = s.f[NOW]
                # A decision is due at the horizon itself: there all branches are compared.
                wake_at(s, s.f[NOW] + branches.length_s[branch])
                alive = _take(
                    s, branches.action[branch], branch, branches, start_s[slot], discount_s
                )
                if not alive:
                    observe(s, branches.observations[branch], low, high)
            branch_of[slot] = branch if alive else -1
            if alive:
                active += 1
                s = centre(copies_f, copies_i, ef, ei, slot)
                observe(s, observations[slot], low, high)
                write_mask(s, masks[slot])
        if active == 0:
            return
        fill_inputs(network, observations, inputs)
        fill_logits(network, inputs, one, other, logits)
        for slot in range(batch):
            if branch_of[slot] >= 0:
                chosen[slot] = likeliest(logits[slot], masks[slot])
