"""The faults of a campaign: how each kind begins, and how it ends."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import psutil

from deploy.chaos.disks import fill, free
from deploy.chaos.plan import SHARES, FaultKind, Plan
from deploy.chaos.sickroom import Sickroom
from deploy.chaos.victims import PARTS, Victim, find_one
from deploy.embedded.data_folder import DataFolder

_LONGEST: Final = 4.0
"""Gaps and lengths are cut off at so many times their mean."""


class Faults:
    """Draws faults, begins them, and ends those whose time is over.

    Args:
        plan: kinds, times and shares.
        data: the service's folder.
        rng: draws everything.
        sickroom: makes workers sick.
        disks: the file systems that can be full, by a name for people; none without that kind.
        log: told in one line what happens.

    Attributes:
        begun: how many there were, by a name for people.
        service_killed: set where the next thing to do is to start the service again.
    """

    def __init__(
        self,
        plan: Plan,
        data: DataFolder,
        rng: Random,
        sickroom: Sickroom,
        disks: dict[str, Path],
        log: Callable[[str], None],
    ) -> None:
        self._plan, self._data, self._rng, self._log = plan, data, rng, log
        self._sickroom, self._disks = sickroom, disks
        self._kinds = [kind for kind in plan.kinds if kind is not FaultKind.FULL_DISK or disks]
        self._weights = [SHARES[kind] for kind in self._kinds]
        self._ends: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.begun: Counter[str] = Counter()
        self.service_killed = False

    def draw_gap(self) -> float:
        """Seconds until the next fault begins."""
        return self._draw(self._plan.mean_gap_s)

    def begin_one(self) -> bool:
        """Let a fault happen; false if there is nothing now that the drawn kind could hit."""
        kind = self._rng.choices(self._kinds, self._weights)[0]
        if kind is FaultKind.FULL_DISK:
            return self._fill_disk()
        if kind is FaultKind.SICK_WORKER:
            return self._infect()
        victims = list(PARTS)
        self._rng.shuffle(victims)
        if self._rng.random() < self._plan.service_share:
            victims = [Victim.SERVICE]
        for victim in victims:
            process = find_one(self._data, victim, self._rng)
            if process is not None:
                return self._hit(kind, victim, process)
        return False

    def end_due(self) -> None:
        """End the faults whose time is over."""
        while self._ends and self._ends[0][0] <= time.monotonic():
            heapq.heappop(self._ends)[2]()

    def end_all(self) -> None:
        """End all faults."""
        while self._ends:
            heapq.heappop(self._ends)[2]()

    @property
    def lasting(self) -> int:
        """How many faults have begun and not ended."""
        return len(self._ends)

    def _hit(self, kind: FaultKind, victim: Victim, process: psutil.Process) -> bool:
        number = signal.SIGKILL if kind is FaultKind.KILL else signal.SIGSTOP
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return False
        if kind is FaultKind.KILL:
            self.service_killed = victim is Victim.SERVICE
            self._tell(f"killed a {victim}")
            return True

        def go_on() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

        self._lasts(f"froze a {victim}", go_on)
        return True

    def _infect(self) -> bool:
        worker = find_one(self._data, Victim.WORKER, self._rng)
        illness = None if worker is None else self._sickroom.infect(worker, self._rng)
        if illness is None:
            return False
        self._tell(f"made a worker sick: {illness}")
        return True

    def _fill_disk(self) -> bool:
        name = self._rng.choice(sorted(self._disks))
        disk = self._disks[name]
        fill(disk)
        self._lasts(f"filled {name}", lambda: free(disk))
        return True

    def _lasts(self, what: str, end: Callable[[], None]) -> None:
        length = self._draw(self._plan.mean_length_s)
        heapq.heappush(self._ends, (time.monotonic() + length, next(self._numbers), end))
        self._tell(what, f" for {length:.1f} s")

    def _tell(self, what: str, detail: str = "") -> None:
        self.begun[what.partition(":")[0]] += 1
        self._log(what + detail)

    def _draw(self, mean_s: float) -> float:
        return min(self._rng.expovariate(1 / mean_s), _LONGEST * mean_s)
