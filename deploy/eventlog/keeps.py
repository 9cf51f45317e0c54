"""Decisions to keep that the clock asked for, one after the other, are told in one line.

The clock asks the policy every second. While nothing happens the answer stays the same: keep, from
the same source, for the same reason. Such a run is one line (EV45) that loses nothing of what a
replay needs: ``repeated`` is how many decisions it stands for, ``epochs`` at which of the cluster's
times they were taken, and ``observations`` a hash over the hashes of what was observed at each.
Decisions that an event asked for stand in lines of their own, with the event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from deploy.eventlog.writer import EventLog
from deploy.steps import Decided, Step
from env.actions import ActionKind
from env.errors import EventLogError
from env.event_log import EventCode

LONGEST_S: Final = 900.0
"""A run is told after this long at the latest, seconds; a killed controller loses no more."""
_MICRO: Final = 10**6


@dataclass(slots=True)
class _Run:
    source: str
    reason: str
    moment: float
    epochs: list[int]
    observed: str


class Keeps:
    """Writes the event log, runs of such decisions as one line.

    Args:
        log: where the lines go.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._latest: tuple[str, str, str] | None = None
        self._run: _Run | None = None

    def write(self, code: EventCode, moment: float, keys: Mapping[str, str | int | float]) -> None:
        """Write a line, after that of the run that it ends."""
        self.flush()
        if code is EventCode.DECISION:
            self._latest = (str(keys["action"]), str(keys["source"]), str(keys["reason"]))
        self._log.write(code, moment=moment, description="", **keys)

    def fold(self, steps: Sequence[Step], moment: float) -> bool:
        """Take in what followed from an event that has no lines of its own.

        Returns:
            Whether it is part of a run, so that nothing is to be written now.
        """
        if len(steps) != 1 or not isinstance(decided := steps[0], Decided):
            return False
        decision, micro = decided.decision, _in_microseconds(decided.cluster_time)
        is_keep = decision.action.kind is ActionKind.KEEP and decided.carried_out
        key = ("keep", str(decision.source), decision.reason)
        if not is_keep or key != self._latest or micro is None or not decision.observation:
            return False
        run = self._run
        if run is not None and (micro - run.epochs[0]) / _MICRO > LONGEST_S:
            self.flush()
            run = None
        if run is None:
            run = self._run = _Run(key[1], key[2], moment, [], "")
        run.moment = moment
        run.epochs.append(micro)
        run.observed = chained(run.observed, decision.observation)
        return True

    def flush(self) -> None:
        """Write the line of a run that has not been told yet."""
        run, self._run = self._run, None
        if run is not None:
            self._log.write(
                EventCode.DECISIONS_REPEATED,
                moment=run.moment,
                repeated=len(run.epochs),
                source=run.source,
                reason=run.reason,
                epochs=format_epochs(run.epochs),
                observations=run.observed,
            )


def chained(before: str, observation: str) -> str:
    """The hash of a run of observations (empty for none) that another observation's hash joins."""
    return hashlib.sha256(f"{before}{observation}".encode()).hexdigest()[:32]


def format_epochs(epochs: Sequence[int]) -> str:
    """Times in microseconds as text: the first, then the distances, equal ones counted.

    ``12.000000 +1.000000x899 +0.250000``: seconds.
    """
    words = [_text(epochs[0])]
    step, times = 0, 0
    for earlier, later in pairwise(epochs):
        if times and later - earlier != step:
            words.append(_steps(step, times))
            times = 0
        step, times = later - earlier, times + 1
    if times:
        words.append(_steps(step, times))
    return " ".join(words)


def read_epochs(text: str, most: int) -> Iterator[float]:
    """The times that `format_epochs` has written, in the cluster's seconds, exactly.

    Args:
        text: what it has written.
        most: how many there are.

    Raises:
        EventLogError: it is damaged, or tells of another number of times.
    """
    first, *steps = text.split() or [""]
    try:
        now, given = _read(first), 1
        yield now / _MICRO
        for word in steps:
            step, _, times = word.removeprefix("+").partition("x")
            for _ in range(min(int(times or 1), most)):
                now, given = now + _read(step), given + 1
                if given <= most:
                    yield now / _MICRO
    except ValueError:
        raise EventLogError(f"{text[:60]!r} are no times of decisions") from None
    if given != most:
        raise EventLogError(f"{text[:60]!r} are {given} times of decisions, not {most}")


def _in_microseconds(time_s: float) -> int | None:
    """A time in whole microseconds, if it is that exactly."""
    micro = round(time_s * _MICRO)
    return micro if micro / _MICRO == time_s else None


def _text(micro: int) -> str:
    return f"{micro // _MICRO}.{micro % _MICRO:06d}"


def _steps(step: int, times: int) -> str:
    return f"+{_text(step)}" + (f"x{times}" if times > 1 else "")


def _read(text: str) -> int:
    whole, _, rest = text.partition(".")
    return int(whole) * _MICRO + int(rest.ljust(6, "0")[:6] or 0)
