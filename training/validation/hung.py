"""Tasks that stopped getting on: given to a worker, and never taken further."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.calibration.observations import COMPLETED, ERROR, Observations, figures, stop_times
from training.calibration.observations import texts as texts_of

PATIENCE_S: Final = 60.0
"""A step that takes a second or so and has not ended after this long hangs, seconds."""

_MOMENTS: Final = ("t_dwnld_start", "t_tc_start", "t_upld_start", "t_completed")
_STEPS: Final = (
    ("t_assigned", "t_dwnld_start", "was given to it and it never began to download"),
    ("t_dwnld_start", "t_tc_start", "was being downloaded and never transcoded"),
    ("t_upld_start", "t_completed", "was transcoded and never uploaded"),
)
"""Of each step that hangs: its begin, its end, and what became of the video."""


@dataclass(frozen=True)
class HungTask:
    """One of them.

    Attributes:
        run, worker, node, video: which.
        what: what became of the video, in words.
        since_s: when the step began, seconds after the run's first request.
        seconds: how long it had not got on when the worker, or the run, ended.
    """

    run: str
    worker: str
    node: str
    video: str
    what: str
    since_s: float
    seconds: float

    def __str__(self) -> str:
        where = f" on {self.node}" if self.node else ""
        return (
            f"{self.worker or 'a worker'}{where}: {self.video} {self.what} "
            f"({self.seconds:.0f} s, from {self.since_s:.0f} s on)"
        )


def hung_tasks(observations: Observations) -> list[HungTask]:
    """Tasks that were given to a worker, and stopped at a step that should take a moment.

    Transcodes that run on and on are not among them: how long they may take depends on what is
    expected of them.
    """
    tasks = observations.tasks
    runs, workers = texts_of(tasks, "run"), texts_of(tasks, "worker")
    nodes, videos = texts_of(tasks, "node"), texts_of(tasks, "video")
    first = tasks.groupby("run")["t_received"].transform("min")
    zero = np.nan_to_num(first.to_numpy(dtype=np.float64))
    return [
        HungTask(
            run=runs[i],
            worker=workers[i],
            node=nodes[i],
            video=videos[i] or "a video",
            what=what,
            since_s=begun - float(zero[i]),
            seconds=lasted,
        )
        for i, what, begun, lasted in _hangs(observations)
    ]


def hung_rows(observations: Observations) -> NDArray[np.bool_]:
    """Which rows of the tasks are those of hung tasks, shape (tasks,)."""
    rows = np.zeros(len(observations.tasks), dtype=bool)
    rows[[i for i, *_ in _hangs(observations)]] = True
    return rows


def _hangs(observations: Observations) -> list[tuple[int, str, float, float]]:
    """Row, what became of the video, when the step began, and how long it had not got on."""
    seen = observations.with_run_ends()
    tasks = seen.tasks
    stops = stop_times(seen.workers)
    runs, workers = texts_of(tasks, "run"), texts_of(tasks, "worker")
    status = texts_of(tasks, "status")
    failed = np.isfinite(figures(tasks, "t_failed"))
    ends = figures(tasks, "t_run_end")
    found = []
    for begin, end, what in _STEPS:
        begun = figures(tasks, begin)
        passed = np.isfinite(np.array([figures(tasks, name) for name in _from(end)])).any(axis=0)
        # What has got further has passed the step, whether its moment was written or not.
        open_still = np.isfinite(begun) & ~passed & ~failed
        for i in np.flatnonzero(open_still).tolist():
            if status[i] in (COMPLETED, ERROR):
                continue
            over = min(float(ends[i]), stops.get((runs[i], workers[i]), inf))
            lasted = over - float(begun[i])
            if lasted > PATIENCE_S:
                found.append((i, what, float(begun[i]), lasted))
    return found


def _from(step: str) -> tuple[str, ...]:
    """A moment and those that follow it."""
    return _MOMENTS[_MOMENTS.index(step) :]
