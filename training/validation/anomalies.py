"""What a measured system did that no simulation of it does: where to look when a replay misses."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.validation.measured_run import MeasuredRun
from training.validation.replay import Replay

Floats = NDArray[np.float64]

PATIENCE_S: Final = 10.0
"""Waiting in vain for less than this in all is not worth a word, seconds."""
_NAMED: Final = 3


def anomalies(replay: Replay) -> tuple[str, ...]:
    """One sentence for each finding, none for a run that went as simulations go."""
    run = replay.run
    found = (_stuck(replay), _hung(run), _idle_while_waiting(run), _below_limit(run))
    return tuple(text for text in found if text)


def _hung(run: MeasuredRun) -> str:
    """Tasks that stopped at a step that takes a moment."""
    if not run.hung:
        return ""
    named = "; ".join(str(task) for task in run.hung[:_NAMED])
    more = f"; {len(run.hung) - _NAMED} more" if len(run.hung) > _NAMED else ""
    return f"tasks stopped getting on: {named}{more}"


def _stuck(replay: Replay) -> str:
    """Transcodes that had not ended when even the slowest simulation of them had."""
    trace, end = replay.run.trace, replay.run.end
    open_still = np.isnan(trace.transcoded) & np.isnan(trace.ended)
    ran = np.where(open_still & np.isfinite(trace.downloaded), end - trace.downloaded, 0.0)
    longest = np.max(
        [np.nan_to_num(one.transcoded - one.downloaded) for one in replay.simulated], axis=0
    )
    stuck = np.flatnonzero((ran > longest) & (longest > 0))
    if not len(stuck):
        return ""
    named = "; ".join(
        f"{_place(replay.run, i)}{replay.run.requests[i].movie} ran for {ran[i]:.0f} s "
        f"from {trace.downloaded[i]:.0f} s on, at most {longest[i]:.0f} s simulated"
        for i in stuck[:_NAMED]
    )
    more = f"; {len(stuck) - _NAMED} more" if len(stuck) > _NAMED else ""
    what = f"{len(stuck)} transcodes" if len(stuck) > 1 else "a transcode"
    return f"{what} should have ended before the stop ({named}{more})"


def _place(run: MeasuredRun, request: int) -> str:
    """The worker of a request and its node, as the begin of a sentence; empty if not known."""
    worker = run.task_workers[request]
    if not worker:
        return ""
    nodes = dict(zip(run.worker_names, run.worker_nodes, strict=True))
    node = nodes.get(worker, "")
    return f"{worker}{f' on {node}' if node else ''}: "


def _idle_while_waiting(run: MeasuredRun) -> str:
    trace, end = run.trace, run.end
    waits = _union(trace.received, np.where(np.isnan(trace.assigned), end, trace.assigned))
    idle: dict[str, float] = {}
    for i, name in enumerate(run.worker_names):
        if np.isnan(trace.ready[i]):
            continue
        stop = end if np.isnan(trace.stopped[i]) else min(end, float(trace.stopped[i]))
        tasks = [j for j, worker in enumerate(run.task_workers) if worker == name]
        free, gaps = float(trace.ready[i]), []
        for j in sorted(tasks, key=lambda j: float(trace.assigned[j])):
            gaps.append((free, float(trace.assigned[j])))
            free = stop if np.isnan(trace.ended[j]) else float(trace.ended[j])
        gaps.append((free, stop))
        seconds = sum(_overlap(start, stop, waits) for start, stop in gaps if stop > start)
        if seconds > PATIENCE_S:
            idle[name] = seconds
    worst = sorted(idle, key=lambda name: -idle[name])[:_NAMED]
    named = ", ".join(f"{name} for {idle[name]:.0f} s" for name in worst)
    return f"workers were idle while requests waited: {named}" if worst else ""


def _below_limit(run: MeasuredRun) -> str:
    """Time in which more requests waited than workers booted, below the limit of workers."""
    trace, end, limit = run.trace, run.end, run.max_workers
    if limit is None:
        return ""
    ready = np.where(np.isnan(trace.ready), end, trace.ready)
    stopped = np.where(np.isnan(trace.stopped), end, trace.stopped)
    assigned = np.where(np.isnan(trace.assigned), end, trace.assigned)
    moments = np.unique(np.concatenate([trace.received, assigned, trace.created, ready, stopped]))
    moments = np.append(moments[(moments >= 0) & (moments < end)], end)
    waiting = _count(moments, trace.received, assigned)
    booting = _count(moments, trace.created, np.minimum(ready, stopped))
    alive = _count(moments, trace.created, stopped)
    short = ((waiting > booting) & (alive < limit))[:-1]
    seconds = float(np.diff(moments)[short].sum())
    if seconds <= PATIENCE_S:
        return ""
    return (
        f"for {seconds:.0f} s requests waited with at most {alive[:-1][short].max()} of "
        f"{limit} workers there and none booting for them"
    )


def _count(moments: Floats, starts: Floats, ends: Floats) -> NDArray[np.int_]:
    """How many intervals hold each moment."""
    begun = np.searchsorted(np.sort(starts), moments, side="right")
    over = np.searchsorted(np.sort(ends), moments, side="right")
    return np.asarray(begun - over)


def _union(starts: Floats, ends: Floats) -> list[tuple[float, float]]:
    """The union of intervals, in order."""
    union: list[tuple[float, float]] = []
    for start, end in sorted(zip(starts.tolist(), ends.tolist(), strict=True)):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def _overlap(start: float, end: float, intervals: list[tuple[float, float]]) -> float:
    return sum(max(0.0, min(end, b) - max(start, a)) for a, b in intervals)
