"""Rollouts that follow a rule: the twin of `env.engine.rollout.roll_out` for compiled rules."""

from __future__ import annotations

from math import isnan

import numpy as np
from numpy.typing import NDArray

from agents.compiled.rules import Form, rule_act, rule_begins, rule_wakes_at
from env.actions import KEEP_INDEX
from env.engine.compiling import entry
from env.engine.engine import Engine
from env.engine.kernel import apply, wake_at
from env.engine.layout import NOW, Floats, Ints
from env.engine.observe import observe
from env.engine.rollout import Branches, Copies, begin_branch, copy_in, make_copies, take


def roll_out_rule(
    engine: Engine,
    branches: Branches,
    rule: Form,
    *,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    discount_s: float,
) -> None:
    """Follow a rule from each branch's first action to its horizon.

    Args:
        engine: its data centres are copied, and not changed.
        branches: what to try; the outcomes are filled in.
        rule: what is followed.
        low: bounds of the features (`env.observation.bounds`).
        high: likewise.
        discount_s: time constant of the discount, seconds; infinite for none.
    """
    copies = make_copies(engine, branches, 1, 1, low, high)
    _follow_rule(
        engine.f,
        engine.i,
        engine.ef,
        engine.ei,
        branches,
        rule.kind,
        rule.given,
        copies,
        discount_s,
    )


@entry
def _follow_rule(
    f: Floats,
    i: Ints,
    ef: Floats,
    ei: Ints,
    branches: Branches,
    kind: int,
    given: Floats,
    copies: Copies,
    discount_s: float,
) -> None:
    for branch in range(len(branches.source)):
        begin_branch(f, i, ef, ei, branches, branch, copies, 0)
        s = copy_in(copies, 0, branches, branch, ef, ei)
        rule_begins(s, kind, given)  # unless the data centre has followed it so far
        start_s, action = copies.start_s[0], copies.action[0]
        end_s = start_s + branches.length_s[branch]
        while True:
            if action != KEEP_INDEX and apply(s, action):
                branches.decisions[branch] += 1
            else:  # what cannot be carried out lets time pass, as keep does
                wake = rule_wakes_at(s, kind, given)
                wake_at(s, wake if not isnan(wake) and s.f[NOW] < wake < end_s else end_s)
                if not take(s, KEEP_INDEX, branch, branches, start_s, discount_s):
                    break
            action = rule_act(s, kind, given)
        observe(s, branches.observations[branch], copies.low, copies.high)
