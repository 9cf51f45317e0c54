"""Actions and their indices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.actions import (
    KEEP,
    Action,
    ActionKind,
    action_from_index,
    action_index,
    kill,
    n_actions,
    spawn,
)

FLAVORS = st.integers(1, 8)


@given(FLAVORS)
def test_indices_and_actions_match_one_to_one(n_flavors: int) -> None:
    indices = range(n_actions(n_flavors))
    actions = [action_from_index(index, n_flavors) for index in indices]
    assert len(set(actions)) == 1 + 2 * n_flavors
    assert [action_index(action, n_flavors) for action in actions] == list(indices)


def test_the_order_is_keep_then_spawns_then_kills() -> None:
    assert [action_from_index(index, 3) for index in range(7)] == [
        KEEP,
        Action(ActionKind.SPAWN, 0),
        Action(ActionKind.SPAWN, 1),
        Action(ActionKind.SPAWN, 2),
        Action(ActionKind.KILL, 0),
        Action(ActionKind.KILL, 1),
        Action(ActionKind.KILL, 2),
    ]


@pytest.mark.parametrize("index", [-1, 7, 100])
def test_an_index_outside_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=rf"action {index} is not in 0\.\.6"):
        action_from_index(index, 3)


def test_actions_are_values_and_made_once() -> None:
    assert spawn(1) is spawn(1)
    assert spawn(1) is action_from_index(2, 3)
    assert spawn(1) == Action(ActionKind.SPAWN, 1)
    assert kill(1) != spawn(1)
    assert action_from_index(0, 3) is KEEP
    assert KEEP.flavor == -1
