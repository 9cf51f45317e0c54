"""Whole runs under rules on the engine: what `Simulator.run` does, of many data centres."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isnan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agents.compiled.memory import OVERFLOWN
from agents.compiled.rules import SETTINGS, Form, rule_act, rule_begins, rule_wakes_at
from env.actions import KEEP_INDEX
from env.engine.compiling import compiled, entry
from env.engine.engine import Engine
from env.engine.kernel import advance, apply, centre, wake_at
from env.engine.layout import DONE, NOW, RULE_I, Centre, Floats, Ints
from env.engine.trace import has_room

DECIDING: Final = 0
"""The trace was full in the midst of a decision's orders."""
WAITING: Final = 1
"""The trace was full when time was to pass; this is how a run begins, too."""
THERE: Final = 2


@compiled
def follow_rule(s: Centre, kind: int, given: Floats, until_s: float, state: int) -> int:
    """Follow a rule to the end, or to the first decision at or after a time.

    Returns:
        `THERE`, or what it was about when the trace had no room left: take that out and go on.
    """
    rule_begins(s, kind, given)
    while True:
        if state == WAITING:
            if s.i[DONE] or s.f[NOW] >= until_s:
                return THERE
            if not has_room(s):
                return WAITING
            if not advance(s):
                return THERE
        action = -1
        while action != KEEP_INDEX:
            if not has_room(s):
                return DECIDING
            action = rule_act(s, kind, given)
            if action != KEEP_INDEX and not apply(s, action):
                break
        wake = rule_wakes_at(s, kind, given)
        if not isnan(wake):
            wake_at(s, wake)
        state = WAITING


@entry
def follow_rules(
    f: Floats,
    i: Ints,
    ef: Floats,
    ei: Ints,
    centres: Ints,
    kinds: Ints,
    given: Floats,
    until_s: float,
    states: Ints,
) -> None:
    """`follow_rule` for each of these data centres that is not `THERE`."""
    for k in range(len(centres)):
        if states[k] != THERE:
            s = centre(f, i, ef, ei, centres[k])
            states[k] = follow_rule(s, kinds[k], given[k], until_s, states[k])


def run_rules(
    engine: Engine, centres: Sequence[int], forms: Sequence[Form], until_s: float = inf
) -> NDArray[np.bool_]:
    """Follow a rule in each data centre, from where it is.

    Args:
        engine: the data centres.
        centres: their numbers.
        forms: the rule of each (`agents.compiled.rules.form_of`).
        until_s: stop at the first decision at or after this time, seconds.

    Returns:
        Which of them a rule had too little room to remember in, shape (centres,): what they show
        is not what the rule does. It takes settings far off any that are tuned.
    """
    for form in forms:
        engine.reserve(form.floats, form.ints)
    numbers = np.array(centres, dtype=np.int32)
    kinds = np.array([form.kind for form in forms], dtype=np.int32)
    given = np.array([form.given for form in forms]).reshape(len(forms), SETTINGS)
    states = np.full(len(numbers), WAITING, dtype=np.int32)
    while True:
        follow_rules(
            engine.f, engine.i, engine.ef, engine.ei, numbers, kinds, given, until_s, states
        )
        halted = numbers[states != THERE]
        if not len(halted):
            return np.array(
                [
                    form.ints > 0 and bool(engine.i[d, engine.centre(d).ei[RULE_I] + OVERFLOWN])
                    for d, form in zip(centres, forms, strict=True)
                ],
                dtype=np.bool_,
            )
        for d in halted.tolist():
            engine.make_room(d)
