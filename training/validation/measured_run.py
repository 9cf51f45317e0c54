"""One measured run with all that a replay of it needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import inf, isfinite, nan
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from env.catalog import Catalog, Movie
from env.jobs import SPEEDS, Request, Speed
from training.calibration.observations import COMPLETED, ERROR, Observations, figures, texts
from training.validation.errors import ValidationError
from training.validation.hung import HungTask, hung_rows, hung_tasks
from training.validation.run_trace import RunTrace

Floats = NDArray[np.float64]
TYPICAL_BITRATE_KBPS: Final = 3500
"""Stands in where a table of workers that read kbit/s does not give the asked bitrate."""


@dataclass(frozen=True)
class MeasuredRun:
    """A run of a real system.

    Attributes:
        name: of the run.
        runner: ``vm`` or ``pod``; empty where it is not recorded.
        algorithm: as the run calls it; empty where it is not recorded.
        max_workers: its limit; none where it is not recorded.
        flavor_key: name of the size of most of its tasks' workers; empty if not recorded.
        vcpus: vCPUs of those workers; NaN where no task was given to one.
        sizes: flavor key and vCPUs of the workers that ran tasks, those of most tasks first.
        requests: in order of arrival, the first at 0.
        catalog: their videos.
        trace: what happened, in the same order.
        worker_names: of each worker of the trace.
        worker_nodes: node of each worker of the trace; empty where it is not recorded.
        worker_sizes: flavor key and vCPUs of each worker of the trace; empty and NaN where they
            are not recorded.
        task_workers: name of the worker of each request; empty where there was none.
        until: when the run was stopped, seconds; infinite if all its requests ended, but for
            those that hang.
        bitrate_unit: in which its workers read the asked bitrate.
        hung: its tasks that stopped getting on.
        hung_requests: the requests whose last task did, by index.
    """

    name: str
    runner: str
    algorithm: str
    max_workers: int | None
    flavor_key: str
    vcpus: float
    sizes: tuple[tuple[str, float], ...]
    requests: tuple[Request, ...]
    catalog: Catalog
    trace: RunTrace
    worker_names: tuple[str, ...]
    worker_nodes: tuple[str, ...]
    worker_sizes: tuple[tuple[str, float], ...]
    task_workers: tuple[str, ...]
    until: float
    bitrate_unit: str = ""
    hung: tuple[HungTask, ...] = ()
    hung_requests: frozenset[int] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether every request ended, but for those that hang."""
        return self.until == inf

    @property
    def end(self) -> float:
        """When it was stopped or its last request ended, seconds since the first request."""
        return self.trace.last_end if self.complete else self.until


def measured_runs(observations: Observations) -> list[MeasuredRun]:
    """The runs that have a request, in order of their names.

    Raises:
        ValidationError: a request cannot be replayed (its video or speed is unknown).
    """
    seen = observations.with_run_ends()
    hung = hung_tasks(observations)
    seen = replace(seen, tasks=seen.tasks.assign(hangs=hung_rows(observations)))
    runs = []
    for name in seen.runs:
        tasks = seen.tasks[(seen.tasks["run"] == name) & seen.tasks["t_received"].notna()]
        if len(tasks):
            run = _run(name, tasks, seen.workers[seen.workers["run"] == name])
            runs.append(replace(run, hung=tuple(task for task in hung if task.run == name)))
    if not runs:
        raise ValidationError("no run holds a request: there is nothing to replay")
    return runs


