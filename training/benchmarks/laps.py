"""Time that work takes, over several repetitions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Lap:
    """One repetition.

    Attributes:
        units: how much was done.
        core_s: time of a core that it took, seconds: other programs hardly change it.
        wall_s: time that passed, seconds.
    """

    units: int
    core_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Repetitions of the same work."""

    laps: tuple[Lap, ...]

    @property
    def per_second(self) -> float:
        """Units done in a second of one core, median."""
        return median(lap.units / lap.core_s for lap in self.laps)

    @property
    def best_per_second(self) -> float:
        """Units done in a second of one core, best."""
        return max(lap.units / lap.core_s for lap in self.laps)

    @property
    def core_s(self) -> float:
        """Time of a core for one repetition, median, seconds."""
        return median(lap.core_s for lap in self.laps)

    @property
    def wall_s(self) -> float:
        """Time that passed in one repetition, median, seconds."""
        return median(lap.wall_s for lap in self.laps)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "units": self.laps[0].units,
            "repetitions": len(self.laps),
            "per_second": self.per_second,
            "best_per_second": self.best_per_second,
            "core_s": self.core_s,
            "wall_s": self.wall_s,
        }


def lap(work: Callable[[], int]) -> Lap:
    """Do the work once; it returns how many units it did."""
    wall, core = time.perf_counter(), time.process_time()
    units = work()
    return Lap(units, time.process_time() - core, time.perf_counter() - wall)


def measure(work: Callable[[], int], repetitions: int) -> Speed:
    """Do the work so many times, after once that does not count."""
    work()
    return Speed(tuple(lap(work) for _ in range(repetitions)))
