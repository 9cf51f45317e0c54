"""The existing system's further algorithms on the engine: each a twin of the file of its name."""

from __future__ import annotations

from math import isnan, nan

from agents.adaptive_grace_period import (
    BUSY_SHARE,
    HIGH_RATE,
    LONGEST,
    LOW_RATE,
    SHORTEST,
    STEP_S,
)
from agents.compiled.desired_count import live_workers
from agents.compiled.event_algorithm import (
    GRACE,
    IDLE_S,
    OTHER_FLAVOR,
    SEEN_RATE,
    SEEN_SHARE,
    THRESHOLD,
    begin_events,
    busy_share,
    end_expired,
    first_look_from,
    looks_due,
    may_end,
    may_end_now,
    new_requests,
    next_look,
    next_order,
    nobody_is_ordered,
    order_workers,
    own_flavor,
)
from agents.compiled.event_algorithm import PATIENCE as PATIENCE_S
from agents.compiled.idle import kill_expired, next_expiry
from agents.compiled.kinds import (
    ADAPTIVE_GRACE_PERIOD,
    PRIORITY_BASED_DYNAMIC,
    SCHEDULER_WITH_QUEUE,
    SCHEDULER_WITH_RESERVE,
)
from agents.compiled.memory import floats_at
from agents.compiled.one_flavor import MOST
from agents.idle import TIME_TOLERANCE_S
from agents.looks import LOOK_S
from agents.priority_based_dynamic import BUSY_SHARE as MANY_BUSY
from agents.priority_based_dynamic import LARGE_ABOVE_KBPS, LARGE_BACKLOG
from env.actions import KEEP_INDEX
from env.engine.compiling import compiled
from env.engine.jobs import job_bitrate
from env.engine.layout import ARRIVED, N_IDLE, NOW, WAITING, Centre, Floats
from env.engine.view import arrival, fits, head_job, oldest_waiting


@compiled
def begin_existing(s: Centre, kind: int, given: Floats) -> None:
    """Twin of each algorithm's ``reset``."""
    begin_events(s)
    if kind == ADAPTIVE_GRACE_PERIOD:
        s.f[floats_at(s) + GRACE] = given[IDLE_S]
        _remember(s)


@compiled
def act_as_existing(s: Centre, kind: int, given: Floats) -> int:
    """Twin of `EventAlgorithm.act`."""
    _notice(s, kind, given)
    action = next_order(s, given)
    if action == KEEP_INDEX and may_end_now(s):
        action = _end(s, kind, given)
    if kind == ADAPTIVE_GRACE_PERIOD:
        _remember(s)
    return action


@compiled
def wake_as_existing(s: Centre, kind: int, given: Floats) -> float:
    """Twin of each algorithm's ``wake_at``; not a number for never."""
    live = live_workers(s)
    if kind == SCHEDULER_WITH_QUEUE:
        if s.i[WAITING] == 0 or live != 0:
            return nan
        end = _end_of_patience(s, given)
        return end if end > s.f[NOW] else nan
    if kind == SCHEDULER_WITH_RESERVE:
        wants = s.i[N_IDLE] < 1 and live < given[MOST]
        return next_look(s) if wants and fits(s, own_flavor(given)) else nan
    if kind == ADAPTIVE_GRACE_PERIOD:
        more = _rush(s) and live < given[MOST]
        return next_look(s) if s.i[N_IDLE] > 0 or more else nan
    if _overrun(s) and live < given[MOST]:
        return next_look(s)
    expiry = next_expiry(s, given[IDLE_S])
    if isnan(expiry) or not may_end(s):
        return nan
    return first_look_from(s, expiry)


@compiled
def _notice(s: Centre, kind: int, given: Floats) -> None:
    """Twin of `EventAlgorithm._notice`."""
    waiting = s.i[WAITING]
    new = new_requests(s)
    if new > 0:
        _on_requests(s, kind, given, new, min(new, waiting))
    looks = looks_due(s)
    if looks > 0:
        _on_looks(s, kind, given, looks)
    if nobody_is_ordered(s):
        if kind == SCHEDULER_WITH_QUEUE:
            end = _end_of_patience(s, given)
            if not (s.f[NOW] + TIME_TOLERANCE_S >= end or waiting > given[THRESHOLD]):
                return
        order_workers(s, given, own_flavor(given), 1)


