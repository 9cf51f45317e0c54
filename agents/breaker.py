"""A circuit breaker: who fails too often is not asked for a while, then tried again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from env.errors import DaCircoError


class BreakerState(StrEnum):
    """Whether the guarded one is asked: closed, yes; open, no; half-open, on trial."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When the breaker opens and closes.

    Attributes:
        failures: it opens at this many failures ...
        window_s: ... within this time, seconds. Failures at the same instant count once: one
            event may ask for several decisions, and says only once that something is wrong.
        cool_down_s: how long it stays open, seconds; twice as long after each trial that fails ...
        cool_down_limit_s: ... but no longer than this.
        trials: successes in a row that close it again after that; one failure opens it.
    """

    failures: int = 5
    window_s: float = 60.0
    cool_down_s: float = 60.0
    cool_down_limit_s: float = 960.0
    trials: int = 3

    def __post_init__(self) -> None:
        for name in ("failures", "trials"):
            if getattr(self, name) < 1:
                raise DaCircoError(f"breaker: {name} is {getattr(self, name)}: must be 1 or more")
        for name in ("window_s", "cool_down_s", "cool_down_limit_s"):
            if not getattr(self, name) > 0:
                raise DaCircoError(f"breaker: {name} is {getattr(self, name)}: must be above 0")


class Breaker:
    """Counts failures over time, which the caller tells, in seconds and never backwards.

    Attributes:
        state: see `BreakerState`.
        opened: how often it has opened.
    """

    def __init__(self, limits: BreakerLimits | None = None) -> None:
        self.limits = limits or BreakerLimits()
        self.state = BreakerState.CLOSED
        self.opened = 0
        self._failed_at: deque[float] = deque()
        self._opened_at = 0.0
        self._successes = 0
        self._failed_trials = 0

    @property
    def retry_at(self) -> float | None:
        """When an open breaker begins its trial, seconds; none if it is not open."""
        if self.state is not BreakerState.OPEN:
            return None
        # 2**40 seconds are for ever; no need to work out 2**5000.
        longer = self.limits.cool_down_s * 2.0 ** min(self._failed_trials, 40)
        return self._opened_at + min(longer, self.limits.cool_down_limit_s)

    def allows(self, now: float) -> bool:
        """Whether to ask; an open breaker whose time is over becomes half-open."""
        retry_at = self.retry_at
        if retry_at is not None:
            if now < retry_at:
                return False
            self.state = BreakerState.HALF_OPEN
            self._successes = 0
        return True

    def succeeded(self) -> None:
        """An answer was good."""
        if self.state is BreakerState.HALF_OPEN:
            self._successes += 1
            if self._successes >= self.limits.trials:
                self.state = BreakerState.CLOSED
                self._failed_trials = 0
                self._failed_at.clear()

    def failed(self, now: float) -> None:
        """An answer was bad, or there was none."""
        failed_at = self._failed_at
        if not failed_at or failed_at[-1] != now:
            failed_at.append(now)
        while failed_at[0] < now - self.limits.window_s:
            failed_at.popleft()
        trial = self.state is BreakerState.HALF_OPEN
        if trial or len(failed_at) >= self.limits.failures:
            self.state = BreakerState.OPEN
            self._failed_trials += trial
            self.opened += 1
            self._opened_at = now
