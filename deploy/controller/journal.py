"""How each step is written down: in the store, and in the event log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deploy.steps import (
    AllFail,
    AllFailOver,
    Assign,
    Cancelled,
    Decided,
    Downloaded,
    Failed,
    Gone,
    Held,
    Lost,
    Placed,
    Quarantined,
    Registered,
    Released,
    Requeued,
    Retire,
    Spawn,
    SpawnFailed,
    Step,
    Stop,
    StorageAway,
    StorageBack,
    Transcoded,
    Uploaded,
    Withdrawn,
)
from deploy.store.records import (
    Change,
    FailureRecord,
    JobChange,
    JobState,
    WorkerChange,
    WorkerRecord,
    WorkerStatus,
)
from deploy.tasks import Fault
from env.actions import ActionKind
from env.cluster import Cluster
from env.event_log import EventCode

Keys = dict[str, str | int | float]
Line = tuple[EventCode, Mapping[str, str | int | float]]
"""One line of the event log."""

NO_ATTEMPT: Final = {
    "worker_id": None,
    "task_id": None,
    "time_assigned": None,
    "time_started": None,
    "time_downloaded": None,
    "time_transcoded": None,
}
"""What the store knows of a job that has no attempt under way."""


def changes_of(step: Step, moment: float) -> list[Change]:
    """What a step changes in the store; `moment` in seconds since the epoch."""
    match step:
        case Spawn(worker_id, name, flavor, node):
            record = WorkerRecord(
                worker_id, name, flavor.name, node, flavor.vcpus, flavor.ram_gib, moment
            )
            return [record]
        case Registered(worker_id):
            return [_worker(worker_id, WorkerStatus.IDLE, time_registered=moment)]
        case Assign(job_id, worker_id, task_id, attempts):
            values = NO_ATTEMPT | {
                "state": JobState.STARTED,
                "attempts": attempts,
                "worker_id": worker_id,
                "task_id": task_id,
                "time_assigned": moment,
            }
            return [JobChange(job_id, values), _worker(worker_id, WorkerStatus.DOWNLOADING)]
        case Downloaded(job_id, worker_id):
            return [
                JobChange(job_id, {"time_downloaded": moment}),
                _worker(worker_id, WorkerStatus.TRANSCODING),
            ]
        case Transcoded(job_id, worker_id):
            return [
                JobChange(job_id, {"time_transcoded": moment}),
                _worker(worker_id, WorkerStatus.UPLOADING),
            ]
        case Uploaded(job_id, worker_id):
            return [
                _ended(job_id, JobState.COMPLETED, moment, time_uploaded=moment),
                _worker(worker_id, WorkerStatus.IDLE),
            ]
        case Requeued(job_id, worker_id):
            return [
                JobChange(job_id, NO_ATTEMPT | {"state": JobState.WAITING}),
                _worker(worker_id, WorkerStatus.IDLE),
                *_failure(step, moment),
            ]
        case Failed(job_id, worker_id, _, _, reason):
            return [
                _ended(job_id, JobState.ERROR, moment, error_message=reason),
                _worker(worker_id, WorkerStatus.IDLE),
            ]
        case Withdrawn(job_id, _, reason):
            return [_ended(job_id, JobState.ERROR, moment, error_message=reason)]
        case Cancelled(job_id, worker_id, _, _, reason):
            free = [_worker(worker_id, WorkerStatus.IDLE)] if worker_id else []
            return [_ended(job_id, JobState.CANCELLED, moment, error_message=reason), *free]
        case Placed(worker_id, node):
            return [WorkerChange(worker_id, {"node": node})]
        case SpawnFailed(worker_id, reason) | Lost(worker_id, reason):
            return [WorkerChange(worker_id, {"reason": reason})]
        case Quarantined(worker_id, failures, reason):
            why = f"quarantined after {failures} failures in a row: {reason}"
            return [WorkerChange(worker_id, {"reason": why})]
        case Stop(worker_id):
            return [_worker(worker_id, WorkerStatus.DRAINING)]
        case Gone(worker_id):
            return [_worker(worker_id, WorkerStatus.STOPPED, time_destroyed=moment)]
        case Decided() | Retire():  # a restarted controller lets the worker go on
            return []
        case Held() | Released() | StorageAway() | StorageBack() | AllFail() | AllFailOver():
            return []  # it looks anew


def _failure(requeued: Requeued, moment: float) -> list[Change]:
    """What a later life has to know of an attempt, if it was anybody's fault."""
    if requeued.fault in (Fault.NONE, Fault.STORAGE):
        return []
    record = FailureRecord(
        requeued.job_id,
        requeued.worker_id,
        requeued.task_id,
        str(requeued.fault),
        requeued.counted,
        requeued.reason,
        moment,
    )
    return [record]


def _ended(job_id: str, state: JobState, moment: float, **values: Any) -> JobChange:
    return JobChange(job_id, {"state": state, "time_ended": moment, **values})


def _worker(worker_id: str, state: WorkerStatus, **values: Any) -> WorkerChange:
    return WorkerChange(worker_id, {"state": state, **values})


