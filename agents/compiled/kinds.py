"""The numbers of the rules that have a compiled form."""

from __future__ import annotations

from typing import Final

MINIMIZE_WORKERS: Final = 0
GRACE_PERIOD: Final = 1
BREAK_EVEN: Final = 2
RESERVE_K: Final = 3
ADAPTIVE_FLAVOR: Final = 4
# From here on rules with a memory; up to square-root-staffing those that steer towards a count.
TARGET_UTILISATION: Final = 5
QUEUE_SCALING: Final = 6
CONCURRENCY_WINDOWS: Final = 7
SQUARE_ROOT_STAFFING: Final = 8
HYBRID_HISTOGRAM: Final = 9
# From here on the existing system's further algorithms.
SCHEDULER_WITH_QUEUE: Final = 10
SCHEDULER_WITH_RESERVE: Final = 11
ADAPTIVE_GRACE_PERIOD: Final = 12
PRIORITY_BASED_DYNAMIC: Final = 13
