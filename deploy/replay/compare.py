"""What a policy would have decided in each state that a log tells of, and whether it is rebuilt."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.guard import DEADLINE, GuardLimits, fingerprint
from agents.loading import live_policy
from deploy.eventlog.keeps import chained
from deploy.replay.rebuild import Rebuilder, Skipped
from env.event_log import EventCode
from env.labels import action_words
from env.observation import Observer
from env.worker import WorkerState

if TYPE_CHECKING:
    from agents.decision import Decision
    from deploy.replay.history import Entry, History
    from env.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was or would be decided: the action in words, by whom, why."""

    action: str
    source: str
    reason: str
    detail: str = ""

    def agrees(self, other: Verdict) -> bool:
        """Whether the two order the same."""
        return self.action == other.action


@dataclass(frozen=True, slots=True)
class State:
    """The cluster at a decision; workers by flavor, small to large."""

    at: float
    preference: float
    waiting: int
    oldest_wait_s: float
    booting: list[int]
    idle: list[int]
    busy: list[int]
    draining: int
    reserved_vcpus: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One decision, or several in a row of one line that were answered alike.

    Attributes:
        line: of the log, counted through its parts.
        state: the cluster then; at the first of several.
        recorded: what was decided.
        replayed: what the policy decides.
        rebuilt: whether the state's observation has the hash that the log tells; none if the
            log tells none. A line that stands for several has one hash over all of them.
        times: how many decisions these are.
    """

    line: int
    state: State
    recorded: Verdict
    replayed: Verdict
    rebuilt: bool | None
    times: int = 1


@dataclass
class Report:
    """All decisions of a log.

    Attributes:
        policy: text of the policy that was asked.
        warnings: what is to be known of it, one line each.
        decisions: in order, see `Comparison`.
        folded: how many of them the log tells of in lines that stand for several.
        skipped: lines that could not be taken in.
        doubts: what cannot be told from this log.
    """

    policy: str
    warnings: list[str]
    decisions: list[Comparison] = field(default_factory=list)
    folded: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many decisions there are."""
        return sum(c.times for c in self.decisions)

    @property
    def differing(self) -> list[Comparison]:
        """Where the policy decides otherwise."""
        return [c for c in self.decisions if not c.recorded.agrees(c.replayed)]

    def states(self) -> tuple[int, int, int]:
        """How many states are rebuilt exactly, how many are not, of how many it is unknown."""
        counts: Counter[bool | None] = Counter()
        for c in self.decisions:
            counts[c.rebuilt] += c.times
        return counts[True], counts[False], counts[None]

    @property
    def exact(self) -> bool:
        """Whether every state and every decision, with source and reason, is as recorded."""
        return (
            bool(self.decisions)
            and not self.skipped
            and all(
                c.rebuilt
                and (c.recorded.action, c.recorded.source, c.recorded.reason)
                == (c.replayed.action, c.replayed.source, c.replayed.reason)
                for c in self.decisions
            )
        )

    def by_action(self) -> Counter[tuple[str, str]]:
        """How often which action was recorded and which is replayed."""
        counts: Counter[tuple[str, str]] = Counter()
        for c in self.decisions:
            counts[c.recorded.action, c.replayed.action] += c.times
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        rebuilt, differ, unknown = self.states()
        return {
            "policy": self.policy,
            "warnings": self.warnings,
            "doubts": self.doubts,
            "decisions": self.total,
            "folded": self.folded,
            "states": {"rebuilt": rebuilt, "differ": differ, "unknown": unknown},
            "exact": self.exact,
            "by_action": [
                {"recorded": recorded, "replayed": replayed, "decisions": n}
                for (recorded, replayed), n in self.by_action().most_common()
            ],
            "differences": [asdict(c) for c in self.differing],
            "skipped": [asdict(skipped) for skipped in self.skipped],
        }


class _Clock:
    """Makes the policy as late as it was: a measured time cannot be measured again."""

    def __init__(self) -> None:
        self.late = False
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 1.0 if self.late else 0.0
        return self._now


