"""The tasks that this worker has taken, and what it told of each."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from deploy.worker.controller_link import Report

REMEMBERED: Final = 64
"""A controller that was restarted sends again what it is not sure of: the last task or two."""


class TaskHistory:
    """The last `REMEMBERED` tasks by their id."""

    def __init__(self) -> None:
        self._reports: OrderedDict[str, list[Report]] = OrderedDict()

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._reports

    def add(self, task_id: str) -> None:
        """A new task."""
        self._reports[task_id] = []
        while len(self._reports) > REMEMBERED:
            self._reports.popitem(last=False)

    def note(self, report: Report) -> None:
        """Something was told of a task."""
        reports = self._reports.get(report.task_id)
        if reports is not None:
            reports.append(report)

    def told(self, task_id: str) -> list[Report]:
        """All that was told of a task, in order."""
        return list(self._reports.get(task_id, ()))
