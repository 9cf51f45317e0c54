"""Transcodes that share a node: each progresses slower while the node is crowded.

All transcodes of a node are slowed by the same factor, so one virtual clock per node
serves them all (as in fair queueing): it advances by dt / slowdown, and a transcode
that needs `work` seconds alone ends when the clock has advanced by `work`. A change of
load costs O(log jobs on the node) however many transcodes it slows.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from math import exp
from typing import Any

import simpy
from simpy.events import Event, Timeout

from env.config import ContentionTiming
from env.node import MILLI


class SharedNode:
    """The transcodes on one node.

    Args:
        env: the simulation.
        cores: physical cores of the node.
        law: the contention of the profile.
        on_end: called with the token of a transcode when it ends.
    """

    __slots__ = (
        "_clock",
        "_cores",
        "_env",
        "_law",
        "_load",
        "_on_end",
        "_order",
        "_pending",
        "_runs",
        "_slowdown",
        "_updated",
    )

    def __init__(
        self,
        env: simpy.Environment,
        cores: int,
        law: ContentionTiming,
        on_end: Callable[[Any], None],
    ) -> None:
        self._env = env
        self._cores = cores
        self._law = law
        self._on_end = on_end
        self._load = 0  # thousandths of a vCPU
        self._slowdown = 1.0
        self._clock = 0.0
        self._updated = 0.0
        self._runs: list[tuple[float, int, Any]] = []
        self._order = count()
        self._pending: Timeout | None = None

    @property
    def load(self) -> float:
        """VCPUs kept busy now."""
        return self._load / MILLI

    def slowdown(self, load: float) -> float:
        """By which factor a transcode takes longer at a load (vCPUs kept busy)."""
        law = self._law
        factor = exp(law.slope_per_core * max(0.0, load - law.knee_share * self._cores))
        return factor * max(1.0, load / self._cores)

    def start(self, work_s: float, load: float, token: Any) -> None:
        """A transcode starts that would take `work_s` alone and keeps `load` vCPUs busy."""
        self.change_load(load)
        heappush(self._runs, (self._clock + work_s, next(self._order), token))
        if self._runs[0][2] is token:
            self._plan()

    def stop(self, load: float, token: Any) -> None:
        """A running transcode is given up (its worker is lost or it has failed)."""
        self._advance()
        self._runs = [run for run in self._runs if run[2] is not token]
        heapify(self._runs)
        self._set_load(load)
        self._plan()

    def change_load(self, change: float) -> None:
        """The load changes by this many vCPUs for a reason other than a transcode's end."""
        self._advance()
        before = self._slowdown
        self._set_load(-change)
        if self._slowdown != before and self._runs:
            self._plan()

    def _set_load(self, released: float) -> None:
        self._load -= round(released * MILLI)
        self._slowdown = self.slowdown(self._load / MILLI)

    def _advance(self) -> None:
        now = self._env.now
        self._clock += (now - self._updated) / self._slowdown
        self._updated = now

    def _plan(self) -> None:
        if not self._runs:
            self._pending = None
            return
        wait = max(0.0, (self._runs[0][0] - self._clock) * self._slowdown)
        self._pending = Timeout(self._env, wait)
        assert self._pending.callbacks is not None
        self._pending.callbacks.append(self._end)

    def _end(self, event: Event) -> None:
        if event is not self._pending:
            return  # overtaken by a change of load
        self._advance()
        token = heappop(self._runs)[2]
        self._pending = None
        # The owner lowers the load by what this transcode kept busy, which plans the next
        # end if the slowdown changes; if it does not, it must be planned here.
        self._on_end(token)
        if self._pending is None:
            self._plan()
