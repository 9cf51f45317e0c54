"""A piecewise-constant quantity observed over time: its integral and its distribution."""

from __future__ import annotations


class Level:
    """An integer quantity that holds its value until it is changed.

    Integers keep sums exact (there is no drift after a million additions): give
    vCPUs in millicores and RAM in MiB. A change costs O(1); nothing is stored
    per change, only the time spent at each value.
    """

    __slots__ = ("_area", "_seconds_at", "_since", "value")

    def __init__(self, start_s: float = 0.0, value: int = 0) -> None:
        self.value = value
        self._since = start_s
        self._area = 0.0
        self._seconds_at: dict[int, float] = {}

    def add(self, now: float, change: int) -> None:
        """Change the value at time `now` (seconds, never before the last change)."""
        held = now - self._since
        if held > 0.0:
            value = self.value
            self._area += value * held
            seconds = self._seconds_at
            seconds[value] = seconds.get(value, 0.0) + held
            self._since = now
        self.value += change

    def integral(self, now: float) -> float:
        """Integral of the value over time from the start to `now`."""
        return self._area + self.value * (now - self._since)

    def seconds_at(self, now: float) -> dict[int, float]:
        """Seconds spent at each value from the start to `now`."""
        seconds = dict(self._seconds_at)
        held = now - self._since
        if held > 0.0:
            seconds[self.value] = seconds.get(self.value, 0.0) + held
        return seconds

    def mean(self, now: float) -> float:
        """Time average from the start to `now`; the value itself if no time has passed."""
        total = sum(self.seconds_at(now).values())
        return self.integral(now) / total if total > 0 else float(self.value)

    def percentile(self, now: float, share: float) -> int:
        """Smallest value that the quantity did not exceed for `share` of the time."""
        seconds = self.seconds_at(now)
        if not seconds:
            return self.value
        wanted = share * sum(seconds.values())
        reached = 0.0
        for value in sorted(seconds):
            reached += seconds[value]
            if reached >= wanted * (1 - 1e-12):
                return value
        return max(seconds)
