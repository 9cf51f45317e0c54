"""The controller's event log, ``tc-events-XY.txt``: its codes, and reading it line by line.

One JSON object a line: ``time`` (local time without an offset, as the existing system writes it),
``code``, ``description``, the keys of the event, and ``time_epoch`` (seconds since the epoch,
exactly: also where a clock change repeats an hour of local time); all values are strings. EV1 to
EV11 are the existing system's; those from EV20 on are ours, and readers that do not know them skip
them. A log may go on in further files, see `env.log_parts`.

The existing readers take every line with an ``error_message`` for the end of the attempt that its
``task_id`` names, and can do with one line only of EV2, EV8 and EV11 a worker, and of EV1 and EV3
to EV7 a request; what belongs to a failed attempt they leave out. So ``error_message`` stands in
lines with a ``task_id`` only, and in one of each attempt that ended without EV7; what else is a
``reason``; and a line that would be the second is written as EV48 (see `deploy.eventlog.single`).

For `deploy.replay` to rebuild every state exactly, all that one event brings about has the same
``time_epoch``, in the order in which the cluster took it in; a decision's line (EV20) tells the
cluster's own time without rounding (``cluster_time``); and the line of the controller's start
(EV26) holds the data centre (``profile``, ``catalog``, ``boot_s``, see `deploy.eventlog.world`). Of
what an earlier life left, EV35 and EV36 follow it (see `deploy.eventlog.restored`); times in them
are the cluster's, below 0. Where the clock asked again and again and the answer stayed to keep, one
line (EV45) tells of all these decisions (see `deploy.eventlog.keeps`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from env.errors import EventLogError
from env.log_parts import parts_of
from env.moments import parse_moment

Event = dict[str, str]
"""One line: ``time``, ``code``, ``description`` and the event's keys."""


class EventCode(StrEnum):
    """The events and what each line holds beside time, code and description."""

    REQUEST_RECEIVED = "EV1"  # request_id, input_video, bitrate, speed
    WORKER_CREATED = "EV2"  # name, worker_id (ours adds flavor, node)
    TASK_ASSIGNED = "EV3"  # request_id, worker_id, task_id
    TASK_STARTED = "EV4"  # request_id, worker_id, task_id
    FILE_DOWNLOADED = "EV5"  # request_id, worker_id, task_id
    TRANSCODING_COMPLETED = "EV6"  # request_id, worker_id, task_id
    FILE_UPLOADED = "EV7"  # request_id, worker_id, task_id
    WORKER_DESTROYED = "EV8"  # name, worker_id
    TRANSCODING_ERROR = "EV9"  # worker_id, task_id, error_message
    STORAGE_ERROR = "EV10"  # worker_id, task_id, error_message
    WORKER_REGISTERED = "EV11"  # name, worker_id, node, cpus, memory
    DECISION = "EV20"  # source, reason, detail, action, flavor, observation, policy
    SHADOW_DECISION = "EV21"  # as EV20, of the policy in the shadow; repeated: the line before
    SPAWN_FAILED = "EV22"  # worker_id, reason
    WORKER_LOST = "EV23"  # worker_id, reason
    TASK_REQUEUED = "EV24"  # request_id, worker_id, task_id, attempts, reason, error_message, fault
    REQUEST_FAILED = "EV25"  # request_id, attempts, reason (of an attempt: its ids, error_message)
    CONTROLLER_STARTED = "EV26"  # controller_id, policy, fallback, mode, preference, jobs, workers
    WORKER_ADOPTED = "EV27"  # name, worker_id, flavor, node, request_id, task_id
    ORPHAN_REMOVED = "EV28"  # name, worker_id
    EVENT_REFUSED = "EV29"  # event, worker_id, task_id, reason (suppressed: lines left out before)
    CONTROL_SWITCHED = "EV30"  # source (now in charge), reason
    PREFERENCE_CHANGED = "EV31"  # preference
    WORKER_PLACED = "EV32"  # worker_id, node (told by the cloud after EV2)
    WORKER_DRAINING = "EV33"  # worker_id (ordered to end; EV8 follows when it is gone)
    SHADOW_COST = "EV34"  # policy, against, ratio, low, high, requests (simulated, relative)
    JOB_RESTORED = "EV35"  # request_id, input_video, bitrate, speed, arrival, attempts
    WORKER_RESTORED = "EV36"  # name, worker_id, flavor, node, spawned_at, registered, draining
    WORKER_RETIRING = "EV37"  # worker_id (busy, ordered to end after its job; EV33 follows)
    STORAGE_AWAY = "EV38"  # reason (no job is handed out until EV39)
    STORAGE_BACK = "EV39"  # away (seconds)
    JOB_HELD = "EV40"  # request_id, pause (seconds, empty until its input was looked for)
    JOB_RELEASED = "EV41"  # request_id
    WORKER_QUARANTINED = "EV42"  # worker_id, failures (in a row), reason (EV33 follows)
    WORKERS_FAILING = "EV43"  # state ("all fail" or "over"), reason
    DECISIONS_REPEATED = "EV45"  # repeated, source, reason, epochs, observations
    LINES_LOST = "EV46"  # lines, since (that could not be written before this one)
    LOG_CONTINUED = "EV47"  # log, part (the first line of a part)
    LINE_REPEATED = "EV48"  # repeats (a code), and the keys of that code
    ATTEMPT_SUPERSEDED = "EV49"  # request_id, worker_id, task_id, error_message
    JOB_CANCELLED = "EV51"  # request_id, attempts, reason (of an attempt: as EV25)
    JOB_RETRIED = "EV52"  # request_id, input_video, bitrate, speed, attempts (asked for again)
    JOB_URGENCY = "EV53"  # request_id, priority, deadline, head_start, urgent_at (before its EV1)
    CALL_REFUSED = "EV50"  # call, peer, reason (a call that was turned away; suppressed as EV29)


