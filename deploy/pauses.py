"""Which waiting jobs pause until when."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush


class Pauses:
    """Jobs by the end of their pause; O(log n) for each."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, str]] = []
        self._until: dict[str, float] = {}

    @property
    def next_end(self) -> float | None:
        """When to ask `ended` again at the latest, seconds; none if no job pauses."""
        return self._ends[0][0] if self._ends else None

    def begin(self, job_id: str, until: float) -> None:
        """A job pauses until then, seconds."""
        self._until[job_id] = until
        heappush(self._ends, (until, job_id))

    def drop(self, job_id: str) -> None:
        """A job has ended: it pauses no longer."""
        self._until.pop(job_id, None)

    def ended(self, now: float) -> Iterator[str]:
        """The jobs whose pause has ended by now; each is told once."""
        while self._ends and self._ends[0][0] <= now:
            until, job_id = heappop(self._ends)
            if self._until.get(job_id) == until:
                del self._until[job_id]
                yield job_id
