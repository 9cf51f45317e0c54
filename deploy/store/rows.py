"""From rows to records, also where something in a row cannot be: a disk or a hand has erred.

What is not needed to do a job is mended; a job or worker that cannot be gone on with is set aside
as failed or stopped. Nothing of it ends a start or a call.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Final, Protocol

from deploy.store.records import JobRecord, JobState, WorkerRecord, WorkerStatus
from deploy.urgency import NORMAL, PRIORITIES

_LAST_TIME: Final = 2.0**33
"""In the year 2242."""

_JOB_FIELDS: Final = [field.name for field in fields(JobRecord)]
_WORKER_FIELDS: Final = [field.name for field in fields(WorkerRecord)]


_TEXTS: Final = (
    *("worker_id", "task_id", "error_message", "idempotency_key", "fingerprint", "webhook"),
)
"""Of a job, that may be missing."""


class RowLike(Protocol):
    """A row by the names of its columns."""

    def __getitem__(self, name: Any, /) -> Any: ...


class _Row:
    """A row, and what of it had to be changed."""

    def __init__(self, row: RowLike, names: list[str]) -> None:
        self.values = {name: row[name] for name in names}
        self.mended: dict[str, Any] = {}
        self.hopeless: list[str] = []

    def mend(self, name: str, value: Any) -> None:
        self.values[name] = self.mended[name] = value

    def require(self, name: str, good: bool) -> None:
        """Nobody can know what this should have been."""
        if not good:
            self.hopeless.append(f"{name} {self.values[name]!r:.60}")
            kind = "" if name not in ("bitrate", "cpus") else 0
            self.mend(name, kind)

    def text_or_none(self, name: str) -> None:
        value = self.values[name]
        if value is not None and not isinstance(value, str):
            self.mend(name, None)

    def whole(self, name: str) -> None:
        if not is_whole(self.values[name]):
            self.mend(name, 0)

    def times(self, needed: str, now: float) -> None:
        if not is_time(self.values[needed]):
            self.mend(needed, now)
        for name, value in self.values.items():
            if name.startswith("time_") and value is not None and not is_time(value):
                self.mend(name, None)


def is_whole(value: object) -> bool:
    """Whether a value counts something."""
    return isinstance(value, int) and 0 <= value < 2**31


def is_time(value: object) -> bool:
    """Whether a value is seconds since the epoch."""
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value < _LAST_TIME


def job_of(row: RowLike, now: float) -> tuple[JobRecord, dict[str, Any]]:
    """A job, and the columns of its row that had to be changed for it.

    Args:
        row: by the names of the columns.
        now: stands for a time of arrival that cannot be.
    """
    read = _Row(row, _JOB_FIELDS)
    read.times("time_received", now)
    read.whole("attempts")
    for name in _TEXTS:
        read.text_or_none(name)
    for name in ("input_video", "output_video", "speed"):
        read.require(name, isinstance(read.values[name], str))
    if read.values["priority"] not in PRIORITIES:
        read.mend("priority", NORMAL)
    if read.values["deadline"] is not None and not is_time(read.values["deadline"]):
        read.mend("deadline", None)
    bitrate, state = read.values["bitrate"], read.values["state"]
    # A client may have asked for less than nothing: such a job has ended in error at once.
    asked = isinstance(bitrate, int) and state == JobState.ERROR and abs(bitrate) <= 2**31
    read.require("bitrate", asked or is_whole(bitrate))
    read.require("state", read.values["state"] in [*JobState])
    if read.hopeless:
        read.mend("state", JobState.ERROR)
        read.mend("error_message", f"its row in the store is damaged: {', '.join(read.hopeless)}")
    read.values["state"] = JobState(read.values["state"])
    return JobRecord(**read.values), read.mended


def worker_of(row: RowLike, now: float) -> tuple[WorkerRecord, dict[str, Any]]:
    """A worker, and the columns of its row that had to be changed for it; see `job_of`."""
    read = _Row(row, _WORKER_FIELDS)
    read.times("time_created", now)
    read.whole("cpus")
    memory = read.values["memory"]
    if not (isinstance(memory, int | float) and math.isfinite(memory) and memory >= 0):
        read.mend("memory", 0.0)
    for name in ("name", "flavor", "node"):
        read.require(name, isinstance(read.values[name], str))
    read.require("state", read.values["state"] in [*WorkerStatus])
    read.text_or_none("reason")
    if read.hopeless:
        # What carries our mark in the cloud and nobody knows is ended.
        read.mend("state", WorkerStatus.STOPPED)
        read.mend("reason", f"its row in the store is damaged: {', '.join(read.hopeless)}")
    read.values["state"] = WorkerStatus(read.values["state"])
    return WorkerRecord(**read.values), read.mended