def _run(name: str, tasks: pd.DataFrame, workers: pd.DataFrame) -> MeasuredRun:
    tasks = _last_attempts(tasks).sort_values("t_received", kind="stable")
    workers = workers[workers["t_created"].notna()].sort_values("t_created", kind="stable")
    zero = float(tasks["t_received"].iloc[0])
    received = figures(tasks, "t_received") - zero
    failed = np.array([status == ERROR for status in texts(tasks, "status")])
    completed = np.array([status == COMPLETED for status in texts(tasks, "status")])
    ended = np.where(failed, figures(tasks, "t_failed"), figures(tasks, "t_completed")) - zero
    hangs = tasks["hangs"].to_numpy(dtype=bool)
    over = completed | failed
    sizes = _sizes(tasks)
    key, vcpus = sizes[0] if sizes else ("", nan)
    limits = figures(tasks, "max_workers")
    return MeasuredRun(
        name=name,
        runner=_one(tasks, workers, "runner"),
        algorithm=_one(tasks, workers, "algorithm"),
        max_workers=int(limits[0]) if isfinite(limits[0]) else None,
        flavor_key=key,
        vcpus=vcpus,
        sizes=tuple(sizes),
        requests=tuple(_requests(name, tasks, received)),
        catalog=_catalog(name, tasks),
        trace=RunTrace(
            received=received,
            assigned=figures(tasks, "t_assigned") - zero,
            download_start=figures(tasks, "t_dwnld_start") - zero,
            downloaded=figures(tasks, "t_tc_start") - zero,
            transcoded=figures(tasks, "t_upld_start") - zero,
            ended=ended,
            created=figures(workers, "t_created") - zero,
            ready=figures(workers, "t_available") - zero,
            stopped=figures(workers, "t_stopped") - zero,
        ),
        worker_names=tuple(texts(workers, "worker")),
        worker_nodes=tuple(texts(workers, "node")),
        worker_sizes=tuple(
            zip(texts(workers, "flavor_key"), figures(workers, "vcpus").tolist(), strict=True)
        ),
        task_workers=tuple(texts(tasks, "worker")),
        until=(
            inf if (over | hangs).all() and over.any() else float(tasks["t_run_end"].iloc[0]) - zero
        ),
        bitrate_unit=texts(tasks, "bitrate_unit")[0],
        hung_requests=frozenset(np.flatnonzero(hangs).tolist()),
    )


def _last_attempts(tasks: pd.DataFrame) -> pd.DataFrame:
    """One row for each request: of several tasks for one, the last."""
    named = tasks["request"] != ""
    last = (
        tasks[named]
        .sort_values("t_assigned", kind="stable")
        .drop_duplicates("request", keep="last")
    )
    return pd.concat([tasks[~named], last])


def _one(tasks: pd.DataFrame, workers: pd.DataFrame, column: str) -> str:
    given = [table[column].iloc[0] for table in (tasks, workers) if column in table and len(table)]
    return next((str(text) for text in given if text), "")


def _sizes(tasks: pd.DataFrame) -> list[tuple[str, float]]:
    """Flavor key and vCPUs of the tasks' workers, those of most tasks first."""
    sizes = zip(texts(tasks, "flavor_key"), figures(tasks, "vcpus"), strict=True)
    counts = Counter((key, float(vcpus)) for key, vcpus in sizes if isfinite(vcpus))
    return [size for size, _ in counts.most_common()]


def _requests(name: str, tasks: pd.DataFrame, received: Floats) -> list[Request]:
    requests = []
    for arrival, video, bitrate, speed in zip(
        received,
        texts(tasks, "video"),
        figures(tasks, "bitrate"),
        texts(tasks, "speed"),
        strict=True,
    ):
        kbps = max(1, round(bitrate)) if isfinite(bitrate) else TYPICAL_BITRATE_KBPS
        requests.append(Request(float(arrival), video, kbps, _speed(name, speed)))
    return requests


def _speed(name: str, text: str) -> Speed:
    for speed in SPEEDS:
        if text == speed:
            return speed
    raise ValidationError(f"run {name}: speed {text!r} is none of {', '.join(SPEEDS)}")


def _catalog(name: str, tasks: pd.DataFrame) -> Catalog:
    movies: dict[str, Movie] = {}
    columns = [figures(tasks, c) for c in ("duration_s", "width", "height", "size_bytes")]
    for video, duration, width, height, size in zip(texts(tasks, "video"), *columns, strict=True):
        if not (duration > 0 and width > 0 and height > 0):
            raise ValidationError(f"run {name}: length or frame size of video {video!r} is missing")
        size_bytes = int(size) if size > 0 else None
        movies[video] = Movie(video, float(duration), int(width), int(height), size_bytes)
    return Catalog(name, movies.values())
