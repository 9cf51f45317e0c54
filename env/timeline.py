"""What happened in a run, kept for pictures and reports."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from env.worker import Worker, WorkerState


@dataclass(slots=True)
class Span:
    """A stretch of a worker's life in one state, from `start_s` to `end_s` (none: not ended)."""

    state: WorkerState
    start_s: float
    end_s: float | None = None


@dataclass(slots=True)
class Lane:
    """A worker's life: its flavor, its node, and its spans in order."""

    worker_id: Hashable
    flavor: int
    node: int
    spans: list[Span] = field(default_factory=list)

    @property
    def end_s(self) -> float | None:
        """When the worker was gone, none while it lives."""
        return self.spans[-1].end_s


class Timeline:
    """Lanes of workers in the order of their spawns, and samples of the queue.

    Attributes:
        lanes: one for each worker.
        samples: (time, jobs waiting, jobs in process, reserved equivalent cores) at each
            decision epoch.
    """

    def __init__(self) -> None:
        self.lanes: list[Lane] = []
        self.samples: list[tuple[float, int, int, float]] = []
        self._lane: dict[Hashable, Lane] = {}

    def spawned(self, now: float, worker: Worker) -> None:
        """A worker starts to boot."""
        lane = Lane(worker.worker_id, worker.flavor, worker.node)
        lane.spans.append(Span(WorkerState.BOOTING, now))
        self.lanes.append(lane)
        self._lane[worker.worker_id] = lane

    def ready(self, now: float, worker: Worker) -> None:
        """It has registered."""
        self._change(now, worker, WorkerState.IDLE)

    def busy(self, now: float, worker: Worker) -> None:
        """It was given a job."""
        self._change(now, worker, WorkerState.BUSY)

    def idle(self, now: float, worker: Worker) -> None:
        """Its job has ended."""
        self._change(now, worker, WorkerState.IDLE)

    def draining(self, now: float, worker: Worker) -> None:
        """It was ordered to end."""
        self._change(now, worker, WorkerState.DRAINING)

    def gone(self, now: float, worker: Worker) -> None:
        """It holds nothing any more."""
        self._lane.pop(worker.worker_id).spans[-1].end_s = now

    def sample(self, now: float, waiting: int, in_service: int, reserved_cores: float) -> None:
        """Note the state at a decision epoch."""
        self.samples.append((now, waiting, in_service, reserved_cores))

    def _change(self, now: float, worker: Worker, state: WorkerState) -> None:
        spans = self._lane[worker.worker_id].spans
        spans[-1].end_s = now
        spans.append(Span(state, now))