def lines_of(step: Step, cluster: Cluster, policy: str) -> list[Line]:
    """What the event log tells of a step.

    A transcoding or storage error is logged with the message that told of it, not here.
    """
    match step:
        case Spawn(worker_id, name, flavor, node):
            worker: Keys = {"name": name, "worker_id": worker_id}
            worker |= {"flavor": flavor.name, "node": node}
            return [(EventCode.WORKER_CREATED, worker)]
        case Assign(job_id, worker_id, task_id):
            return [(EventCode.TASK_ASSIGNED, _task(job_id, worker_id, task_id))]
        case Downloaded(job_id, worker_id, task_id):
            return [(EventCode.FILE_DOWNLOADED, _task(job_id, worker_id, task_id))]
        case Transcoded(job_id, worker_id, task_id):
            return [(EventCode.TRANSCODING_COMPLETED, _task(job_id, worker_id, task_id))]
        case Uploaded(job_id, worker_id, task_id):
            return [(EventCode.FILE_UPLOADED, _task(job_id, worker_id, task_id))]
        case Requeued(job_id, worker_id, task_id, attempts, reason, fault):
            why: Keys = {"attempts": attempts, "reason": reason, "fault": str(fault)}
            why |= _attempt_failed(reason)
            return [(EventCode.TASK_REQUEUED, _task(job_id, worker_id, task_id) | why)]
        case Failed(job_id, worker_id, task_id, attempts, reason):
            why = {"request_id": job_id, "attempts": attempts, "reason": reason}
            if task_id:  # some jobs fail before anybody has tried them
                why |= {"worker_id": worker_id, "task_id": task_id} | _attempt_failed(reason)
            return [(EventCode.REQUEST_FAILED, why)]
        case Withdrawn(job_id, attempts, reason):
            why = {"request_id": job_id, "attempts": attempts, "reason": reason}
            return [(EventCode.REQUEST_FAILED, why)]
        case Cancelled(job_id, worker_id, task_id, attempts, reason):
            why = {"request_id": job_id, "attempts": attempts, "reason": reason}
            if task_id:
                why |= {"worker_id": worker_id, "task_id": task_id} | _attempt_failed(reason)
            return [(EventCode.JOB_CANCELLED, why)]
        case Held(job_id, pause_s):
            pause = "" if pause_s is None else f"{pause_s:.3f}"
            return [(EventCode.JOB_HELD, {"request_id": job_id, "pause": pause})]
        case Released(job_id):
            return [(EventCode.JOB_RELEASED, {"request_id": job_id})]
        case StorageAway(reason):
            return [(EventCode.STORAGE_AWAY, {"reason": reason})]
        case StorageBack(away_s):
            return [(EventCode.STORAGE_BACK, {"away": f"{away_s:.3f}"})]
        case Quarantined(worker_id, failures, reason):
            why = {"worker_id": worker_id, "failures": failures, "reason": reason}
            return [(EventCode.WORKER_QUARANTINED, why)]
        case AllFail(reason):
            return [(EventCode.WORKERS_FAILING, {"state": "all fail", "reason": reason})]
        case AllFailOver():
            return [(EventCode.WORKERS_FAILING, {"state": "over", "reason": ""})]
        case Placed(worker_id, node):
            return [(EventCode.WORKER_PLACED, {"worker_id": worker_id, "node": node})]
        case SpawnFailed(worker_id, reason):
            return [(EventCode.SPAWN_FAILED, {"worker_id": worker_id, "reason": reason})]
        case Lost(worker_id, reason):
            return [(EventCode.WORKER_LOST, {"worker_id": worker_id, "reason": reason})]
        case Stop(worker_id):
            return [(EventCode.WORKER_DRAINING, {"worker_id": worker_id})]
        case Retire(worker_id):
            return [(EventCode.WORKER_RETIRING, {"worker_id": worker_id})]
        case Gone(worker_id, name):
            return [(EventCode.WORKER_DESTROYED, {"name": name, "worker_id": worker_id})]
        case Decided():
            return [(EventCode.DECISION, decision_keys(step, cluster, policy))]
        case Registered():  # needs what the worker says of itself: see the controller
            return []


def warning_of(step: Step) -> str:
    """What the operator has to know of a step; empty for most."""
    match step:
        case StorageAway(reason):
            return f"the object storage is away, no job is handed out: {reason}"
        case StorageBack():
            return "the object storage is back: jobs are handed out again"
        case Quarantined(worker_id, failures, reason):
            return (
                f"worker {worker_id} has failed {failures} times in a row and is ended; "
                f"the last time: {reason}"
            )
        case AllFail(reason):
            return f"every worker fails: look for what they share (disk, image, network). {reason}"
        case AllFailOver():
            return "a worker has completed a job again"
    return ""


def decision_keys(decided: Decided, cluster: Cluster, policy: str) -> Keys:
    """The keys of a decision's line."""
    decision = decided.decision
    action = decision.action
    keep = action.kind is ActionKind.KEEP
    known = not keep and 0 <= action.flavor < cluster.n_flavors
    return {
        "source": str(decision.source),
        "reason": decision.reason if decided.carried_out else "not-possible",
        "detail": decision.detail,
        "action": action.kind.name.lower(),
        "flavor": cluster.flavors[action.flavor].name if known else "",
        "observation": decision.observation,
        "policy": policy,
        "cluster_time": repr(decided.cluster_time),
    }


def _attempt_failed(reason: str) -> Keys:
    """What tells the existing readers that the attempt of this line came to nothing."""
    return {"error_message": reason or "the attempt came to nothing"}


def _task(job_id: str, worker_id: str, task_id: str) -> Keys:
    return {"request_id": job_id, "worker_id": worker_id, "task_id": task_id}
