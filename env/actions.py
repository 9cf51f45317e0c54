"""What a policy may order: keep, spawn a flavor, or end a worker of a flavor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final


class ActionKind(IntEnum):
    """The three things an autoscaler can order."""

    KEEP = 0
    SPAWN = 1
    KILL = 2


@dataclass(frozen=True, slots=True)
class Action:
    """One order; `flavor` is an index into the cluster's flavors, -1 for keep."""

    kind: ActionKind
    flavor: int = -1


KEEP: Final = Action(ActionKind.KEEP)
KEEP_INDEX: Final = 0
"""Its place among the actions, see `action_index`."""
SPAWN_INDEX: Final = 1
"""The place of the first spawn, that of the smallest flavor."""


@cache
def spawn(flavor: int) -> Action:
    """Order one new worker of the flavor."""
    return Action(ActionKind.SPAWN, flavor)


@cache
def kill(flavor: int) -> Action:
    """Order the end of the flavor's longest-idle worker, or else of a busy one after its job.

    See `Cluster.can_retire` for when the latter may be.
    """
    return Action(ActionKind.KILL, flavor)


def n_actions(n_flavors: int) -> int:
    """Size of the discrete action space."""
    return 1 + 2 * n_flavors


def action_index(action: Action, n_flavors: int) -> int:
    """Encode: 0 keep, 1..F spawn flavor 0..F-1, F+1..2F kill flavor 0..F-1."""
    if action.kind is ActionKind.KEEP:
        return KEEP_INDEX
    return action.flavor + (1 if action.kind is ActionKind.SPAWN else 1 + n_flavors)


def alike(index: int, n_flavors: int) -> slice:
    """The indices of all actions of the same kind: all spawns for a spawn."""
    if index == KEEP_INDEX:
        return slice(KEEP_INDEX, KEEP_INDEX + 1)
    return slice(1, 1 + n_flavors) if index <= n_flavors else slice(1 + n_flavors, None)


@cache
def action_from_index(index: int, n_flavors: int) -> Action:
    """Decode an index.

    Raises:
        ValueError: the index is outside 0..2F.
    """
    if not 0 <= index < n_actions(n_flavors):
        raise ValueError(f"action {index} is not in 0..{2 * n_flavors}")
    if index == KEEP_INDEX:
        return KEEP
    return spawn(index - 1) if index <= n_flavors else kill(index - 1 - n_flavors)
