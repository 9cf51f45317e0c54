"""What no measured run can hold: refused with its place, before any figure is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import pandas as pd

from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS
from training.calibration.errors import CalibrationError
from training.calibration.observations import figures, texts

Where = Callable[[int, str], str]
"""The place of a row's cell, for people: of the row's number and the column."""

_STEPS: Final = (
    "t_received",
    "t_assigned",
    "t_dwnld_start",
    "t_tc_start",
    "t_upld_start",
    "t_completed",
)
_LIFE: Final = ("t_created", "t_available", "t_stopped")
_CLOCKS_S: Final = 0.5
"""Moments that two clocks took may cross by so much."""
_BEYOND: Final = 10.0
"""A bitrate so many times outside the contract's is in another unit."""


def check_tasks(tasks: pd.DataFrame, workers: pd.DataFrame, where: Where) -> None:
    """Refuse tasks that cannot be.

    Args:
        tasks: as in `Observations`.
        workers: of the same runs.
        where: of a task's cell.

    Raises:
        CalibrationError: a step ends before it begins, a bitrate is in another unit than
            kbit/s, or a task is of a worker that no row describes.
    """
    _check_order(tasks, _STEPS, where)
    low, high = MIN_BITRATE_KBPS / _BEYOND, MAX_BITRATE_KBPS * _BEYOND
    for i, bitrate in enumerate(figures(tasks, "bitrate").tolist()):
        if bitrate == bitrate and not low <= bitrate <= high:
            raise CalibrationError(
                f"{where(i, 'bitrate')}: {bitrate:g} kbit/s is far outside "
                f"{MIN_BITRATE_KBPS} to {MAX_BITRATE_KBPS}: give kbit/s"
            )
    known = set(zip(texts(workers, "run"), texts(workers, "worker"), strict=True))
    for i, key in enumerate(zip(texts(tasks, "run"), texts(tasks, "worker"), strict=True)):
        if key[1] and key not in known:
            raise CalibrationError(
                f"{where(i, 'worker')}: no row describes worker {key[1]!r} of run {key[0]!r}"
            )


def check_workers(workers: pd.DataFrame, where: Where) -> None:
    """Refuse workers that cannot be.

    Raises:
        CalibrationError: one is described twice, or was ready or ended before it was created.
    """
    seen: set[tuple[str, str]] = set()
    for i, key in enumerate(zip(texts(workers, "run"), texts(workers, "worker"), strict=True)):
        if key in seen:
            raise CalibrationError(
                f"{where(i, 'worker')}: worker {key[1]!r} of run {key[0]!r} is described twice"
            )
        seen.add(key)
    _check_order(workers, _LIFE, where)


def _check_order(table: pd.DataFrame, columns: Sequence[str], where: Where) -> None:
    moments = [figures(table, column).tolist() for column in columns]
    for i, row in enumerate(zip(*moments, strict=True)):
        latest, since = row[0], columns[0]
        for column, moment in zip(columns[1:], row[1:], strict=True):
            if moment < latest - _CLOCKS_S:
                raise CalibrationError(
                    f"{where(i, column)}: {latest - moment:.3f} s before {since}: "
                    "a step cannot end before it begins"
                )
            if moment == moment:
                latest, since = moment, column
