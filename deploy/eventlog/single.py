"""What the existing readers can take only once in a file is written once.

They make a table of workers by EV2, EV8 and EV11, and one of requests by EV1 and EV3 to EV7: a
second line of one code for one worker or request ends them with an error, unless an
``error_message`` has told before that the attempt failed: then they leave the request out. Whatever
the controller has to tell (a worker that the cloud brings back, a job that is run again after a
store was restored, a second life that writes to the same file), here it is brought into that form.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from env.event_log import EventCode

Keys = Mapping[str, str]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_OF_WORKERS: Final = frozenset(
    (EventCode.WORKER_CREATED, EventCode.WORKER_DESTROYED, EventCode.WORKER_REGISTERED)
)
_OF_TASKS: Final = frozenset(
    (
        EventCode.TASK_ASSIGNED,
        EventCode.TASK_STARTED,
        EventCode.FILE_DOWNLOADED,
        EventCode.TRANSCODING_COMPLETED,
        EventCode.FILE_UPLOADED,
    )
)
_REMEMBERED: Final = 50_000
"""So many workers, requests and tasks are remembered, the latest: memory has an end."""


@dataclass(slots=True)
class _Attempt:
    """The latest attempt of a request that the file tells of."""

    task_id: str
    worker_id: str
    codes: set[EventCode] = field(default_factory=set)
    failed: bool = False


class SingleLines:
    """What one file of a log has told of each worker and request."""

    def __init__(self) -> None:
        self._workers: OrderedDict[tuple[str, EventCode], None] = OrderedDict()
        self._received: OrderedDict[str, None] = OrderedDict()
        self._attempts: OrderedDict[str, _Attempt] = OrderedDict()
        self._requests: OrderedDict[str, str] = OrderedDict()  # by task

    def lines(self, code: EventCode, keys: Keys) -> list[tuple[EventCode, Keys]]:
        """What to write to tell of an event."""
        line = (code, keys)
        repeated = (EventCode.LINE_REPEATED, {"repeats": str(code), **keys})
        if code in _OF_WORKERS:
            return [repeated if (keys["worker_id"], code) in self._workers else line]
        if code is EventCode.REQUEST_RECEIVED:
            return [repeated if keys["request_id"] in self._received else line]
        attempt = self._attempts.get(keys["request_id"]) if code in _OF_TASKS else None
        if attempt is None:
            return [line]
        if attempt.task_id == keys["task_id"]:
            return [repeated if code in attempt.codes else line]
        if attempt.failed:
            return [line]
        superseded = {
            "request_id": keys["request_id"],
            "worker_id": attempt.worker_id,
            "task_id": attempt.task_id,
            "error_message": "another attempt followed",
        }
        return [(EventCode.ATTEMPT_SUPERSEDED, superseded), line]

    def note(self, code: EventCode, keys: Keys) -> None:
        """A line is in the file."""
        if code in _OF_WORKERS:
            _put(self._workers, (keys["worker_id"], code), None)
        elif code is EventCode.REQUEST_RECEIVED:
            _put(self._received, keys["request_id"], None)
        elif code in _OF_TASKS:
            request_id, task_id = keys["request_id"], keys["task_id"]
            attempt = self._attempts.get(request_id)
            if attempt is None or attempt.task_id != task_id:
                attempt = _Attempt(task_id, keys["worker_id"])
                _put(self._attempts, request_id, attempt)
                _put(self._requests, task_id, request_id)
            attempt.codes.add(code)
        elif "error_message" in keys and "task_id" in keys:
            request = self._requests.get(keys["task_id"], "")
            failed = self._attempts.get(request)
            if failed is not None and failed.task_id == keys["task_id"]:
                failed.failed = True


def _put(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
