"""How far the tasks in process are, as their workers tell; kept in memory only."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final

_FASTEST: Final = 100_000.0
"""Nothing transcodes so many seconds of video a second: a worker that says so errs."""


@dataclass(frozen=True, slots=True)
class Transcoded:
    """How far a transcode is.

    Attributes:
        percent: of the video, 0..100; none if nobody knows.
        speed: seconds of video a second; none if nobody knows.
    """

    percent: float | None = None
    speed: float | None = None


NOTHING_KNOWN: Final = Transcoded()


class ProgressBoard:
    """The latest word of each worker on its task."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, Transcoded]] = {}  # by worker

    def tell(
        self, worker_id: str, task_id: str, percent: float | None, speed: float | None
    ) -> None:
        """A worker tells; figures that cannot be are left out."""
        known = Transcoded(_within(percent, 100.0), _within(speed, _FASTEST))
        self._of[worker_id] = task_id, known

    def of(self, worker_id: str, task_id: str) -> Transcoded:
        """How far a worker has come with a task."""
        told_of, told = self._of.get(worker_id, ("", NOTHING_KNOWN))
        return told if told_of == task_id else NOTHING_KNOWN

    def forget(self, worker_id: str) -> None:
        """A worker has ended a task, or is gone."""
        self._of.pop(worker_id, None)


def _within(value: float | None, most: float) -> float | None:
    return value if value is not None and isfinite(value) and 0 <= value <= most else None
