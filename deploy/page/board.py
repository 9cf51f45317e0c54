"""What the controller remembers for the live page: the cluster now, and the last half hour."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from agents.decision import Source
from deploy.clock import Clock
from deploy.page.words import decided_words, event_words, waiting_words
from deploy.scheduler import Scheduler
from deploy.steps import Decided, Step, Uploaded
from env.actions import ActionKind
from env.node import MIB_PER_GIB, MILLI
from env.worker import TaskPhase, WorkerState

HISTORY_S: Final = 1800.0
SAMPLE_S: Final = 5.0
MOST_DECISIONS: Final = 100
MOST_DELAYS: Final = 5000
MOST_WORKERS: Final = 2000
"""Workers that are told of one by one; the counts are of all."""


class Board:
    """Listens to the steps, takes samples, and tells all of it as plain values.

    Args:
        scheduler: owns the state; only read here.
        clock: everybody's clock.
        policy, fallback: texts of the policy in charge and of its fallback.
    """

    def __init__(self, scheduler: Scheduler, clock: Clock, policy: str, fallback: str) -> None:
        self._scheduler, self._clock = scheduler, clock
        self._policy, self._fallback = policy, fallback
        self._samples: deque[list[float]] = deque(maxlen=int(HISTORY_S / SAMPLE_S))
        self._decisions: deque[dict[str, Any]] = deque(maxlen=MOST_DECISIONS)
        self._delays: deque[tuple[float, float]] = deque(maxlen=MOST_DELAYS)
        self._latest: dict[str, Any] | None = None
        self._since: dict[str, tuple[str, float]] = {}
        self._names = [flavor.name for flavor in scheduler.cluster.flavors]

    def heard(self, steps: Sequence[Step], moment: float) -> None:
        """Take in what has happened; `moment` in seconds since the epoch."""
        for step in steps:
            if isinstance(step, Uploaded):
                self._delays.append((moment, step.sojourn_s))
            elif isinstance(step, Decided):
                self._decided(step, moment)
            else:
                words = event_words(step)
                if words:
                    self._add(moment, "event", "", words)

    def _decided(self, step: Decided, moment: float) -> None:
        decision = step.decision
        if step.routine:
            return
        c = self._scheduler.cluster
        after = (
            f"then {c.waiting + c.held} waiting; workers: {c.n_busy} busy, {c.n_idle} idle, "
            f"{c.n_booting} booting"
        )
        kind = decision.action.kind
        words = decided_words(decision, self._names)
        if not step.carried_out and kind is not ActionKind.KEEP:
            words += " (could not be carried out)"
        self._latest = {"time": moment, "source": str(decision.source), "words": words}
        # The policy is asked at every event and mostly keeps all as it is: the list is for changes.
        if kind is not ActionKind.KEEP or decision.source is not Source.POLICY:
            self._add(moment, kind.name.lower(), str(decision.source), words, after)

    def _add(self, moment: float, kind: str, source: str, words: str, after: str = "") -> None:
        latest = self._decisions[-1] if self._decisions else None
        if latest is not None and (latest["words"], latest["source"]) == (words, source):
            latest["times"] += 1
            latest["time"], latest["after"] = moment, after
            return
        entry = {"time": moment, "kind": kind, "source": source, "words": words, "times": 1}
        entry["after"] = after
        self._decisions.append(entry)

    async def keep_sampling(self) -> None:
        """Take a sample every few seconds of the cluster's time, until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_S / self._clock.speed_up)

    def sample(self) -> None:
        """Remember how the cluster is now."""
        c, now = self._scheduler.cluster, self._clock.time()
        recent = [delay for moment, delay in self._delays if moment > now - 60]
        self._samples.append(
            [
                round(now, 1),
                c.waiting + c.held,
                c.in_service,
                c.n_booting,
                c.n_idle,
                c.n_busy,
                c.n_draining,
                round(c.reserved_vcpus, 2),
                round(c.used_cpu.value / MILLI, 2),
                round(c.reserved_ram_gib, 2),
                round(c.used_ram.value / MIB_PER_GIB, 2),
                round(sum(recent) / len(recent), 2) if recent else -1.0,
            ]
        )

    def snapshot(self) -> dict[str, Any]:
        """The cluster, the series, and the latest decisions, as JSON takes them."""
        scheduler, now = self._scheduler, self._clock.time()
        c = scheduler.cluster
        workers = self._workers(now)
        recent = sorted(delay for moment, delay in self._delays if moment > now - HISTORY_S)
        oldest = c.oldest_unserved_since
        return {
            "time": now,
            "policy": self._policy,
            "fallback": self._fallback,
            "preference": c.preference,
            "flavors": [
                {"name": f.name, "vcpus": f.vcpus, "ram_gib": f.ram_gib} for f in c.flavors
            ],
            "nodes": [
                {
                    "name": node.config.name,
                    "vcpus": node.capacity_millicores / MILLI,
                    "ram_gib": node.capacity_mib / MIB_PER_GIB,
                }
                for node in c.nodes
            ],
            "workers": workers[:MOST_WORKERS],
            "counts": {
                "waiting": c.waiting,
                "held": c.held,
                "in_service": c.in_service,
                "booting": c.n_booting,
                "idle": c.n_idle,
                "busy": c.n_busy,
                "draining": c.n_draining,
                "completed": c.completed,
                "failed": c.failed,
                "lost": c.workers_lost,
            },
            "oldest_wait_s": 0.0 if oldest is None else c.now - oldest,
            "delay_s": {
                "jobs": len(recent),
                "median": _quantile(recent, 0.5),
                "p95": _quantile(recent, 0.95),
            },
            "cpu": {
                "capacity": c.capacity_vcpus,
                "reserved": c.reserved_vcpus,
                "used": c.used_cpu.value / MILLI,
            },
            "ram_gib": {
                "capacity": c.capacity_ram_gib,
                "reserved": c.reserved_ram_gib,
                "used": c.used_ram.value / MIB_PER_GIB,
            },
            "why_waiting": waiting_words(scheduler),
            "latest_decision": self._latest,
            "decisions": list(self._decisions)[::-1],
            "samples": list(self._samples),
        }

    def _workers(self, now: float) -> list[dict[str, Any]]:
        found, since = [], {}
        for worker_id, worker in self._scheduler.workers():
            state = worker.state.name.lower()
            before = self._since.get(worker_id)
            begun = before[1] if before is not None and before[0] == state else now
            since[worker_id] = state, begun
            busy = worker.state is WorkerState.BUSY
            found.append(
                {
                    "id": worker_id,
                    "node": worker.node,
                    "flavor": worker.flavor,
                    "state": "retiring" if worker.retiring and busy else state,
                    "phase": "" if worker.phase is TaskPhase.NONE else worker.phase.name.lower(),
                    "since": begun,
                    "job": "" if worker.job is None else str(worker.job.job_id),
                    "video": "" if worker.job is None else worker.job.request.movie,
                }
            )
        self._since = since
        return found


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