def replay(history: History, policy_spec: str, fallback_spec: str) -> Report:
    """Ask a policy, guarded and shielded, at each decision of a log.

    The cluster goes the way that was recorded, whatever the policy would have had it do.

    Raises:
        DaCircoError: the policy or its fallback does not exist, or the fallback cannot serve
            this cluster.
    """
    clock = _Clock()
    policy, warnings = live_policy(
        policy_spec, fallback_spec, guard=GuardLimits(deadline_s=0.5), clock=clock
    )
    rebuilder = Rebuilder(history)
    cluster = rebuilder.cluster
    policy.reset(cluster)
    if policy.guard.unusable and not warnings:
        warnings = (policy.guard.unusable,)
    report = Report(policy_spec, list(warnings), doubts=list(history.doubts))
    observer = Observer(cluster)
    row = np.zeros(observer.size, dtype=np.float32)
    same_policy = policy_spec == history.policy
    run = _Run()
    for entry in rebuilder.run():
        recorded = _recorded(entry, history, cluster)
        if recorded is None:
            continue
        observer.write(row)
        seen = fingerprint(row)
        told = entry.keys.get("observation")
        clock.late = same_policy and recorded.reason == DEADLINE
        replayed = _verdict(policy.decide(cluster), cluster)
        found = Comparison(
            entry.line, _state(cluster), recorded, replayed, seen == told if told else None
        )
        if entry.epoch:
            report.folded += 1
            report.decisions += run.add(found, seen, entry)
        else:
            report.decisions.append(found)
    report.skipped = rebuilder.skipped
    return report


class _Run:
    """The decisions of one line, until the last tells whether all their states were rebuilt."""

    def __init__(self) -> None:
        self._found: list[Comparison] = []
        self._seen = ""

    def add(self, found: Comparison, seen: str, entry: Entry) -> list[Comparison]:
        """Take in a decision and the hash of its observation; return all after the last."""
        if entry.epoch == 1:
            self._found, self._seen = [], ""
        self._seen = chained(self._seen, seen)
        if self._found and self._found[-1].replayed == found.replayed:
            latest = self._found[-1]
            self._found[-1] = replace(latest, times=latest.times + 1)
        else:
            self._found.append(found)
        if entry.epoch < int(entry.keys["repeated"]):
            return []
        rebuilt = self._seen == entry.keys.get("observations")
        return [replace(each, rebuilt=rebuilt) for each in self._found]


def _recorded(entry: Entry, history: History, cluster: Cluster) -> Verdict | None:
    keys, code = entry.keys, entry.code
    if code is EventCode.DECISIONS_REPEATED:
        return Verdict("keep", keys.get("source", ""), keys.get("reason", ""))
    if code is EventCode.DECISION:
        words = f"{keys.get('action', '?')} {keys.get('flavor', '')}".strip()
        return Verdict(
            words, keys.get("source", ""), keys.get("reason", ""), keys.get("detail", "")
        )
    if history.records_decisions:
        return None
    names = [flavor.name for flavor in cluster.flavors]
    if code is EventCode.WORKER_CREATED:
        flavor = keys.get("flavor") or names[history.flavor_of(keys.get("worker_id", ""))]
        return Verdict(f"spawn {flavor}", "", "")
    worker = cluster.workers.get(keys.get("worker_id", ""))
    ended = code is EventCode.WORKER_DESTROYED and worker is not None
    if ended and worker is not None and worker.state is WorkerState.IDLE:
        return Verdict(f"kill {names[worker.flavor]}", "", "")
    return None


def _verdict(decision: Decision, cluster: Cluster) -> Verdict:
    names = [flavor.name for flavor in cluster.flavors]
    return Verdict(
        action_words(decision.action, names), decision.source, decision.reason, decision.detail
    )


def _state(cluster: Cluster) -> State:
    since = cluster.oldest_waiting_since
    return State(
        at=cluster.now,
        preference=cluster.preference,
        waiting=cluster.waiting,
        oldest_wait_s=0.0 if since is None else cluster.now - since,
        booting=list(cluster.booting),
        idle=list(cluster.idle),
        busy=list(cluster.busy),
        draining=cluster.n_draining,
        reserved_vcpus=cluster.reserved_vcpus,
    )
