"""Work that shares a node: transcodes and boots progress slower while it is crowded.

All transcodes of a node are slowed by the same factor, so one virtual clock serves them
all (as in fair queueing): it advances by dt / slowdown, and what needs `work` seconds alone
ends when the clock has advanced by `work`. A change of load costs O(log work on the node)
however much work it slows. The node's boots have a clock of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from math import exp
from typing import Any

import simpy
from simpy.events import Event, Timeout

from env.config import BootTiming, ContentionTiming
from env.node import MILLI


class SharedProgress:
    """Pieces of work that are all slowed by the same, changing factor.

    Args:
        env: the simulation.
        on_end: called with the token of a piece of work when it ends.
    """

    __slots__ = ("_clock", "_env", "_on_end", "_order", "_pending", "_runs", "_updated", "slowdown")

    def __init__(self, env: simpy.Environment, on_end: Callable[[Any], None]) -> None:
        self._env = env
        self._on_end = on_end
        self._clock = 0.0
        self._updated = 0.0
        self._runs: list[tuple[float, int, Any]] = []
        self._order = count()
        self._pending: Timeout | None = None
        self.slowdown = 1.0

    def start(self, work_s: float, token: Any) -> None:
        """Work starts that would take `work_s` alone."""
        self._advance()
        heappush(self._runs, (self._clock + work_s, next(self._order), token))
        if self._runs[0][2] is token:
            self._plan()

    def stop(self, token: Any) -> None:
        """Work is given up before its end."""
        self._advance()
        self._runs = [run for run in self._runs if run[2] is not token]
        heapify(self._runs)
        self._plan()

    def set_slowdown(self, slowdown: float) -> None:
        """From now on everything takes this many times longer than alone."""
        if slowdown != self.slowdown:
            self._advance()
            self.slowdown = slowdown
            if self._runs:
                self._plan()

    def _advance(self) -> None:
        now = self._env.now
        self._clock += (now - self._updated) / self.slowdown
        self._updated = now

    def _plan(self) -> None:
        if not self._runs:
            self._pending = None
            return
        wait = max(0.0, (self._runs[0][0] - self._clock) * self.slowdown)
        self._pending = Timeout(self._env, wait)
        assert self._pending.callbacks is not None
        self._pending.callbacks.append(self._end)

    def _end(self, event: Event) -> None:
        if event is not self._pending:
            return  # overtaken by a change of the slow-down
        self._advance()
        token = heappop(self._runs)[2]
        self._pending = None
        # If the end changes the node's load, that plans the next end already.
        self._on_end(token)
        if self._pending is None:
            self._plan()


class SharedNode:
    """The transcodes and the boots on one node.

    Args:
        env: the simulation.
        cores: physical cores of the node.
        law: the contention of the profile.
        boot: the boot timing of the profile.
        on_end: called with the token of a transcode when it ends; the caller then takes
            its load off with `change_load`.
        on_boot_end: called with the token of a boot when it ends; its load is off already.
    """

    __slots__ = ("_boot", "_boots", "_cores", "_law", "_load", "_on_boot_end", "_transcodes")

    def __init__(
        self,
        env: simpy.Environment,
        cores: int,
        law: ContentionTiming,
        boot: BootTiming,
        on_end: Callable[[Any], None],
        on_boot_end: Callable[[Any], None],
    ) -> None:
        self._cores = cores
        self._law = law
        self._boot = boot
        self._on_boot_end = on_boot_end
        self._load = 0  # thousandths of a vCPU
        self._transcodes = SharedProgress(env, on_end)
        self._boots = SharedProgress(env, self._boot_ended)

    @property
    def load(self) -> float:
        """VCPUs kept busy now."""
        return self._load / MILLI

    def slowdown(self, load: float) -> float:
        """By which factor a transcode takes longer at a load (vCPUs kept busy)."""
        return self._law.slowdown(load, self._cores)

    def boot_slowdown(self, load: float) -> float:
        """By which factor a boot takes longer at a load."""
        law = self._boot
        crowd = load - law.crowd_knee_share * self._cores
        return min(law.crowd_limit, exp(law.crowd_slope * crowd)) if crowd > 0 else 1.0

    def start(self, work_s: float, load: float, token: Any) -> None:
        """A transcode starts that would take `work_s` alone and keeps `load` vCPUs busy."""
        self.change_load(load)
        self._transcodes.start(work_s, token)

    def stop(self, load: float, token: Any) -> None:
        """A running transcode is given up (its worker is lost)."""
        self._transcodes.stop(token)
        self.change_load(-load)

    def start_boot(self, work_s: float, token: Any) -> None:
        """A boot starts that would take `work_s` on an empty node."""
        self.change_load(self._law.boot_load)
        self._boots.start(work_s, token)

    def stop_boot(self, token: Any) -> None:
        """A boot is given up (its worker is lost)."""
        self._boots.stop(token)
        self.change_load(-self._law.boot_load)

    def _boot_ended(self, token: Any) -> None:
        self.change_load(-self._law.boot_load)
        self._on_boot_end(token)

    def change_load(self, change: float) -> None:
        """The load changes by this many vCPUs."""
        self._load += round(change * MILLI)
        load = self._load / MILLI
        self._transcodes.set_slowdown(self.slowdown(load))
        self._boots.set_slowdown(self.boot_slowdown(load))
