"""The controller's event log, ``tc-events-XY.txt``: its codes, and reading it line by line.

One JSON object a line: ``time`` (seconds since the epoch), ``code``, ``description``, then the
keys of the event; all values are strings. EV1 to EV11 are the existing system's; those from EV20
on are ours, and readers that do not know them skip them.

For `deploy.replay` to rebuild every state exactly, all that one event brings about has the same
``time``, in the order in which the cluster took it in; a decision's line (EV20) tells the cluster's
own time without rounding (``cluster_time``); and the line of the controller's start (EV26) holds
the data centre (``profile``, ``catalog``, ``boot_s``, see `deploy.eventlog.world`). Of what an
earlier life left, EV35 and EV36 follow it (see `deploy.eventlog.restored`); times in them are the
cluster's, below 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from env.errors import EventLogError

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
    SHADOW_DECISION = "EV21"  # as EV20: what the policy in the shadow would have done
    SPAWN_FAILED = "EV22"  # worker_id, reason
    WORKER_LOST = "EV23"  # worker_id, reason
    TASK_REQUEUED = "EV24"  # request_id, worker_id, task_id, attempts, reason, fault
    REQUEST_FAILED = "EV25"  # request_id, attempts, reason (refused: it was stored as Error only)
    CONTROLLER_STARTED = "EV26"  # controller_id, policy, fallback, mode, preference, jobs, workers
    WORKER_ADOPTED = "EV27"  # name, worker_id, flavor, node, request_id, task_id
    ORPHAN_REMOVED = "EV28"  # name, worker_id
    EVENT_REFUSED = "EV29"  # event, worker_id, task_id, reason
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
    EventCode.TASK_REQUEUED: (*_TASK, "attempts", "reason"),
    EventCode.REQUEST_FAILED: ("request_id", "attempts", "reason"),
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


def read_events(path: Path) -> Iterator[tuple[int, Event]]:
    """The events of a log with the numbers of their lines (from 1), in the file's order.

    Empty lines are passed over. A last line without its end (the controller was killed, or is
    about to write more) is left out if it is not whole.

    Raises:
        EventLogError: the file cannot be read, or a line is no event; names the line.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                where = f"{path}, line {number}"
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):  # not JSON, not UTF-8, nested without end
                    if not line.endswith(b"\n"):
                        return
                    raise EventLogError(f"{where}: not a JSON object") from None
                yield number, _checked(record, where)
    except OSError as error:
        raise EventLogError(f"cannot read {path}: {error.strerror}") from error


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


def parse_moment(text: str) -> float:
    """Seconds of a moment given as seconds since the epoch or in ISO 8601.

    An ISO moment without a time zone is taken as local time. Empty is not a number
    (it did not happen).

    Raises:
        ValueError: the text is neither.
    """
    text = text.strip()
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()