_TASK: Final = ("request_id", "worker_id", "task_id")
_DECISION: Final = ("source", "reason", "detail", "action", "flavor", "observation", "policy")

EVENT_KEYS: Final[Mapping[EventCode, tuple[str, ...]]] = {
    EventCode.REQUEST_RECEIVED: ("request_id", "input_video", "bitrate", "speed"),
    EventCode.WORKER_CREATED: ("name", "worker_id"),
    EventCode.TASK_ASSIGNED: _TASK,
    EventCode.TASK_STARTED: _TASK,
    EventCode.FILE_DOWNLOADED: _TASK,
    EventCode.TRANSCODING_COMPLETED: _TASK,
    EventCode.FILE_UPLOADED: _TASK,
    EventCode.WORKER_DESTROYED: ("name", "worker_id"),
    EventCode.TRANSCODING_ERROR: ("worker_id", "task_id", "error_message"),
    EventCode.STORAGE_ERROR: ("worker_id", "task_id", "error_message"),
    EventCode.WORKER_REGISTERED: ("name", "worker_id", "node", "cpus", "memory"),
    EventCode.DECISION: _DECISION,
    EventCode.SHADOW_DECISION: _DECISION,
    EventCode.SPAWN_FAILED: ("worker_id", "reason"),
    EventCode.WORKER_LOST: ("worker_id", "reason"),
    EventCode.TASK_REQUEUED: (*_TASK, "attempts", "reason", "error_message"),
    EventCode.REQUEST_FAILED: ("request_id", "attempts", "reason"),
    EventCode.JOB_CANCELLED: ("request_id", "attempts", "reason"),
    EventCode.JOB_URGENCY: ("request_id", "priority", "deadline", "head_start", "urgent_at"),
    EventCode.JOB_RETRIED: ("request_id", "input_video", "bitrate", "speed", "attempts"),
    EventCode.CONTROLLER_STARTED: (
        "controller_id",
        "policy",
        "fallback",
        "mode",
        "preference",
        "jobs",
        "workers",
    ),
    EventCode.WORKER_ADOPTED: ("name", "worker_id", "flavor", "node", "request_id", "task_id"),
    EventCode.ORPHAN_REMOVED: ("name", "worker_id"),
    EventCode.EVENT_REFUSED: ("event", "worker_id", "task_id", "reason"),
    EventCode.CALL_REFUSED: ("call", "peer", "reason"),
    EventCode.CONTROL_SWITCHED: ("source", "reason"),
    EventCode.PREFERENCE_CHANGED: ("preference",),
    EventCode.WORKER_PLACED: ("worker_id", "node"),
    EventCode.WORKER_DRAINING: ("worker_id",),
    EventCode.WORKER_RETIRING: ("worker_id",),
    EventCode.JOB_RESTORED: (
        "request_id",
        "input_video",
        "bitrate",
        "speed",
        "arrival",
        "attempts",
    ),
    EventCode.WORKER_RESTORED: (
        "name",
        "worker_id",
        "flavor",
        "node",
        "spawned_at",
        "registered",
        "draining",
    ),
    EventCode.SHADOW_COST: ("policy", "against", "ratio", "low", "high", "requests"),
    EventCode.DECISIONS_REPEATED: ("repeated", "source", "reason", "epochs", "observations"),
    EventCode.LINES_LOST: ("lines", "since"),
    EventCode.LOG_CONTINUED: ("log", "part"),
    EventCode.LINE_REPEATED: ("repeats",),
    EventCode.ATTEMPT_SUPERSEDED: (*_TASK, "error_message"),
    EventCode.STORAGE_AWAY: ("reason",),
    EventCode.STORAGE_BACK: ("away",),
    EventCode.JOB_HELD: ("request_id", "pause"),
    EventCode.JOB_RELEASED: ("request_id",),
    EventCode.WORKER_QUARANTINED: ("worker_id", "failures", "reason"),
    EventCode.WORKERS_FAILING: ("state", "reason"),
}
"""The keys that a line of each code has, in their order; other keys may follow on our codes."""

