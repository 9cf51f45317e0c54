"""Which rules have a compiled form, and how a policy becomes one."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Final, NamedTuple

import numpy as np

from agents.adaptive_flavor import AdaptiveFlavor
from agents.adaptive_grace_period import AdaptiveGracePeriod, AdaptiveGracePeriodParameters
from agents.break_even import BreakEven
from agents.compiled import adaptive_flavor as by_load
from agents.compiled import concurrency_windows as windows
from agents.compiled import desired_count as count
from agents.compiled import event_algorithm as events
from agents.compiled import hybrid_histogram as hybrid
from agents.compiled import one_flavor as one
from agents.compiled import queue_scaling as queue
from agents.compiled import square_root_staffing as staffing
from agents.compiled import target_utilisation as utilisation
from agents.compiled.adaptive_flavor import act_by_load, wake_by_load
from agents.compiled.concurrency_windows import begin_windows, desired_by_windows
from agents.compiled.desired_count import (
    kill_longest_idle,
    live_workers,
    review_is_due,
    settle_review,
)
from agents.compiled.existing_algorithms import (
    act_as_existing,
    begin_existing,
    wake_as_existing,
)
from agents.compiled.hybrid_histogram import (
    act_by_histogram,
    begin_histograms,
    wake_for_window,
)
from agents.compiled.kinds import (
    ADAPTIVE_FLAVOR,
    ADAPTIVE_GRACE_PERIOD,
    BREAK_EVEN,
    CONCURRENCY_WINDOWS,
    GRACE_PERIOD,
    HYBRID_HISTOGRAM,
    MINIMIZE_WORKERS,
    PRIORITY_BASED_DYNAMIC,
    QUEUE_SCALING,
    RESERVE_K,
    SCHEDULER_WITH_QUEUE,
    SCHEDULER_WITH_RESERVE,
    SQUARE_ROOT_STAFFING,
    TARGET_UTILISATION,
)
from agents.compiled.memory import STARTED, floats_at, ints_at
from agents.compiled.one_flavor import (
    act_on_demand,
    act_with_reserve,
    break_even_s,
    spawn_or_keep,
    wake_on_expiry,
    wake_with_reserve,
)
from agents.compiled.queue_scaling import begin_scaling, desired_by_queue
from agents.compiled.square_root_staffing import begin_staffing, desired_by_load, staff_backlog
from agents.compiled.target_utilisation import begin_utilisation, desired_by_utilisation
from agents.compiled.windows import RING_I, average_size
from agents.concurrency_windows import ConcurrencyWindows
from agents.event_algorithm import EventAlgorithm
from agents.grace_period import GracePeriod
from agents.hybrid_histogram import HybridHistogram
from agents.minimize_workers import MinimizeWorkers
from agents.one_flavor import OneFlavorPolicy
from agents.policy import Policy
from agents.priority_based_dynamic import PriorityBasedDynamic, PriorityBasedDynamicParameters
from agents.queue_scaling import QueueScaling
from agents.reserve_k import ReserveK
from agents.scheduler_with_queue import SchedulerWithQueue, SchedulerWithQueueParameters
from agents.scheduler_with_reserve import SchedulerWithReserve
from agents.square_root_staffing import HORIZONS, SquareRootStaffing
from agents.target_utilisation import TargetUtilisation
from env.actions import KEEP_INDEX
from env.cluster import Cluster
from env.engine.compiling import compiled
from env.engine.layout import N_IDLE, WAITING, Centre, Floats

SETTINGS: Final = 16
"""Floats that the settings of any rule take."""
assert max(by_load.SIZE, queue.COOLDOWN, windows.PANIC_SIZE, hybrid.FALLBACK) < SETTINGS


class Form(NamedTuple):
    """A rule as compiled code knows it.

    Attributes:
        kind: which rule (`agents.compiled.kinds`).
        given: its settings, shape (SETTINGS,).
        floats: that it remembers; the engine must have room for them (`Engine.reserve`).
        ints: whole numbers likewise.
    """

    kind: int
    given: Floats
    floats: int = 0
    ints: int = 0


@compiled
def rule_begins(s: Centre, kind: int, given: Floats) -> None:
    """Twin of `Policy.reset`, at the data centre's now; nothing if it has begun already."""
    if kind < TARGET_UTILISATION or s.i[ints_at(s) + STARTED] != 0:
        return
    s.i[ints_at(s) + STARTED] = 1
    if kind == TARGET_UTILISATION:
        begin_utilisation(s, given)
    elif kind == QUEUE_SCALING:
        begin_scaling(s, given)
    elif kind == CONCURRENCY_WINDOWS:
        begin_windows(s, given)
    elif kind == SQUARE_ROOT_STAFFING:
        begin_staffing(s, given)
    elif kind == HYBRID_HISTOGRAM:
        begin_histograms(s)
    else:
        begin_existing(s, kind, given)


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
    if kind == ADAPTIVE_FLAVOR:
        return act_by_load(s, given)
    if kind <= SQUARE_ROOT_STAFFING:
        return _act_on_count(s, kind, given)
    if kind == HYBRID_HISTOGRAM:
        return act_by_histogram(s, given)
    return act_as_existing(s, kind, given)


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
    if kind == ADAPTIVE_FLAVOR:
        return wake_by_load(s, given)
    if kind <= SQUARE_ROOT_STAFFING:
        review: float = s.f[floats_at(s) + count.NEXT_REVIEW]
        return review
    if kind == HYBRID_HISTOGRAM:
        return wake_for_window(s)
    return wake_as_existing(s, kind, given)


