"""Workers and requests of one event log, put together from its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Final

from env.errors import EventLogError
from env.event_log import EVENT_KEYS, Event, EventCode, event_moment, place_of, read_events
from env.moments import epoch_text

Row = dict[str, str]
"""Cells of a table by column; times in seconds since the epoch; what is not known is missing."""

_STEPS: Final[Mapping[str, str]] = {
    EventCode.TASK_ASSIGNED: "time_assigned",
    EventCode.TASK_STARTED: "time_started",
    EventCode.FILE_DOWNLOADED: "time_file_downloaded",
    EventCode.TRANSCODING_COMPLETED: "time_transcoding_done",
    EventCode.FILE_UPLOADED: "time_file_uploaded",
}
_ENDS: Final = frozenset(
    {EventCode.WORKER_DESTROYED, EventCode.WORKER_LOST, EventCode.SPAWN_FAILED}
)
_ABOUT_WORKERS: Final = _ENDS | {
    EventCode.WORKER_CREATED,
    EventCode.WORKER_PLACED,
    EventCode.WORKER_REGISTERED,
    EventCode.WORKER_ADOPTED,
}
_READ: Final = _ABOUT_WORKERS | _STEPS.keys() | {EventCode.REQUEST_RECEIVED}


@dataclass
class History:
    """What happened, by id, in the order of the first event.

    Attributes:
        workers: ``worker_id``, ``name``, ``node``, ``cpus``, ``memory`` and ``time_created``,
            ``time_registered``, ``time_destroyed``. A worker that was lost, or could not be
            made, and whose end the cloud did not tell, was destroyed when this was noticed.
        requests: ``request_id``, ``input_video``, ``bitrate``, ``speed``, ``time_received``.
        finished: of each request whose result was uploaded, the task that did it (the last, if
            more than one): ``request_id``, ``worker_id``, ``task_id`` and the times of its steps.
        begin: moment of the first event of these, none if there is none.
    """

    workers: dict[str, Row] = field(default_factory=dict)
    requests: dict[str, Row] = field(default_factory=dict)
    finished: dict[str, Row] = field(default_factory=dict)
    begin: float | None = None
    _tasks: dict[str, Row] = field(default_factory=dict)
    _destroyed: set[str] = field(default_factory=set)

    def take(self, event: Event) -> None:
        """Note one event; codes that are not known are passed over.

        Raises:
            ValueError: a key is missing, or the time is none.
        """
        if event["code"] not in _READ:
            return
        code = EventCode(event["code"])
        moment = event_moment(event)
        if not isfinite(moment):
            raise ValueError(f"{event['time']!r} is no time")
        time = epoch_text(moment)
        self.begin = moment if self.begin is None else self.begin
        for key in EVENT_KEYS[code]:
            if key not in event:
                raise ValueError(f"the key {key!r} is missing")
        if code in _ABOUT_WORKERS:
            self._about_worker(code, event, time)
        elif code is EventCode.REQUEST_RECEIVED:
            keys = ("request_id", "input_video", "bitrate", "speed")
            self.requests[event["request_id"]] = {key: event[key] for key in keys} | {
                "time_received": time
            }
        else:
            self._step(code, event, time)

    def _about_worker(self, code: EventCode, event: Event, time: str) -> None:
        worker_id = event["worker_id"]
        worker = self.workers.setdefault(worker_id, {"worker_id": worker_id})
        for key in ("name", "node", "cpus", "memory"):
            if event.get(key):
                worker[key] = event[key]
        if code is EventCode.WORKER_CREATED:
            worker["time_created"] = time
        elif code is EventCode.WORKER_REGISTERED:
            worker["time_registered"] = time
        elif code in _ENDS and worker_id not in self._destroyed:
            worker["time_destroyed"] = time
            if code is EventCode.WORKER_DESTROYED:
                self._destroyed.add(worker_id)

    def _step(self, code: EventCode, event: Event, time: str) -> None:
        ids = {key: event[key] for key in ("request_id", "worker_id", "task_id")}
        task = self._tasks.setdefault(event["task_id"], ids)
        task[_STEPS[code]] = time
        if code is EventCode.FILE_UPLOADED:
            self.finished[event["request_id"]] = task


def read_history(path: Path) -> History:
    """What an event log, with its parts, tells of its workers and requests.

    Raises:
        EventLogError: the file cannot be read, or a line is no event; names the line.
    """
    history = History()
    for number, event in read_events(path):
        try:
            history.take(event)
        except ValueError as error:
            raise EventLogError(f"{place_of(path, number)}: {error}") from error
    return history
