"""Moving windows over time: the largest value, and the average of an integrated quantity."""

from __future__ import annotations

from collections import deque

from agents.idle import TIME_TOLERANCE_S


class MovingMaximum:
    """The largest value pushed within the last `window_s` seconds; amortised O(1)."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._falling: deque[tuple[float, int]] = deque()

    def push(self, now: float, value: int) -> int:
        """Add a value at time `now` (never before the last one) and return the maximum."""
        falling = self._falling
        while falling and falling[-1][1] <= value:
            falling.pop()
        falling.append((now, value))
        start = now - self._window_s - TIME_TOLERANCE_S
        while falling[0][0] < start:
            falling.popleft()
        return falling[0][1]


class MovingAverage:
    """Time average over the last `window_s` seconds of a quantity whose integral is known.

    Between two pushes the quantity counts as constant. Until a whole window has
    passed the average is over what has. Amortised O(1).
    """

    def __init__(self, window_s: float, now: float, integral: float) -> None:
        self._window_s = window_s
        self._points: deque[tuple[float, float]] = deque([(now, integral)])

    def push(self, now: float, integral: float) -> float:
        """Add the integral up to `now` (never before the last push); return the average.

        The average is 0 before any time has passed.
        """
        points = self._points
        points.append((now, integral))
        start = now - self._window_s
        while points[1][0] <= start and len(points) > 2:
            points.popleft()
        (since, from_integral), (then, then_integral) = points[0], points[1]
        if since < start:
            if then > since:
                from_integral += (then_integral - from_integral) * (start - since) / (then - since)
            since = start
        return (integral - from_integral) / (now - since) if now > since else 0.0
