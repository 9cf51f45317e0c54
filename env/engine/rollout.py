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
from env.engine.engine import Engine
from env.engine.futures import move_in, state_ints
from env.engine.kernel import GOES_ON, centre, decide, wake_at
from env.engine.layout import KEY_HIGH, KEY_LOW, NOW, TRACED, Centre, Floats, Ints
from env.engine.mask import write_mask
from env.engine.observe import observe
from env.engine.perceptron import Perceptron, Workspace, fill_logits, likeliest, workspace

_ROUNDING_S: Final = 1e-6
"""A time that falls short of the horizon by so little has reached it."""


class Branches(NamedTuple):
    """What to try, and room for what comes of it; one entry for each branch.

    Attributes:
        source: row of the data centre that is copied.
        action: what the copy does first.
        key: of its noise from then on, -1 for the data centre's own.
        episode: row of `ef` and `ei` that it goes on with, -1 for the data centre's own episode.
        ef: episodes with other arrivals (`env.engine.futures`), floats; for all branches.
        ei: likewise, whole numbers.
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
    episode: NDArray[np.int64]
    ef: Floats
    ei: Ints
    length_s: Floats
    job_seconds: Floats
    core_seconds: Floats
    discounted: Floats
    elapsed_s: Floats
    decisions: NDArray[np.int64]
    ended: NDArray[np.bool_]
    observations: NDArray[np.float32]


@compiled
def take(
    s: Centre, action: int, branch: int, branches: Branches, start_s: float, discount_s: float
) -> bool:
    """Carry out a decision and book what it costs; false at the end of the branch."""
    before = s.f[NOW]
    s.i[TRACED] = 0  # nobody asks for a copy's metrics: its trace must not fill up
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


class Copies(NamedTuple):
    """The copies that are under way, one in each slot.

    Attributes:
        f: their states, floats.
        i: their states, whole numbers.
        branch: which one each is, -1 for none.
        start_s: when it began.
        action: what it does next.
        observations: what it looks like.
        masks: what it may do.
        low: bounds of the features.
        high: likewise.
    """

    f: Floats
    i: Ints
    branch: NDArray[np.int64]
    start_s: Floats
    action: NDArray[np.int64]
    observations: NDArray[np.float32]
    masks: NDArray[np.bool_]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


@compiled
def copy_in(
    copies: Copies, slot: int, branches: Branches, branch: int, ef: Floats, ei: Ints
) -> Centre:
    """The copy in a slot, which is that of the branch."""
    episode = branches.episode[branch]
    if episode < 0:
        return centre(copies.f, copies.i, ef, ei, slot)
    return Centre(copies.f[slot], copies.i[slot], branches.ef[episode], branches.ei[episode])


def make_copies(
    engine: Engine,
    branches: Branches,
    slots: int,
    actions: int,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
) -> Copies:
    """Room for copies of the engine's data centres."""
    renewed = [state_ints(row) + engine.memory_ints for row in branches.ei]
    width = max([engine.i.shape[1], *renewed])
    return Copies(
        np.empty((slots, engine.f.shape[1])),
        np.empty((slots, width), dtype=np.int32),
        np.full(slots, -1),
        np.zeros(slots),
        np.zeros(slots, dtype=np.int64),
        np.zeros((slots, len(low)), dtype=np.float32),
        np.zeros((slots, actions), dtype=np.bool_),
        low,
        high,
    )


def roll_out(
    engine: Engine,
    branches: Branches,
    network: Perceptron,
    *,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    discount_s: float,
    batch: int,
) -> None:
    """Follow the network's likeliest actions from each branch's first one to its horizon.

    Args:
        engine: its data centres are copied, and not changed.
        branches: what to try; the outcomes are filled in.
        network: the policy.
        low: bounds of the features (`env.observation.bounds`).
        high: likewise.
        discount_s: time constant of the discount, seconds; infinite for none.
        batch: copies that are decided for at once.
    """
    slots = max(1, min(batch, len(branches.source)))
    copies = make_copies(engine, branches, slots, network.actions, low, high)
    _follow(
        engine.f,
        engine.i,
        engine.ef,
        engine.ei,
        branches,
        network,
        copies,
        workspace(network, slots),
        discount_s,
    )


@entry
def _follow(
    f: Floats,
    i: Ints,
    ef: Floats,
    ei: Ints,
    branches: Branches,
    network: Perceptron,
    copies: Copies,
    work: Workspace,
    discount_s: float,
) -> None:
    n = len(branches.source)
    following = 0
    while True:
        active = 0
        for slot in range(len(copies.branch)):
            branch = copies.branch[slot]
            alive = False
            # One call of what decides, for a branch that goes on and for one that begins: it is
            # large, and would be compiled twice.
            while not alive and (branch >= 0 or following < n):
                if branch < 0:
                    branch = following
                    following += 1
                    begin_branch(f, i, ef, ei, branches, branch, copies, slot)
                s = copy_in(copies, slot, branches, branch, ef, ei)
                alive = take(
                    s, copies.action[slot], branch, branches, copies.start_s[slot], discount_s
                )
                if alive:
                    observe(s, copies.observations[slot], copies.low, copies.high)
                    write_mask(s, copies.masks[slot])
                    active += 1
                else:
                    observe(s, branches.observations[branch], copies.low, copies.high)
                    branch = -1
            copies.branch[slot] = branch
        if active == 0:
            return
        fill_logits(network, copies.observations, work)
        for slot in range(len(copies.branch)):
            if copies.branch[slot] >= 0:
                copies.action[slot] = likeliest(work.logits[slot], copies.masks[slot])


@compiled
def begin_branch(
    f: Floats,
    i: Ints,
    ef: Floats,
    ei: Ints,
    branches: Branches,
    branch: int,
    copies: Copies,
    slot: int,
) -> None:
    """Copy the branch's data centre into the slot."""
    source = branches.source[branch]
    for k in range(f.shape[1]):
        copies.f[slot, k] = f[source, k]
    own = branches.episode[branch] < 0
    if own:
        for k in range(i.shape[1]):
            copies.i[slot, k] = i[source, k]
    s = copy_in(copies, slot, branches, branch, ef, ei)
    if not own:
        move_in(centre(f, i, ef, ei, source), s)
    key = branches.key[branch]
    if key >= 0:
        s.i[KEY_LOW] = np.int32(key & 0xFFFFFFFF)
        s.i[KEY_HIGH] = np.int32(key >> 32)
    copies.start_s[slot] = s.f[NOW]
    copies.action[slot] = branches.action[branch]
    # A decision is due at the horizon itself: there all branches are compared.
    wake_at(s, s.f[NOW] + branches.length_s[branch])
