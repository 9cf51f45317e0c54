"""How urgent a job is: its priority class and its deadline, in the terms of dispatch."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from types import MappingProxyType
from typing import Final, Literal, get_args

from env.jobs import PLAIN, Urgency

Priority = Literal["low", "normal", "high"]
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
NORMAL: Final = "normal"

HEAD_START_S: Final[Mapping[str, float]] = MappingProxyType(
    {"low": -1800.0, "normal": 0.0, "high": 1800.0}
)
"""A job of the class counts as if it had waited so much longer, seconds."""
SLACK_S: Final = 300.0
"""So long before the latest moment at which it could be begun a job with a deadline is urgent."""


def urgency(priority: str, deadline_s: float | None, service_s: float) -> Urgency:
    """What dispatch is told.

    Args:
        priority: one of `PRIORITIES`; any other is taken for normal.
        deadline_s: in the cluster's seconds; none if there is none.
        service_s: what the job is expected to take on the smallest flavor.
    """
    head_start = HEAD_START_S.get(priority, 0.0)
    if deadline_s is None or not isfinite(deadline_s):
        return PLAIN if not head_start else Urgency(head_start)
    return Urgency(head_start, deadline_s - service_s - SLACK_S)


def urgency_keys(told: Urgency) -> dict[str, str]:
    """How the event log tells of it, exactly."""
    return {"head_start": repr(told.head_start_s), "urgent_at": repr(told.urgent_at_s)}


def read_urgency(keys: Mapping[str, str]) -> Urgency:
    """What `urgency_keys` has written.

    Raises:
        ValueError: it is damaged.
    """
    return Urgency(float(keys.get("head_start", "0")), float(keys.get("urgent_at", repr(inf))))
