"""The controller's event log, ``tc-events-XY.txt``: its codes, and reading it line by line.

One JSON object a line: ``time`` (seconds since the epoch), ``code``, ``description``, then the
keys of the event; all values are strings. EV1 to EV11 are the existing system's; those from EV20
on are ours, and readers that do not know them skip them.
"""

from __future__ import annotations

from enum import StrEnum


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
    TASK_REQUEUED = "EV24"  # request_id, worker_id, task_id, attempts, reason
    REQUEST_FAILED = "EV25"  # request_id, attempts, error_message
    CONTROLLER_STARTED = "EV26"  # controller_id, policy, fallback, mode, preference, jobs, workers
    WORKER_ADOPTED = "EV27"  # name, worker_id, flavor, node, request_id, task_id
    ORPHAN_REMOVED = "EV28"  # name, worker_id
    EVENT_REFUSED = "EV29"  # event, worker_id, task_id, reason
    CONTROL_SWITCHED = "EV30"  # source (now in charge), reason
    PREFERENCE_CHANGED = "EV31"  # preference
    WORKER_PLACED = "EV32"  # worker_id, node (told by the cloud after EV2)
    WORKER_DRAINING = "EV33"  # worker_id (ordered to end; EV8 follows when it is gone)