ADDED_KEYS: Final[Mapping[EventCode, frozenset[str]]] = {
    EventCode.WORKER_CREATED: frozenset({"flavor", "node"}),
}
"""What ours adds to lines of the existing system's codes."""

_DESCRIPTIONS: Final[Mapping[EventCode, str]] = {
    EventCode.REQUEST_RECEIVED: "Request received",
    EventCode.WORKER_CREATED: "Runner created",
    EventCode.TASK_ASSIGNED: "Task assigned",
    EventCode.TASK_STARTED: "Task started",
    EventCode.FILE_DOWNLOADED: "File dowloaded",  # so it is written in the existing system
    EventCode.TRANSCODING_COMPLETED: "Transcoding completed",
    EventCode.FILE_UPLOADED: "File uploaded",
    EventCode.WORKER_DESTROYED: "Runner destroyed",
    EventCode.TRANSCODING_ERROR: "Transcoding error",
    EventCode.STORAGE_ERROR: "Storage error",
    EventCode.WORKER_REGISTERED: "Runner registered",
}


def description_of(code: EventCode) -> str:
    """What a line of this code has as its description: the existing system's words, or ours."""
    return _DESCRIPTIONS.get(code) or code.name.replace("_", " ").capitalize()


def read_events(path: Path) -> Iterator[tuple[int, Event]]:
    """The events of a log, with the parts that continue it, in order.

    Each comes with the number of its line, from 1; the parts are counted on (`place_of` tells
    file and line). Empty lines are passed over. A last line without its end (the controller was
    killed, or is about to write more) is left out if it is not whole. What older logs called
    otherwise has the name of today, and a line that was written as a repetition (EV48) comes as
    what it repeats.

    Raises:
        EventLogError: a file cannot be read, or a line is no event; names the file and line.
    """
    before = 0
    cut_off = ""
    for part in parts_of(path):
        if cut_off:
            raise EventLogError(f"{cut_off}: not a JSON object")
        number = 0
        for number, event in read_file(part):
            if event is None:
                cut_off = f"{part}, line {number}"
            elif event:
                yield before + number, _as_today(event)
        before += number


def read_file(path: Path) -> Iterator[tuple[int, Event | None]]:
    """The lines of one file of a log as they are written, with their numbers, from 1.

    An empty line comes as an empty event, a last one that is not whole as none.

    Raises:
        EventLogError: as `read_events`.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    yield number, {}
                    continue
                where = f"{path}, line {number}"
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):  # not JSON, not UTF-8, nested without end
                    if not line.endswith(b"\n"):
                        yield number, None
                        return
                    raise EventLogError(f"{where}: not a JSON object") from None
                yield number, _checked(record, where)
    except OSError as error:
        raise EventLogError(f"cannot read {path}: {error.strerror}") from error


def place_of(path: Path, number: int) -> str:
    """File and line of a number that `read_events` gave, for messages."""
    for part in parts_of(path):
        try:
            with part.open("rb") as lines:
                length = sum(1 for _ in lines)
        except OSError:
            break
        if number <= length:
            return f"{part}, line {number}"
        number -= length
    return f"{path}, line {number}"


def event_moment(event: Event) -> float:
    """When an event happened, seconds since the epoch; logs of any age.

    Raises:
        ValueError: its time is none.
    """
    return parse_moment(event.get("time_epoch") or event["time"])


def _checked(record: object, where: str) -> Event:
    if not isinstance(record, dict):
        raise EventLogError(f"{where}: not a JSON object")
    for key in ("time", "code"):
        if key not in record:
            raise EventLogError(f"{where}: the key {key!r} is missing")
    for key, value in record.items():
        if not isinstance(value, str):
            raise EventLogError(f"{where}: the value of {key!r} is not a string")
    return record


def _as_today(event: Event) -> Event:
    if event["code"] == EventCode.LINE_REPEATED:
        return event | {"code": event.get("repeats", EventCode.LINE_REPEATED)}
    if event["code"] == EventCode.REQUEST_FAILED and "reason" not in event:
        return event | {"reason": event.get("error_message", "")}
    return event
