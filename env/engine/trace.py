"""What the metrics need beyond the state: every change of what is used and reserved, in order.

A data centre that keeps it has room for a number of entries. Python takes them out between calls
(`env.engine.metrics`), before the room runs out: `has_room` tells.
"""

from __future__ import annotations

from env.engine.compiling import compiled
from env.engine.layout import (
    N_SLOTS,
    NOW,
    TRACE_ENTRY,
    TRACE_F,
    TRACE_I,
    TRACE_MC,
    TRACE_MIB,
    TRACE_NODE,
    TRACE_SIZE,
    TRACE_USED_MC,
    TRACE_USED_MIB,
    TRACED,
    Centre,
)


def least_size(workers: int) -> int:
    """Entries that `has_room` needs room for, of a data centre with so many slots for workers."""
    return 2 * margin_of(workers)


def margin_of(workers: int) -> int:
    """Entries that may come between two decisions.

    A worker goes from download to transcode and on without a decision, and one spawn or end takes
    two.
    """
    return 4 * workers + 8


@compiled
def has_room(s: Centre) -> bool:
    """Whether the next decision's changes find room."""
    if s.ei[TRACE_SIZE] == 0:
        return True
    return s.i[TRACED] + 4 * s.ei[N_SLOTS] + 8 <= s.ei[TRACE_SIZE]


@compiled
def trace_change(
    s: Centre, node: int, used_mc: int, used_mib: int, millicores: int, mib: int
) -> None:
    """Note a change on a node: of what is used and of what is reserved."""
    n = s.i[TRACED]
    s.i[TRACED] = n + 1
    s.f[s.ei[TRACE_F] + n] = s.f[NOW]
    at = s.ei[TRACE_I] + n * TRACE_ENTRY
    s.i[at + TRACE_NODE] = node
    s.i[at + TRACE_USED_MC] = used_mc
    s.i[at + TRACE_USED_MIB] = used_mib
    s.i[at + TRACE_MC] = millicores
    s.i[at + TRACE_MIB] = mib
