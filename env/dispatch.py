"""Queue disciplines: in which order waiting jobs are served.

Most are a key that is fixed when the job arrives, so that a heap serves them in O(log n). The
existing system's priority changes with time at another moment for each job, so that it is found
anew for all that wait, in O(n), whenever somebody asks who is next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Literal, Protocol

from env.errors import UnknownNameError
from env.jobs import PLAIN, Job, Request

Discipline = Literal["fcfs", "sjf", "priority"]

AGEING: Final = 0.1
"""Seconds of expected service that a second of waiting makes up for (shortest job first)."""

PRIORITY_STEP_S: Final = 10.0
"""A job's priority rises by one each time that it has waited so long (existing system)."""

MOST_HEAD_START_S: Final = 3600.0
"""Whatever a job's urgency, it counts as having arrived at most so much earlier, so that nobody
starves: after so long a wait no job that arrives later is preferred for its urgency."""

ROUNDING_S: Final = 1e-6
"""A wait that falls short of a step by so little has reached it."""


def counted_arrival(job: Job, allowance_s: float = 0.0) -> float:
    """When a job counts as having arrived, seconds: earlier if it is urgent.

    Args:
        job: the job; of one without urgency it is when it arrived.
        allowance_s: so much earlier than `Urgency.urgent_at_s`, for what else speaks against it.
    """
    urgency = job.urgency
    if urgency is PLAIN:
        return job.arrival_s
    wanted = min(job.arrival_s - urgency.head_start_s, urgency.urgent_at_s - allowance_s)
    return max(wanted, job.arrival_s - MOST_HEAD_START_S)


def fcfs(job: Job) -> float:
    """First come, first served: by arrival."""
    return counted_arrival(job)


def sjf(job: Job) -> float:
    """Shortest expected job first, with linear ageing so that no job starves.

    The priority at time t is ``service - AGEING * (t - arrival)``; t is common to all
    waiting jobs, so the order is that of ``service + AGEING * arrival`` at any time.
    """
    service_s = job.service_s[0]
    return sjf_key(service_s, counted_arrival(job, service_s / AGEING))


def sjf_key(service_s: float, arrival_s: float) -> float:
    """See `sjf`; of a job without urgency the arrival is its own."""
    return service_s + AGEING * arrival_s


def priority(job: Job, now: float) -> int:
    """How urgent a job is by ``priority-based-dynamic`` of the existing system: most goes first.

    ``int(0.5 MB of the file + 0.3 bitrate / 1000 + 0.2 (2 if ultrafast else 1) + seconds waited
    // 10)``, with 10^6 bytes a MB and the bitrate in kbit/s. Large files go first.
    """
    waited_s = now - counted_arrival(job) + ROUNDING_S
    return int(standing(job.request, job.size_mb) + waited_s // PRIORITY_STEP_S)


def standing(request: Request, size_mb: float) -> float:
    """What of a job's `priority` does not change while it waits."""
    return (
        0.5 * size_mb
        + 0.3 * request.bitrate_kbps / 1000
        + 0.2 * (2 if request.speed == "ultrafast" else 1)
    )


class WaitingJobs(Protocol):
    """The jobs that wait, and which of them is next."""

    def add(self, job: Job) -> None:
        """A job begins to wait."""

    def head(self, now: float) -> Job | None:
        """The job that is served next if that is now."""

    def take(self, now: float) -> Job:
        """Remove the head, of which there is one."""

    def remove(self, jobs: Collection[Job]) -> None:
        """Remove these, wherever they are."""

    def in_order(self, now: float) -> Iterator[Job]:
        """All of them as they would be served if all were served now, the head first."""


class KeyedJobs:
    """Served by a key that is fixed when the job begins to wait, the least first.

    Args:
        key: of a job; of two alike, the first to wait goes first.
    """

    def __init__(self, key: Callable[[Job], float]) -> None:
        self.key = key
        self._heap: list[tuple[float, int, Job]] = []
        self._order = count()

    def add(self, job: Job) -> None:
        """See `WaitingJobs`."""
        heappush(self._heap, (self.key(job), next(self._order), job))

    def head(self, now: float) -> Job | None:
        """See `WaitingJobs`; O(1)."""
        return self._heap[0][2] if self._heap else None

    def take(self, now: float) -> Job:
        """See `WaitingJobs`; O(log n)."""
        return heappop(self._heap)[2]

    def remove(self, jobs: Collection[Job]) -> None:
        """See `WaitingJobs`; O(n)."""
        self._heap = [entry for entry in self._heap if entry[2] not in jobs]
        heapify(self._heap)

    def in_order(self, now: float) -> Iterator[Job]:
        """See `WaitingJobs`; O(n log n) for all of it."""
        return (entry[2] for entry in sorted(self._heap))


class PrioritisedJobs:
    """Served by `priority`, the highest first; of two alike, the one that came first."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def add(self, job: Job) -> None:
        """See `WaitingJobs`."""
        self._jobs.append(job)

    def head(self, now: float) -> Job | None:
        """See `WaitingJobs`; O(n)."""
        return max(self._jobs, key=lambda job: (priority(job, now), -job.arrival_s), default=None)

    def take(self, now: float) -> Job:
        """See `WaitingJobs`; O(n)."""
        job = self.head(now)
        assert job is not None
        self._jobs.remove(job)
        return job

    def remove(self, jobs: Collection[Job]) -> None:
        """See `WaitingJobs`; O(n)."""
        self._jobs = [job for job in self._jobs if job not in jobs]

    def in_order(self, now: float) -> Iterator[Job]:
        """See `WaitingJobs`; O(n log n)."""
        return iter(sorted(self._jobs, key=lambda job: (-priority(job, now), job.arrival_s)))


DISCIPLINES: Final[Mapping[str, Callable[[], WaitingJobs]]] = {
    "fcfs": lambda: KeyedJobs(fcfs),
    "sjf": lambda: KeyedJobs(sjf),
    "priority": PrioritisedJobs,
}


def waiting_jobs(discipline: str) -> WaitingJobs:
    """An empty queue of a discipline by name.

    Raises:
        UnknownNameError: there is no such discipline.
    """
    try:
        return DISCIPLINES[discipline]()
    except KeyError:
        raise UnknownNameError("queue discipline", discipline, DISCIPLINES) from None
