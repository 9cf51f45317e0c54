"""What was refused, counted always and told at a bounded rate.

Anyone who reaches the port can be refused as often as he likes. So there are metrics of all
refusals, and of each kind only so many lines a minute in the event log; each line tells how many
of its kind were left out before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from deploy.controller.journal import Line
from deploy.metrics import Metrics
from deploy.text import MOST_REASON, clean
from env.event_log import EventCode

BURST: Final = 20
"""Lines of one kind that may come at once."""
PER_MINUTE: Final = 10
"""Lines of one kind in the long run."""
_MOST_ID: Final = 64


class Trickle:
    """Lets so many through at once, and so many a minute in the long run (a token bucket).

    Args:
        burst: at once.
        per_minute: in the long run.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        burst: int = BURST,
        per_minute: float = PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst, self._rate, self._clock = burst, per_minute / 60.0, clock
        self._left, self._seen = float(burst), clock()
        self._suppressed = 0

    def let(self) -> int | None:
        """How many were held back since one went through last; none holds this one back."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1.0:
            self._suppressed += 1
            return None
        self._left -= 1.0
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed


class Refusals:
    """Counts and logs them.

    Args:
        metrics: count all.
        note: writes a line into the event log.
        clock: see `Trickle`.
    """

    def __init__(
        self,
        metrics: Metrics,
        note: Callable[[Line], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics, self._note = metrics, note
        # One kind must not use up the lines of another: a flood from outside would hide what
        # the operator must know of his own workers.
        self._of_workers, self._of_strangers, self._of_calls = (
            Trickle(clock=clock) for _ in range(3)
        )

    def event(self, event: str, worker_id: str, task_id: str, reason: str) -> None:
        """A worker told what cannot be."""
        self._metrics.refused(event)
        self._tell(
            self._of_workers,
            EventCode.EVENT_REFUSED,
            event=event,
            worker_id=clean(worker_id, _MOST_ID),
            task_id=clean(task_id, _MOST_ID),
            reason=reason,
        )

    def stranger(self, event: str, alias: str, task_id: str, reason: str) -> None:
        """Somebody presented an id that is no worker's; `alias` stands for it."""
        self._metrics.refused(event)
        self._metrics.call_refused("unknown-worker")
        self._tell(
            self._of_strangers,
            EventCode.EVENT_REFUSED,
            event=event,
            worker_id=alias,
            task_id=clean(task_id, _MOST_ID),
            reason=reason,
        )

    def call(self, call: str, peer: str, kind: str, reason: str) -> None:
        """A call was turned away before anyone looked at what it asks.

        Args:
            call: its name.
            peer: where it came from.
            kind: of the refusal, for the metric; one of few.
            reason: for people.
        """
        self._metrics.call_refused(kind)
        self._tell(
            self._of_calls, EventCode.CALL_REFUSED, call=call, peer=clean(peer, 80), reason=reason
        )

    def _tell(self, trickle: Trickle, code: EventCode, **keys: str) -> None:
        suppressed = trickle.let()
        if suppressed is None:
            return
        keys["reason"] = clean(keys["reason"], MOST_REASON)
        if suppressed:
            keys["suppressed"] = str(suppressed)
        self._note((code, keys))
