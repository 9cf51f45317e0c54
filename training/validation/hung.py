"""Tasks that stopped getting on: given to a worker, and never taken further."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from training.calibration.observations import COMPLETED, ERROR, Observations, figures, stop_times
from training.calibration.observations import texts as texts_of

PATIENCE_S: Final = 60.0
"""A step that takes a second or so and has not ended after this long hangs, seconds."""

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
    seen = observations.with_run_ends()
    tasks = seen.tasks
    stops = stop_times(seen.workers)
    runs, workers = texts_of(tasks, "run"), texts_of(tasks, "worker")
    nodes, videos, status = (texts_of(tasks, name) for name in ("node", "video", "status"))
    failed = np.isfinite(figures(tasks, "t_failed"))
    ends = figures(tasks, "t_run_end")
    zero = tasks.groupby("run")["t_received"].transform("min").to_numpy(dtype=np.float64)
    later = [
        figures(tasks, end)
        for end in ("t_dwnld_start", "t_tc_start", "t_upld_start", "t_completed")
    ]
    reached = np.isfinite(np.array(later)) if len(tasks) else np.zeros((4, 0), dtype=bool)
    found = []
    for begin, end, what in _STEPS:
        first = ("t_dwnld_start", "t_tc_start", "t_upld_start", "t_completed").index(end)
        begun = figures(tasks, begin)
        # What has got further has passed the step, whether its moment was written or not.
        open_still = np.isfinite(begun) & ~reached[first:].any(axis=0) & ~failed
        for i in np.flatnonzero(open_still).tolist():
            if status[i] in (COMPLETED, ERROR):
                continue
            over = min(float(ends[i]), stops.get((runs[i], workers[i]), inf))
            lasted = over - float(begun[i])
            if lasted > PATIENCE_S:
                found.append(
                    HungTask(
                        run=runs[i],
                        worker=workers[i],
                        node=nodes[i],
                        video=videos[i] or "a video",
                        what=what,
                        since_s=float(begun[i] - zero[i]) if np.isfinite(zero[i]) else 0.0,
                        seconds=lasted,
                    )
                )
    return found
