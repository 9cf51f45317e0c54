"""Runs in the controller's own event logs, ``tc-events-XY.txt``: one JSON object a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from env.catalog import Catalog
from env.errors import EventLogError
from env.event_log import Event, EventCode, event_moment, place_of, read_events
from training.calibration.bitrate_unit import KBIT
from training.calibration.checks import check_tasks, check_workers
from training.calibration.errors import CalibrationError
from training.calibration.facts import add_video_facts
from training.calibration.observations import (
    CANCELLED,
    COMPLETED,
    ERROR,
    UNFINISHED,
    Observations,
    tidy,
)
from training.calibration.quantities import parse_cpus

Row = dict[str, Any]

STEP_OF_CODE: Final[dict[str, str]] = {
    EventCode.TASK_ASSIGNED: "t_assigned",
    EventCode.TASK_STARTED: "t_dwnld_start",
    EventCode.FILE_DOWNLOADED: "t_tc_start",
    EventCode.TRANSCODING_COMPLETED: "t_upld_start",
    EventCode.FILE_UPLOADED: "t_completed",
}
"""Moments of a task by the code of the event that marks them."""

_LINES: Final = "lines"
"""Key of a row under which it keeps the line that told each of its columns."""


def read_event_log(path: Path, catalog: Catalog) -> Observations:
    """Read one log, with the parts that continue it, as one run, named for the file.

    A last line that was cut off (the controller was killed) is left out; so are requests that
    failed before any worker had them.

    Args:
        path: the log.
        catalog: gives length, frame size and file size of the videos.

    Raises:
        CalibrationError: a line is not an event, says what another has said, or tells what
            cannot be (see `training.calibration.checks`), or the catalog lacks a video; the
            message names the line.
    """
    run = _Run()
    told: dict[frozenset[tuple[str, str]], int] = {}
    try:
        for number, event in read_events(path):
            try:
                if run.take(event, number):
                    first = told.setdefault(frozenset(event.items()), number)
                    if first != number:
                        raise CalibrationError(
                            f"{place_of(path, number)}: says the same as line {first}: "
                            "remove one of them"
                        )
            except (KeyError, ValueError) as error:
                what = f"the key {error}" if isinstance(error, KeyError) else str(error)
                message = f"{place_of(path, number)}: {what} is missing or wrong"
                raise CalibrationError(message) from None
    except EventLogError as error:
        raise CalibrationError(str(error)) from error
    tasks, workers = run.tables()
    if tasks.empty:
        raise CalibrationError(f"{path}: no request in it, so nothing to calibrate from")
    lines = {"tasks": tasks.pop(_LINES).tolist(), "workers": workers.pop(_LINES).tolist()}
    tasks = add_video_facts(tasks, catalog, str(path))
    observations = tidy(tasks.assign(run=path.stem), workers.assign(run=path.stem))

    def where(table: str) -> Callable[[int, str], str]:
        def place(row: int, column: str) -> str:
            told_by = lines[table][row]
            number = told_by.get(column, max(told_by.values()))
            return f"{place_of(path, number)}, {column!r}"

        return place

    check_workers(observations.workers, where("workers"))
    described = observations.workers
    if run.lines_lost:  # what is missing may have described them
        described = pd.concat([described, observations.tasks[["run", "worker"]]])
    check_tasks(observations.tasks, described, where("tasks"))
    return observations


@dataclass
class _Run:
    """Requests, tasks and workers as far as the events told."""

    requests: dict[str, Row] = field(default_factory=dict)
    tasks: dict[str, Row] = field(default_factory=dict)
    workers: dict[str, Row] = field(default_factory=dict)
    bitrate_unit: str = ""
    lines_lost: bool = False
    _line: int = 0

    def take(self, event: Event, line: int) -> bool:
        """Record one event, and say whether it told anything about timing.

        Args:
            event: the next one.
            line: its number.
        """
        code, moment = event["code"], event_moment(event)
        self._line = line
        steps: dict[str, Callable[[Event, float], None]] = {
            EventCode.REQUEST_RECEIVED: self._received,
            EventCode.WORKER_CREATED: self._created,
            EventCode.WORKER_DESTROYED: self._destroyed,
            EventCode.TRANSCODING_ERROR: self._failed,
            EventCode.STORAGE_ERROR: self._failed,
            EventCode.REQUEST_FAILED: self._given_up,
            EventCode.JOB_CANCELLED: self._cancelled,
            EventCode.WORKER_REGISTERED: self._registered,
            EventCode.WORKER_ADOPTED: self._found,
            EventCode.WORKER_RESTORED: self._found,
            EventCode.CONTROLLER_STARTED: self._started,
            EventCode.LINES_LOST: self._lost,
        }
        if code in steps:
            steps[code](event, moment)
        elif code in STEP_OF_CODE:
            self._step(event, moment)
        return code in steps or code in STEP_OF_CODE

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tasks, requests that never became one, and workers.

        A task whose request is in an earlier log has no video: it loads its node, no more.
        """
        rows: list[Row] = []
        for task in self.tasks.values():
            worker = self.workers.get(task["worker"], {})
            row: Row = {key: worker[key] for key in ("node", "vcpus") if key in worker}
            request = self.requests.get(task["request"], {})
            lines = {**request.get(_LINES, {}), **task[_LINES]}
            rows.append(row | request | task | {_LINES: lines})
        begun = {task["request"] for task in self.tasks.values()}
        rows += [row for key, row in self.requests.items() if key not in begun]
        tasks = pd.DataFrame(rows, columns=None if rows else ["video", _LINES])
        tasks = tasks.fillna({"video": ""}).assign(bitrate_unit=self.bitrate_unit)
        workers = list(self.workers.values())
        return tasks, pd.DataFrame(workers, columns=None if workers else [_LINES])

    def _started(self, event: Event, moment: float) -> None:
        # Only our controller writes this line, and our workers read kbit/s unless it says other.
        self.bitrate_unit = event.get("bitrate_unit", KBIT)

    def _received(self, event: Event, moment: float) -> None:
        self.requests[event["request_id"]] = {
            "request": event["request_id"],
            "video": event["input_video"],
            "bitrate": float(event["bitrate"]),
            "speed": event["speed"],
            "status": UNFINISHED,
            "t_received": moment,
            _LINES: {"bitrate": self._line, "t_received": self._line},
        }

    def _created(self, event: Event, moment: float) -> None:
        self._worker(event, "t_created")["t_created"] = moment

    def _registered(self, event: Event, moment: float) -> None:
        worker = self._worker(event, "t_available")
        worker.update(t_available=moment, node=event["node"], vcpus=parse_cpus(event["cpus"]))

    def _destroyed(self, event: Event, moment: float) -> None:
        self._worker(event, "t_stopped")["t_stopped"] = moment

    def _found(self, event: Event, moment: float) -> None:
        # Of an earlier life of the controller: how it booted stands in another log.
        self._worker(event, "node").setdefault("node", event["node"])

    def _lost(self, event: Event, moment: float) -> None:
        self.lines_lost = True

    def _worker(self, event: Event, column: str) -> Row:
        key = event["worker_id"]
        worker = self.workers.setdefault(key, {"worker": key, _LINES: {}})
        worker[_LINES][column] = self._line
        return worker

    def _step(self, event: Event, moment: float) -> None:
        task = self.tasks.setdefault(
            event["task_id"],
            {
                "request": event["request_id"],
                "worker": event["worker_id"],
                "status": UNFINISHED,
                _LINES: {"worker": self._line},
            },
        )
        task[STEP_OF_CODE[event["code"]]] = moment
        task[_LINES][STEP_OF_CODE[event["code"]]] = self._line
        if event["code"] == EventCode.FILE_UPLOADED:
            task["status"] = COMPLETED
            if "output_size" in event:
                task["output_bytes"] = float(event["output_size"])

    def _given_up(self, event: Event, moment: float) -> None:
        # One that no worker ever had took no time, and may ask for what no catalog knows.
        key = event["request_id"]
        if all(task["request"] != key for task in self.tasks.values()):
            self.requests.pop(key, None)

    def _cancelled(self, event: Event, moment: float) -> None:
        task = self.tasks.get(event.get("task_id", ""))
        if task is None:
            self._given_up(event, moment)
        else:
            task["status"] = CANCELLED
            task["t_failed"] = moment

    def _failed(self, event: Event, moment: float) -> None:
        task = self.tasks.get(event["task_id"])
        if task is not None:
            task["status"] = ERROR
            task["t_failed"] = moment
