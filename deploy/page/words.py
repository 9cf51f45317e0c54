"""Decisions and events in sentences, and why jobs wait."""

from __future__ import annotations

from typing import Final

from agents.decision import Decision, Source
from deploy.scheduler import Scheduler
from deploy.steps import (
    AllFail,
    AllFailOver,
    Cancelled,
    Failed,
    Lost,
    Quarantined,
    Requeued,
    SpawnFailed,
    Step,
    StorageAway,
    StorageBack,
    Withdrawn,
)
from env.actions import ActionKind

_WHO: Final = {
    Source.POLICY: "the policy",
    Source.FALLBACK: "the fallback rule",
    Source.SHIELD: "the shield",
}


def decided_words(decision: Decision, flavors: list[str]) -> str:
    """A decision as a sentence: what was done, by whom, and why."""
    action, who = decision.action, _WHO[decision.source]
    flavor = flavors[action.flavor] if 0 <= action.flavor < len(flavors) else "?"
    match action.kind:
        case ActionKind.KEEP:
            done = f"{who} kept the workers as they are"
        case ActionKind.SPAWN:
            done = f"{who} started a worker {flavor}"
        case _:
            done = f"{who} ended a worker {flavor}"
    why = decision.detail or ("" if decision.reason == "policy" else decision.reason)
    return f"{done[0].upper()}{done[1:]}" + (f": {why.replace('-', ' ')}" if why else "")


def event_words(step: Step) -> str:
    """What went wrong, or was set right, as a sentence; empty for all else."""
    match step:
        case Lost(reason=reason):
            return f"A worker was lost: {reason}"
        case SpawnFailed(reason=reason):
            return f"A worker never came: {reason}"
        case Requeued(reason=reason, attempts=attempts):
            return f"A job waits again after attempt {attempts}: {reason}"
        case Failed(reason=reason) | Withdrawn(reason=reason):
            return f"A job ended in error: {reason}"
        case Cancelled(reason=reason):
            return f"A job was cancelled: {reason}"
        case Quarantined(failures=failures, reason=reason):
            return f"A worker failed {failures} times in a row and is ended: {reason}"
        case StorageAway(reason=reason):
            return f"The object storage does not answer: {reason}"
        case StorageBack(away_s=away_s):
            return f"The object storage answers again after {away_s:.0f} s"
        case AllFail(reason=reason):
            return f"Every worker fails with everything: {reason}"
        case AllFailOver():
            return "A worker has had a success again"
    return ""


def waiting_words(scheduler: Scheduler) -> str:
    """Why jobs wait now; empty if none does."""
    c = scheduler.cluster
    if not c.waiting + c.held:
        return ""
    if scheduler.paused:
        return "The controller waits for the cloud to tell what runs."
    if scheduler.storage_is_away:
        return "The object storage does not answer, so no job is handed out."
    if scheduler.all_fail:
        return "Every worker fails, so jobs are tried one at a time."
    if c.held and not c.waiting:
        return f"{c.held} held: a pause after a failure, or the input was not looked for yet."
    if c.n_booting:
        more = "one more is" if c.n_booting == 1 else f"{c.n_booting} more are"
        return f"All workers are busy; {more} booting."
    if not any(c.can_spawn(flavor) for flavor in range(c.n_flavors)):
        return "All workers are busy, and no further one fits into the cluster."
    return "All workers are busy, and the policy does not think that another one would pay."