@compiled
def _act_on_count(s: Centre, kind: int, given: Floats) -> int:
    """Twin of `DesiredCountPolicy.act`."""
    i = ints_at(s)
    if kind == CONCURRENCY_WINDOWS and s.i[WAITING] > 0 and s.i[i + count.DESIRED] == 0:
        s.i[i + count.DESIRED] = 1
    if review_is_due(s):
        settle_review(s, given, _desired(s, kind, given))
    live, desired = live_workers(s), s.i[i + count.DESIRED]
    if live < desired:
        return spawn_or_keep(s, given)
    if s.i[WAITING] > 0:
        return staff_backlog(s, given) if kind == SQUARE_ROOT_STAFFING else KEEP_INDEX
    return kill_longest_idle(s) if s.i[N_IDLE] > 0 and live > desired else KEEP_INDEX


@compiled
def _desired(s: Centre, kind: int, given: Floats) -> int:
    if kind == TARGET_UTILISATION:
        return desired_by_utilisation(s, given)
    if kind == QUEUE_SCALING:
        return desired_by_queue(s, given)
    if kind == CONCURRENCY_WINDOWS:
        return desired_by_windows(s, given)
    return desired_by_load(s, given)


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
    return Form(kind, given, *_memory(kind, given))


def _memory(kind: int, given: Floats) -> tuple[int, int]:
    """Floats and whole numbers that a rule of these settings remembers."""
    ring = int(given[one.MOST]) + 2
    if kind == TARGET_UTILISATION:
        return utilisation.RING_F + ring, utilisation.RING_I + RING_I + ring
    if kind == QUEUE_SCALING:
        return queue.RING_F + ring, queue.RING_I + RING_I + ring
    if kind == CONCURRENCY_WINDOWS:
        places = int(given[windows.STABLE_SIZE] + given[windows.PANIC_SIZE])
        return windows.RINGS_F + 2 * places, windows.AVERAGES_I
    if kind == SQUARE_ROOT_STAFFING:
        return staffing.RING_F + ring, staffing.RING_I + RING_I + ring
    if kind == HYBRID_HISTOGRAM:
        slot_i = hybrid.BINS_I + int(given[hybrid.BINS])
        return ring * hybrid.SLOT_F, hybrid.SLOTS_I + ring * slot_i
    return (events.EVENTS_F, events.EVENTS_I) if kind > HYBRID_HISTOGRAM else (0, 0)


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


