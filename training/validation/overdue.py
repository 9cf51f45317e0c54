"""Transcodes that run on and on: what never ends has no measured time.

Without them a cluster whose workers hang would look like one with little to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from env.config import Profile
from training.calibration.observations import Observations, figures, stop_times, texts
from training.calibration.transcode_law import describe_transcodes, expected_s, has_facts
from training.validation.provenance import throttle_of

OVERDUE_SIGMAS: Final = 4.0
"""A transcode is overdue when it has run longer than expected by so many deviations."""


@dataclass(frozen=True)
class OverdueTranscode:
    """One of them.

    Attributes:
        run, worker, node, video: which.
        since_s: when it began, seconds after the run's first request.
        seconds: how long it had run when its worker, or the run, ended.
        expected_s: how long the profile expects it to take under the load of its node.
    """

    run: str
    worker: str
    node: str
    video: str
    since_s: float
    seconds: float
    expected_s: float

    def __str__(self) -> str:
        where = f" on {self.node}" if self.node else ""
        return (
            f"{self.worker or 'a worker'}{where}: {self.video or 'a video'} was being transcoded "
            f"for {self.seconds:.0f} s (from {self.since_s:.0f} s on) and had not ended, "
            f"{self.expected_s:.0f} s expected"
        )


def overdue_transcodes(
    observations: Observations, profile: Profile, *, cores: float, spread: float
) -> tuple[list[OverdueTranscode], int]:
    """Transcodes that ran, unfinished, far longer than expected; and how many were begun.

    Args:
        observations: the runs.
        profile: what is expected.
        cores: of a node.
        spread: deviation of the logarithm of the time, with how much runs differ.
    """
    timing = profile.timing
    tasks = observations.with_run_ends().tasks
    begun = tasks["t_tc_start"].notna() & has_facts(tasks)
    still = tasks[begun & tasks["t_upld_start"].isna() & tasks["t_failed"].isna()]
    stops = stop_times(observations.workers)
    stopped = [
        min(end, stops.get(key, inf))
        for key, end in zip(
            zip(texts(still, "run"), texts(still, "worker"), strict=True),
            figures(still, "t_run_end"),
            strict=True,
        )
    ]
    still = still.assign(t_upld_start=stopped)
    still = still[still["t_upld_start"] > still["t_tc_start"]]
    if still.empty:
        return [], int(begun.sum())
    sample = describe_transcodes(observations, still, timing.transcode, timing.contention)
    expected = expected_s(sample, timing.transcode, timing.contention, cores, throttle_of(profile))
    late = np.flatnonzero(np.log(sample.seconds / expected) > OVERDUE_SIGMAS * spread).tolist()
    first = observations.tasks.groupby("run")["t_received"].min()
    zero = np.nan_to_num(still["run"].map(first).to_numpy(dtype=np.float64))
    since = figures(still, "t_tc_start") - zero
    runs, workers, nodes, videos = (
        texts(still, name) for name in ("run", "worker", "node", "video")
    )
    return [
        OverdueTranscode(
            run=runs[i],
            worker=workers[i],
            node=nodes[i],
            video=videos[i],
            since_s=float(since[i]),
            seconds=float(sample.seconds[i]),
            expected_s=float(expected[i]),
        )
        for i in late
    ], int(begun.sum())