@compiled
def _on_requests(s: Centre, kind: int, given: Floats, new: int, waiting: int) -> None:
    flavor = own_flavor(given)
    if kind == SCHEDULER_WITH_QUEUE:
        beyond = s.i[WAITING] - int(given[THRESHOLD])
        order_workers(s, given, flavor, max(0, min(waiting, beyond)))
    elif kind == SCHEDULER_WITH_RESERVE:
        if new > waiting and s.i[N_IDLE] == 0:
            order_workers(s, given, flavor, 1)
        order_workers(s, given, flavor, 2 * waiting)
    elif kind == ADAPTIVE_GRACE_PERIOD:
        order_workers(s, given, flavor, new)
    else:
        job = head_job(s)
        if job < 0:  # the newest has been given to an idle worker already
            job = s.i[ARRIVED] - 1
        if job >= 0 and job_bitrate(s, job) > LARGE_ABOVE_KBPS:
            flavor = int(given[OTHER_FLAVOR])
        order_workers(s, given, flavor, new)


@compiled
def _on_looks(s: Centre, kind: int, given: Floats, looks: int) -> None:
    flavor = own_flavor(given)
    if kind == SCHEDULER_WITH_RESERVE:
        if s.i[N_IDLE] < 1:
            order_workers(s, given, flavor, 1)
    elif kind == ADAPTIVE_GRACE_PERIOD:
        f, usual = floats_at(s), given[IDLE_S]
        share, rate = s.f[f + SEEN_SHARE], s.f[f + SEEN_RATE]
        if share > BUSY_SHARE or rate > HIGH_RATE:
            s.f[f + GRACE] = min(LONGEST * usual, s.f[f + GRACE] + looks * STEP_S)
        elif share < BUSY_SHARE and rate < LOW_RATE:
            s.f[f + GRACE] = max(SHORTEST * usual, s.f[f + GRACE] - looks * STEP_S)
        if _rush(s):
            order_workers(s, given, flavor, 1)
    elif kind == PRIORITY_BASED_DYNAMIC and _overrun(s):
        if s.i[WAITING] > LARGE_BACKLOG:
            flavor = int(given[OTHER_FLAVOR])
        order_workers(s, given, flavor, 1)


@compiled
def _end(s: Centre, kind: int, given: Floats) -> int:
    if kind == SCHEDULER_WITH_QUEUE:
        return kill_expired(s, 0.0)
    if kind == SCHEDULER_WITH_RESERVE:
        return kill_expired(s, 0.0) if s.i[N_IDLE] > 1 else KEEP_INDEX
    if kind == ADAPTIVE_GRACE_PERIOD:
        return end_expired(s, s.f[floats_at(s) + GRACE])
    return end_expired(s, given[IDLE_S])


@compiled
def _end_of_patience(s: Centre, given: Floats) -> float:
    """Not a number where there is none; something waits."""
    since = arrival(s, oldest_waiting(s))
    end: float = since + given[PATIENCE_S]
    return end


@compiled
def _remember(s: Centre) -> None:
    """Twin of `AdaptiveGracePeriod._remember`."""
    s.f[floats_at(s) + SEEN_SHARE] = busy_share(s)
    s.f[floats_at(s) + SEEN_RATE] = s.i[WAITING] / LOOK_S


@compiled
def _rush(s: Centre) -> bool:
    """Twin of `AdaptiveGracePeriod._wants_one_more`."""
    rush: bool = s.i[WAITING] / LOOK_S > HIGH_RATE and s.i[WAITING] > live_workers(s)
    return rush


@compiled
def _overrun(s: Centre) -> bool:
    """Twin of `PriorityBasedDynamic._wants_one_more`."""
    over: bool = busy_share(s) > MANY_BUSY and s.i[WAITING] > live_workers(s)
    return over
