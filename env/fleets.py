"""What a fleet of each flavor would have cost, had it served the latest jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush, heapreplace
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from env.jobs import Job

_PARTS: Final = 6
"""The fleets are looked at anew whenever this part of the jobs has been replaced."""

Seen: TypeAlias = tuple[float, tuple[float, ...]]
"""Arrival of a job and its service on each flavor, seconds."""


class Fleet(NamedTuple):
    """Workers of one flavor, and the rule that scales them.

    Attributes:
        flavor: its index.
        limit: most workers.
        cores: what one costs a second, equivalent cores.
        boot_s: time from a spawn to its first job, seconds.
        keep_alive_s: an idle worker is ended after so long, seconds.
    """

    flavor: int
    limit: int
    cores: float
    boot_s: float
    keep_alive_s: float

    def cost(self, jobs: Iterable[Seen], preference: float) -> float:
        """What serving the jobs costs, from the first's arrival to the end of the last worker.

        Each goes to the worker that became idle last; else to a new one or to the first that is
        free, whichever can begin earlier. (In order of arrival, on nodes that hold the image and
        are not crowded: good enough to compare fleets.)

        Args:
            jobs: in order of arrival.
            preference: w.

        Returns:
            ``w`` times the delays plus ``1 - w`` times the reserved core-seconds.
        """
        _, limit, cores, boot_s, keep_s = self
        busy: list[float] = []  # ends, as a heap
        idle: deque[float] = deque()  # when each became so, in order
        delay = reserved = 0.0
        for arrival_s, service_s in jobs:
            while busy and busy[0] <= arrival_s:
                idle.append(heappop(busy))
            while idle and idle[0] + keep_s < arrival_s:
                idle.popleft()
                reserved += keep_s
            served_s = service_s[self.flavor]
            if idle:
                reserved += arrival_s - idle.pop()
                end = arrival_s + served_s
                heappush(busy, end)
            elif len(busy) < limit and (not busy or arrival_s + boot_s < busy[0]):
                reserved += boot_s
                end = arrival_s + boot_s + served_s
                heappush(busy, end)
            else:
                end = busy[0] + served_s
                heapreplace(busy, end)
            reserved += served_s
            delay += end - arrival_s
        reserved += keep_s * (len(busy) + len(idle))
        return preference * delay + (1.0 - preference) * cores * reserved


class FleetHindsight:
    """The latest jobs, and what each fleet would have cost.

    To choose a flavor is to guess what comes: large workers serve each job faster, small ones get
    more done in a full cluster. Whether the guesses of a policy suit the arrivals of this place
    shows when the latest jobs are served once more, in thought, by fleets of one flavor each. That
    is done when somebody asks and a sixth of the jobs are new; what is found does not depend on
    who asks when.

    Args:
        length: how many jobs are remembered.

    Attributes:
        costs: of each fleet; nothing before the first look.
        peak: most jobs that were in the system when one of these arrived.
    """

    __slots__ = ("_asked", "_count", "_crowds", "_jobs", "_length", "_step", "costs", "peak")

    def __init__(self, length: int) -> None:
        self._length = length
        self._step = max(1, length // _PARTS)
        self._jobs: deque[Seen] = deque(maxlen=length + self._step)
        self._crowds: deque[int] = deque(maxlen=length + self._step)
        self._count = 0
        self._asked = 0, 0.0
        self.costs: list[float] = []
        self.peak = 0

    def observe(self, job: Job, jobs_in_system: int) -> None:
        """A job has arrived.

        Args:
            job: it.
            jobs_in_system: with this one.
        """
        self._jobs.append((job.arrival_s, job.service_s))
        self._crowds.append(jobs_in_system)
        self._count += 1

    def look(self, fleets: Callable[[], Iterable[Fleet]], preference: float) -> None:
        """Bring the figures up to date.

        Args:
            fleets: makes them, where they are needed.
            preference: w.
        """
        newer = self._count % self._step
        asked = self._count - newer, preference
        if asked == self._asked or not asked[0]:
            return
        self._asked = asked
        end = len(self._jobs) - newer
        start = max(0, end - self._length)
        jobs = list(islice(self._jobs, start, end))
        self.peak = max(islice(self._crowds, start, end))
        self.costs = [fleet.cost(jobs, preference) for fleet in fleets()]