def _target_utilisation(policy: Policy, cluster: Cluster) -> list[float]:
    assert isinstance(policy, TargetUtilisation)
    p = policy.parameters
    own = [p.sync_period, p.tolerance, p.stabilisation, p.target, p.min_workers]
    return [*policy.limits(cluster), *own]


def _queue_scaling(policy: Policy, cluster: Cluster) -> list[float]:
    assert isinstance(policy, QueueScaling)
    p = policy.parameters
    own = [p.sync_period, p.tolerance, p.stabilisation, p.target, p.polling_interval, p.cooldown]
    return [*policy.limits(cluster), *own]


def _concurrency_windows(policy: Policy, cluster: Cluster) -> list[float]:
    assert isinstance(policy, ConcurrencyWindows)
    p = policy.parameters
    return [
        *policy.limits(cluster),
        p.period,
        p.target,
        p.stable_window,
        p.panic_window,
        p.panic_threshold,
        p.max_scale_down_rate,
        p.scale_to_zero_grace,
        average_size(p.stable_window, p.period),
        average_size(p.panic_window, p.period),
    ]


def _square_root_staffing(policy: Policy, cluster: Cluster) -> list[float]:
    assert isinstance(policy, SquareRootStaffing)
    p = policy.parameters
    beta = nan if p.beta is None else p.beta
    own = [p.period, beta, HORIZONS[p.horizon], p.backlog_share, p.stabilisation]
    return [*policy.limits(cluster), *own]


def _hybrid_histogram(policy: Policy, cluster: Cluster) -> list[float]:
    assert isinstance(policy, HybridHistogram)
    p = policy.parameters
    return [
        *policy.limits(cluster),
        p.bin_width,
        p.bins,
        p.head,
        p.tail,
        p.margin,
        p.min_samples,
        p.min_variation,
        p.max_out_of_bounds,
        p.fallback_keep_alive,
    ]


def _existing(policy: Policy, cluster: Cluster) -> list[float]:
    assert isinstance(policy, EventAlgorithm)
    flavors, most = policy.limits(cluster)
    first, *other = flavors.values()
    p = policy.parameters
    idle_s, threshold, patience = nan, 0, nan
    if isinstance(p, AdaptiveGracePeriodParameters | PriorityBasedDynamicParameters):
        idle_s = p.max_idle_time
    if isinstance(p, SchedulerWithQueueParameters):
        threshold = p.queue_threshold
        patience = nan if p.patience is None else p.patience
    return [first, most, other[0] if other else first, idle_s, threshold, patience]


_MAKERS: Final[dict[type[Policy], tuple[int, Callable[[Policy, Cluster], list[float]]]]] = {
    MinimizeWorkers: (MINIMIZE_WORKERS, _one_flavor),
    GracePeriod: (GRACE_PERIOD, _one_flavor),
    BreakEven: (BREAK_EVEN, _one_flavor),
    ReserveK: (RESERVE_K, _one_flavor),
    AdaptiveFlavor: (ADAPTIVE_FLAVOR, _adaptive_flavor),
    TargetUtilisation: (TARGET_UTILISATION, _target_utilisation),
    QueueScaling: (QUEUE_SCALING, _queue_scaling),
    ConcurrencyWindows: (CONCURRENCY_WINDOWS, _concurrency_windows),
    SquareRootStaffing: (SQUARE_ROOT_STAFFING, _square_root_staffing),
    HybridHistogram: (HYBRID_HISTOGRAM, _hybrid_histogram),
    SchedulerWithQueue: (SCHEDULER_WITH_QUEUE, _existing),
    SchedulerWithReserve: (SCHEDULER_WITH_RESERVE, _existing),
    AdaptiveGracePeriod: (ADAPTIVE_GRACE_PERIOD, _existing),
    PriorityBasedDynamic: (PRIORITY_BASED_DYNAMIC, _existing),
}
