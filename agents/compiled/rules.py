"""Which rules have a compiled form, and how a policy becomes one."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Final, NamedTuple

import numpy as np

from agents.adaptive_flavor import AdaptiveFlavor
from agents.break_even import BreakEven
from agents.compiled import adaptive_flavor as by_load
from agents.compiled import one_flavor as one
from agents.compiled.adaptive_flavor import act_by_load, wake_by_load
from agents.compiled.one_flavor import (
    act_on_demand,
    act_with_reserve,
    break_even_s,
    wake_on_expiry,
    wake_with_reserve,
)
from agents.grace_period import GracePeriod
from agents.minimize_workers import MinimizeWorkers
from agents.one_flavor import OneFlavorPolicy
from agents.policy import Policy
from agents.reserve_k import ReserveK
from env.cluster import Cluster
from env.engine.compiling import compiled
from env.engine.layout import Centre, Floats

MINIMIZE_WORKERS: Final = 0
GRACE_PERIOD: Final = 1
BREAK_EVEN: Final = 2
RESERVE_K: Final = 3
ADAPTIVE_FLAVOR: Final = 4

SETTINGS: Final = by_load.SIZE
"""Floats that the settings of any rule take."""


class Form(NamedTuple):
    """A rule as compiled code knows it.

    Attributes:
        kind: which rule.
        given: its settings, shape (SETTINGS,).
    """

    kind: int
    given: Floats


@compiled
def rule_act(s: Centre, kind: int, given: Floats) -> int:
    """The rule's next order, an action's index; see `Policy.act`."""
    if kind == MINIMIZE_WORKERS:
        return act_on_demand(s, given, 0.0)
    if kind == GRACE_PERIOD:
        return act_on_demand(s, given, given[one.IDLE_S])
    if kind == BREAK_EVEN:
        return act_on_demand(s, given, break_even_s(s, given))
    if kind == RESERVE_K:
        return act_with_reserve(s, given)
    return act_by_load(s, given)


@compiled
def rule_wakes_at(s: Centre, kind: int, given: Floats) -> float:
    """When the rule wants to be asked again, seconds, not a number for never."""
    if kind == MINIMIZE_WORKERS:
        return nan
    if kind == GRACE_PERIOD:
        return wake_on_expiry(s, given[one.IDLE_S])
    if kind == BREAK_EVEN:
        return wake_on_expiry(s, break_even_s(s, given))
    if kind == RESERVE_K:
        return wake_with_reserve(s, given)
    return wake_by_load(s, given)


def has_form(policy: Policy) -> bool:
    """Whether `form_of` knows the policy."""
    return type(policy) in _MAKERS


def form_of(policy: Policy, cluster: Cluster) -> Form | None:
    """The compiled form of a policy for a cluster of this kind, none if it has none.

    Raises:
        DaCircoError: the policy cannot serve the cluster.
    """
    made = _MAKERS.get(type(policy))
    if made is None:
        return None
    kind, settings = made
    given = np.zeros(SETTINGS)
    figures = settings(policy, cluster)
    given[: len(figures)] = figures
    return Form(kind, given)


def _one_flavor(policy: Policy, cluster: Cluster) -> list[float]:
    assert isinstance(policy, OneFlavorPolicy)
    flavor, most = policy.limits(cluster)
    idle_s, spares = 0.0, 0
    if isinstance(policy, GracePeriod | ReserveK):
        idle_s = policy.parameters.max_idle_time
    if isinstance(policy, BreakEven):
        idle_s = policy.parameters.factor
    if isinstance(policy, ReserveK):
        spares = policy.parameters.spares
    return [flavor, most, idle_s, spares]


def _adaptive_flavor(policy: Policy, cluster: Cluster) -> list[float]:
    assert isinstance(policy, AdaptiveFlavor)
    p = policy.parameters
    return [
        p.spawn_share,
        p.second_flavor_from,
        p.third_flavor_from,
        p.max_load,
        p.long_idle_above,
        p.short_idle_above,
        p.long_idle,
        p.short_idle,
        p.lean_idle,
        inf if p.max_workers is None else p.max_workers,
    ]


_MAKERS: Final[dict[type[Policy], tuple[int, Callable[[Policy, Cluster], list[float]]]]] = {
    MinimizeWorkers: (MINIMIZE_WORKERS, _one_flavor),
    GracePeriod: (GRACE_PERIOD, _one_flavor),
    BreakEven: (BREAK_EVEN, _one_flavor),
    ReserveK: (RESERVE_K, _one_flavor),
    AdaptiveFlavor: (ADAPTIVE_FLAVOR, _adaptive_flavor),
}
