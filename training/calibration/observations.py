"""Measured runs as two tables: one row for each task, one for each worker."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from env.timing import FULL_HD_MEGAPIXELS
from training.calibration.errors import CalibrationError

Floats = NDArray[np.float64]
COMPLETED: Final = "completed"
ERROR: Final = "error"
CANCELLED: Final = "cancelled"
UNFINISHED: Final = "unfinished"

_TASK_TEXTS: Final = (
    "run",
    "runner",
    "algorithm",
    "flavor_key",
    "video",
    "speed",
    "status",
    "node",
    "worker",
    "request",
    "bitrate_unit",
)
_TASK_FIGURES: Final = (
    "max_workers",
    "duration_s",
    "width",
    "height",
    "size_bytes",
    "bitrate",
    "output_bytes",
    "vcpus",
    "t_received",
    "t_assigned",
    "t_dwnld_start",
    "t_tc_start",
    "t_upld_start",
    "t_completed",
    "t_failed",
)
_WORKER_TEXTS: Final = ("run", "runner", "flavor_key", "worker", "node")
_WORKER_FIGURES: Final = ("vcpus", "t_created", "t_available", "t_stopped")


@dataclass(frozen=True)
class Observations:
    """What was measured; times in seconds since any moment that a run shares.

    Attributes:
        tasks: one row for each task, and for each request that never became one. Texts
            ``run, runner, algorithm, flavor_key, video, speed, status, node, worker,
            request, bitrate_unit`` (status is `COMPLETED`, `ERROR`, `CANCELLED` or
            `UNFINISHED`; empty where unknown; the unit is that in which workers read the asked
            bitrate, see `training.calibration.bitrate_unit`); figures ``max_workers,
            duration_s, width, height, size_bytes, bitrate`` (asked, kbit/s)
            ``, output_bytes, vcpus`` and the moments ``t_received, t_assigned,
            t_dwnld_start, t_tc_start, t_upld_start, t_completed, t_failed`` (NaN: did not
            happen, or was not recorded).
        workers: one row for each worker: texts ``run, runner, flavor_key, worker, node``; figures
            ``vcpus, t_created, t_available, t_stopped``.
    """

    tasks: pd.DataFrame
    workers: pd.DataFrame

    @property
    def runs(self) -> list[str]:
        """Names of the runs."""
        return sorted({*self.tasks["run"], *self.workers["run"]})

    def only(self, runner: str) -> Observations:
        """The runs of one kind of worker, ``vm`` or ``pod``.

        Raises:
            CalibrationError: there is none.
        """
        chosen = Observations(
            self.tasks[self.tasks["runner"] == runner].reset_index(drop=True),
            self.workers[self.workers["runner"] == runner].reset_index(drop=True),
        )
        if chosen.tasks.empty:
            known = sorted({*self.tasks["runner"]} - {""})
            raise CalibrationError(
                f"no task ran on a worker of kind {runner!r}: "
                + (f"the input has {', '.join(known)}" if known else "the input does not say")
            )
        return chosen

    def of(self, runs: Collection[str]) -> Observations:
        """These runs alone.

        Raises:
            CalibrationError: one of them is not among the runs.
        """
        for run in runs:
            if run not in self.runs:
                raise CalibrationError(f"there is no run {run!r}: known: {', '.join(self.runs)}")
        return Observations(
            self.tasks[self.tasks["run"].isin(runs)].reset_index(drop=True),
            self.workers[self.workers["run"].isin(runs)].reset_index(drop=True),
        )

    def without(self, runs: Collection[str]) -> Observations:
        """All runs but these.

        Raises:
            CalibrationError: one of them is not among the runs.
        """
        self.of(runs)
        return self.of([run for run in self.runs if run not in runs])

    def with_run_ends(self) -> Observations:
        """Add the column ``t_run_end`` to both tables: the last moment seen in each run."""
        moments = [
            table.groupby("run")[[c for c in table if str(c).startswith("t_")]].max().max(axis=1)
            for table in (self.tasks, self.workers)
        ]
        end = pd.concat(moments, axis=1).max(axis=1)
        return replace(
            self,
            tasks=self.tasks.assign(t_run_end=self.tasks["run"].map(end).astype(float)),
            workers=self.workers.assign(t_run_end=self.workers["run"].map(end).astype(float)),
        )


def tidy(tasks: pd.DataFrame, workers: pd.DataFrame) -> Observations:
    """Put two tables into the columns and types of `Observations`; absent columns are empty."""
    return Observations(
        _typed(tasks, _TASK_TEXTS, _TASK_FIGURES), _typed(workers, _WORKER_TEXTS, _WORKER_FIGURES)
    )


def combine(parts: Iterable[Observations]) -> Observations:
    """One set of observations from several.

    Raises:
        CalibrationError: two of them name a run alike.
    """
    parts = list(parts)
    seen: set[str] = set()
    for part in parts:
        twice = seen & set(part.runs)
        if twice:
            raise CalibrationError(f"run {sorted(twice)[0]!r} is given twice: pass each run once")
        seen |= set(part.runs)
    return Observations(
        pd.concat([part.tasks for part in parts], ignore_index=True),
        pd.concat([part.workers for part in parts], ignore_index=True),
    )


def figures(table: pd.DataFrame, column: str) -> Floats:
    """A column of figures, shape (n,)."""
    return table[column].to_numpy(dtype=np.float64)


def texts(table: pd.DataFrame, column: str) -> list[str]:
    """A column of texts."""
    return [str(text) for text in table[column]]


def relative_pixels(tasks: pd.DataFrame) -> Floats:
    """Frame size of each task's video, in units of 1920x1080, shape (n,)."""
    return figures(tasks, "width") * figures(tasks, "height") / 1e6 / FULL_HD_MEGAPIXELS


def source_mbps(tasks: pd.DataFrame) -> Floats:
    """Bitrate of each task's source file, Mbit/s; NaN where its size is unknown."""
    return figures(tasks, "size_bytes") * 8e-6 / figures(tasks, "duration_s")


def stop_times(workers: pd.DataFrame) -> dict[tuple[str, str], float]:
    """When each worker that was stopped was, by (run, worker)."""
    rows = zip(
        texts(workers, "run"), texts(workers, "worker"), figures(workers, "t_stopped"), strict=True
    )
    return {(run, worker): float(stop) for run, worker, stop in rows if np.isfinite(stop)}


def _typed(table: pd.DataFrame, texts: Iterable[str], figures: Iterable[str]) -> pd.DataFrame:
    columns: dict[str, pd.Series] = {}
    for name in texts:
        given = table[name] if name in table else pd.Series("", index=table.index)
        columns[name] = given.astype(object).where(given.notna(), "").astype(str)
    for name in figures:
        given = table[name] if name in table else pd.Series(np.nan, index=table.index)
        columns[name] = pd.to_numeric(given, errors="coerce").astype(float)
    return pd.DataFrame(columns, index=table.index).reset_index(drop=True)
