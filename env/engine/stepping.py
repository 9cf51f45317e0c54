"""Many data centres, one decision each: what the vector environment calls at every step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from env.engine.compiling import entry
from env.engine.kernel import TERMINATED, TRUNCATED, centre, decide
from env.engine.layout import EPOCH, INVALID, NOW, PREFERENCE, Floats, Ints
from env.engine.mask import write_mask
from env.engine.observe import observe
from env.engine.trace import has_room


class Seen(NamedTuple):
    """What data centres look like, one row each; is filled.

    Attributes:
        low: bounds of the features (`env.observation.bounds`), not changed.
        high: likewise.
        observations: shape (data centres, features).
        masks: shape (data centres, actions).
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    observations: NDArray[np.float32]
    masks: NDArray[np.bool_]


def room_to_see(
    n: int, low: NDArray[np.float32], high: NDArray[np.float32], n_actions: int
) -> Seen:
    """Room for what n data centres look like; the bounds are those of `Seen`."""
    rows = np.zeros((n, len(low)), dtype=np.float32)
    return Seen(low, high, rows, np.zeros((n, n_actions), dtype=np.bool_))


class Outcome(NamedTuple):
    """What a decision brought, one entry for each data centre; is filled.

    Attributes:
        rewards: minus the cost at the data centre's preference.
        vectors: minus job-seconds and core-seconds, shape (data centres, 2).
        elapsed_s: seconds that passed.
        epochs: why the next decision is due (`env.simulator.Epoch`).
        invalid: orders of the episode that could not be carried out.
        terminated: whether the last job has ended.
        truncated: whether the time is over or there are too many jobs.
        full: whether its trace has no room for another decision.
    """

    rewards: Floats
    vectors: Floats
    elapsed_s: Floats
    epochs: Ints
    invalid: Ints
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    full: NDArray[np.bool_]


def room_for_outcome(n: int) -> Outcome:
    """Room for what a decision brings in n data centres."""
    return Outcome(
        rewards=np.zeros(n),
        vectors=np.zeros((n, 2)),
        elapsed_s=np.zeros(n),
        epochs=np.zeros(n, dtype=np.int32),
        invalid=np.zeros(n, dtype=np.int32),
        terminated=np.zeros(n, dtype=np.bool_),
        truncated=np.zeros(n, dtype=np.bool_),
        full=np.zeros(n, dtype=np.bool_),
    )


@entry
def step_centres(
    f: Floats,
    i: Ints,
    ef: Floats,
    ei: Ints,
    first: int,
    last: int,
    actions: NDArray[np.int64],
    paused: NDArray[np.bool_],
    seen: Seen,
    outcome: Outcome,
) -> None:
    """Carry out an action in each of the data centres from `first` on, before `last`.

    A paused one is left as it is: nothing passes, nothing is paid, it has not ended.
    """
    for d in range(first, last):
        s = centre(f, i, ef, ei, d)
        outcome.elapsed_s[d] = 0.0
        outcome.rewards[d] = 0.0
        outcome.vectors[d, :] = 0.0
        outcome.terminated[d] = outcome.truncated[d] = False
        if not paused[d]:
            before, w = s.f[NOW], s.f[PREFERENCE]
            jobs, cores, end = decide(s, actions[d])
            outcome.elapsed_s[d] = s.f[NOW] - before
            outcome.vectors[d, 0] = -jobs
            outcome.vectors[d, 1] = -cores
            outcome.rewards[d] = -(w * jobs + (1.0 - w) * cores)
            outcome.terminated[d] = end == TERMINATED
            outcome.truncated[d] = end == TRUNCATED
        outcome.full[d] = not has_room(s)
        outcome.epochs[d] = s.i[EPOCH]
        outcome.invalid[d] = s.i[INVALID]
        observe(s, seen.observations[d], seen.low, seen.high)
        write_mask(s, seen.masks[d])


@entry
def look_at(f: Floats, i: Ints, ef: Floats, ei: Ints, rows: NDArray[np.int64], seen: Seen) -> None:
    """Observe these data centres as they are."""
    for row in rows:
        s = centre(f, i, ef, ei, row)
        observe(s, seen.observations[row], seen.low, seen.high)
        write_mask(s, seen.masks[row])
