"""Whether workers have lately been ended too early, as the next spawns show."""

from __future__ import annotations

from collections import deque
from typing import Final

_WEIGHT: Final = 0.1
"""Of the newest end in the mean: about the last ten count."""

_FORGIVEN: Final = 2.0
"""An end that no spawn has followed for so many break-even times was right: no later spawn can
make it wrong."""


class EndRegret:
    """What it would have saved to keep the workers that were ended, had one known what came.

    To keep an idle worker or to end it is ski rental: keeping costs by the second, ending costs a
    boot if a worker is wanted again, and both are equal after the *break-even time* (see
    `agents.break_even`). The next spawn shows who was right: after a gap g and with a break-even
    time b the regret of an end is ``1 - g / b``, at least -1. Workers that are kept teach nothing,
    so whoever heeds the regret must not keep them for good.

    Attributes:
        mean: exponentially weighted mean of the regrets, from -1 (each end was right) to 1 (each
            worker was wanted again at once); 0 before the first.
    """

    __slots__ = ("_open", "mean")

    def __init__(self) -> None:
        self.mean = 0.0
        self._open: deque[tuple[float, float]] = deque()

    def ended(self, now: float, break_even_s: float) -> None:
        """An idle worker was ended.

        Args:
            now: seconds, never before the last call's.
            break_even_s: of the worker's flavor, seconds.
        """
        self._settle(now)
        self._open.append((now, break_even_s))

    def spawned(self, now: float) -> None:
        """A worker was spawned, of whatever flavor: the latest end was for nothing, or was not."""
        self._settle(now)
        if self._open:
            ended_s, break_even_s = self._open.pop()
            self._learn(1.0 - (now - ended_s) / break_even_s)

    def at(self, now: float) -> float:
        """The mean as known at a time, seconds: ends that stayed right until then count."""
        self._settle(now)
        return self.mean

    def _settle(self, now: float) -> None:
        while self._open and now - self._open[0][0] > _FORGIVEN * self._open[0][1]:
            self._open.popleft()
            self._learn(-1.0)

    def _learn(self, regret: float) -> None:
        self.mean += _WEIGHT * (max(-1.0, regret) - self.mean)
