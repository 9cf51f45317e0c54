"""Queue disciplines: in which order waiting jobs are served.

Each is a key that is fixed when the job arrives, so that a heap serves it in O(log n).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from env.errors import UnknownNameError
from env.jobs import Job

Discipline = Literal["fcfs", "sjf"]

AGEING: Final = 0.1
"""Seconds of expected service that a second of waiting makes up for (shortest job first)."""


def fcfs(job: Job) -> float:
    """First come, first served: by arrival."""
    return job.arrival_s


def sjf(job: Job) -> float:
    """Shortest expected job first, with linear ageing so that no job starves.

    The priority at time t is ``service - AGEING * (t - arrival)``; t is common to all
    waiting jobs, so the order is that of ``service + AGEING * arrival`` at any time.
    """
    return job.service_s[0] + AGEING * job.arrival_s


DISCIPLINES: Final[Mapping[str, Callable[[Job], float]]] = {"fcfs": fcfs, "sjf": sjf}


def queue_key(discipline: str) -> Callable[[Job], float]:
    """The key function of a discipline by name.

    Raises:
        UnknownNameError: there is no such discipline.
    """
    try:
        return DISCIPLINES[discipline]
    except KeyError:
        raise UnknownNameError("queue discipline", discipline, DISCIPLINES) from None
