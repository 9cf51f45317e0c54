"""A histogram of idle times with its percentiles and its variation."""

from __future__ import annotations

from math import sqrt


class IdleHistogram:
    """Counts of idle times in equal bins; those beyond the last bin are only counted.

    Attributes:
        count: idle times seen, out-of-bounds ones included.
        out_of_bounds: idle times beyond the last bin.
    """

    __slots__ = ("_bins", "_cached", "_squares", "_width_s", "count", "out_of_bounds")

    def __init__(self, width_s: float, bins: int) -> None:
        self._width_s = width_s
        self._bins = [0] * bins
        self._squares = 0
        self._cached: tuple[float, float, float, float] | None = None
        self.count = 0
        self.out_of_bounds = 0

    def add(self, idle_s: float) -> None:
        """Take in one idle time, seconds; O(1)."""
        self.count += 1
        self._cached = None
        index = int(idle_s / self._width_s)
        if index >= len(self._bins):
            self.out_of_bounds += 1
            return
        self._squares += 2 * self._bins[index] + 1
        self._bins[index] += 1

    @property
    def variation(self) -> float:
        """Coefficient of variation of the bin counts: high if few bins hold most; O(1)."""
        inside, bins = self.count - self.out_of_bounds, len(self._bins)
        if not inside:
            return 0.0
        mean = inside / bins
        return sqrt(max(0.0, self._squares / bins - mean * mean)) / mean

    def percentiles(self, head: float, tail: float) -> tuple[float, float]:
        """The head's lower and the tail's upper bin edge, seconds; O(bins) after an `add`.

        Args:
            head: share of the idle times within bounds, 0..1.
            tail: the same, not below `head`.
        """
        if self._cached is not None and self._cached[:2] == (head, tail):
            return self._cached[2:]
        inside = self.count - self.out_of_bounds
        low, high = head * inside, tail * inside
        reached, first, last = 0, None, 0
        for index, held in enumerate(self._bins):
            if not held:
                continue
            reached += held
            last = index
            if first is None and reached > low:
                first = index
            if reached >= high:
                break
        edges = ((last if first is None else first) * self._width_s, (last + 1) * self._width_s)
        self._cached = (head, tail, *edges)
        return edges
