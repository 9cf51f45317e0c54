"""The load of each node over time, as a step function.

The load is the number of vCPUs kept busy: ``v**alpha`` for each transcode on v vCPUs
(a worker with less than one vCPU counts as what it has) and `boot_load` for each boot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from env.config import TranscodeTiming
from training.calibration.observations import (
    Observations,
    figures,
    relative_pixels,
    stop_times,
    texts,
)

Floats = NDArray[np.float64]
MIN_ALPHA, MAX_ALPHA = 0.1, 0.9


@dataclass(frozen=True)
class Pieces:
    """A stretch of time cut where the load changes.

    Attributes:
        seconds: length of each piece.
        load: load of the node in each piece.
        limits: vCPUs that the transcodes on the node may use together, in each piece; none where
            nobody asks for it.
    """

    seconds: Floats
    load: Floats
    limits: Floats | None = None

    @property
    def mean_load(self) -> float:
        """Time average of the load."""
        return float(np.average(self.load, weights=self.seconds))


class LoadHistory:
    """Load of one node in one run: the sum of weighted intervals.

    Args:
        starts, ends: when each contribution begins and ends, seconds, shape (n,).
        weights: by how much it raises the load, shape (n,).
        limits: vCPUs that it may use, likewise; by default nobody asks for them.
    """

    def __init__(
        self, starts: Floats, ends: Floats, weights: Floats, limits: Floats | None = None
    ) -> None:
        times = np.concatenate([starts, ends])
        self._times, place = np.unique(times, return_inverse=True)

        def level(steps: Floats) -> Floats:
            change = np.bincount(place, weights=np.concatenate([steps, -steps]))
            return np.asarray(np.cumsum(change))

        self._level = level(weights)
        self._limits = None if limits is None else level(limits)

    def between(self, start: float, end: float) -> Pieces:
        """The load from `start` to `end` (later than `start`)."""
        first = int(np.searchsorted(self._times, start, side="right"))
        last = int(np.searchsorted(self._times, end, side="left"))
        cuts = np.concatenate([[start], self._times[first:last], [end]])

        def cut(level: Floats) -> Floats:
            return np.concatenate([[0.0], level])[first : last + 1]

        limits = None if self._limits is None else cut(self._limits)
        return Pieces(np.diff(cuts), cut(self._level), limits)


def parallel_alpha(pixels: Floats, law: TranscodeTiming) -> Floats:
    """Exponent of the speed-up, by frame size in units of 1920x1080."""
    alpha = law.parallel_exponent + law.parallel_slope * np.log(pixels)
    return np.asarray(np.clip(alpha, MIN_ALPHA, MAX_ALPHA))


def speedup(vcpus: Floats, pixels: Floats, law: TranscodeTiming) -> Floats:
    """Speed relative to one vCPU; below one vCPU, the vCPUs themselves."""
    return np.asarray(
        np.where(vcpus < 1, vcpus, np.maximum(vcpus, 1.0) ** parallel_alpha(pixels, law))
    )


def node_histories(
    observations: Observations, law: TranscodeTiming, boot_load: float
) -> Mapping[tuple[str, str], LoadHistory]:
    """The load of every node that a worker is known to have run on, by (run, node).

    A task without an end loads its node until its worker stops or the run ends, a
    worker that never became available until it stops or the run ends.

    Args:
        observations: measured runs.
        law: for the speed-up of a transcode on several vCPUs.
        boot_load: load of a booting worker, vCPUs.
    """
    seen = observations.with_run_ends()
    tasks, workers = seen.tasks, seen.workers
    tasks = tasks[tasks["t_tc_start"].notna() & (tasks["node"] != "")]
    workers = workers[workers["t_created"].notna() & (workers["node"] != "")]
    stops = stop_times(seen.workers)
    stopped = pd.Series(
        [
            stops.get(key, np.nan)
            for key in zip(texts(tasks, "run"), texts(tasks, "worker"), strict=True)
        ],
        index=tasks.index,
        dtype=float,
    )
    one = pd.DataFrame(
        {
            "run": tasks["run"],
            "node": tasks["node"],
            "start": tasks["t_tc_start"],
            "end": tasks["t_upld_start"]
            .fillna(tasks["t_failed"])
            .fillna(stopped)
            .fillna(tasks["t_run_end"]),
            "weight": speedup(figures(tasks, "vcpus"), relative_pixels(tasks), law),
            "limit": figures(tasks, "vcpus"),
        }
    )
    two = pd.DataFrame(
        {
            "run": workers["run"],
            "node": workers["node"],
            "start": workers["t_created"],
            "end": workers["t_available"].fillna(workers["t_stopped"]).fillna(workers["t_run_end"]),
            "weight": boot_load,
            "limit": 0.0,
        }
    )
    every = pd.concat([one, two])
    every = every[(every["end"] > every["start"]) & every["weight"].notna()]
    return {
        (str(run), str(node)): LoadHistory(
            figures(rows, "start"),
            figures(rows, "end"),
            figures(rows, "weight"),
            figures(rows, "limit"),
        )
        for (run, node), rows in every.groupby(["run", "node"])
    }


def loads(
    histories: Mapping[tuple[str, str], LoadHistory], table: pd.DataFrame, start: str, end: str
) -> list[Pieces]:
    """The load of each row's node between two of its moments.

    Args:
        histories: of the nodes.
        table: rows with the columns ``run`` and ``node``; where the node is unknown the
            row is taken to have been alone.
        start: column with the first moment.
        end: column with the last moment.
    """
    pieces = []
    for run, node, first, last in zip(
        texts(table, "run"),
        texts(table, "node"),
        figures(table, start),
        figures(table, end),
        strict=True,
    ):
        if node:
            pieces.append(histories[run, node].between(float(first), float(last)))
        else:
            pieces.append(Pieces(np.array([last - first]), np.ones(1)))
    return pieces
