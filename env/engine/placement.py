"""Where a new worker lands: the twin of `env.placement`, with sorted lists of nodes.

A node moves within its list by a binary search and one shift of small numbers.
"""

from __future__ import annotations

from env.engine.compiling import compiled
from env.engine.layout import (
    BY_COUNT_I,
    BY_FREE_I,
    FREE_MC,
    FREE_MIB,
    LEAST_LOADED,
    N_NODES,
    NODE_I,
    NODES_I,
    PLACEMENT,
    SPREAD,
    WORKERS,
    Centre,
)


@compiled
def fits_any(s: Centre, millicores: int, mib: int) -> bool:
    """Whether some node has this much free."""
    return _most_free(s, millicores, mib) >= 0


@compiled
def choose(s: Centre, millicores: int, mib: int) -> int:
    """The node for a worker of this size, -1 if it fits nowhere."""
    if s.ei[PLACEMENT] == LEAST_LOADED:
        return _most_free(s, millicores, mib)
    n = s.ei[N_NODES]
    first, order = 0, s.ei[BY_COUNT_I]
    if s.ei[PLACEMENT] != SPREAD:
        order = s.ei[BY_FREE_I]
        first = _first_with(s, millicores)
    for place in range(first, n):
        node = s.i[order + place]
        at = s.ei[NODES_I] + node * NODE_I
        if s.i[at + FREE_MC] >= millicores and s.i[at + FREE_MIB] >= mib:
            return node
    return -1


@compiled
def reserve_on(s: Centre, node: int, millicores: int, mib: int, workers: int) -> None:
    """A node has so much less free, and so many workers more."""
    free_from = _find(s, s.ei[BY_FREE_I], node, False, 0, s.ei[N_NODES])
    count_from = 0
    spread = s.ei[PLACEMENT] == SPREAD
    if spread:
        count_from = _find(s, s.ei[BY_COUNT_I], node, True, 0, s.ei[N_NODES])
    at = s.ei[NODES_I] + node * NODE_I
    s.i[at + FREE_MC] -= millicores
    s.i[at + FREE_MIB] -= mib
    s.i[at + WORKERS] += workers
    _shift(s, s.ei[BY_FREE_I], node, free_from, False)
    if spread:
        _shift(s, s.ei[BY_COUNT_I], node, count_from, True)


@compiled
def _most_free(s: Centre, millicores: int, mib: int) -> int:
    for place in range(s.ei[N_NODES] - 1, -1, -1):
        node: int = s.i[s.ei[BY_FREE_I] + place]
        at = s.ei[NODES_I] + node * NODE_I
        if s.i[at + FREE_MC] < millicores:
            return -1
        if s.i[at + FREE_MIB] >= mib:
            return node
    return -1


@compiled
def _first_with(s: Centre, millicores: int) -> int:
    """The first place by free vCPUs that has so many."""
    low, high = 0, s.ei[N_NODES]
    while low < high:
        middle = (low + high) >> 1
        node = s.i[s.ei[BY_FREE_I] + middle]
        if s.i[s.ei[NODES_I] + node * NODE_I + FREE_MC] < millicores:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def precedes(s: Centre, one: int, two: int, by_count: bool) -> bool:
    """Whether a node comes before another, see the keys of `env.placement`."""
    a, b = s.ei[NODES_I] + one * NODE_I, s.ei[NODES_I] + two * NODE_I
    if by_count:
        if s.i[a + WORKERS] != s.i[b + WORKERS]:
            return s.i[a + WORKERS] < s.i[b + WORKERS]
        if s.i[a + FREE_MC] != s.i[b + FREE_MC]:
            return s.i[a + FREE_MC] > s.i[b + FREE_MC]
        return one < two
    if s.i[a + FREE_MC] != s.i[b + FREE_MC]:
        return s.i[a + FREE_MC] < s.i[b + FREE_MC]
    if s.i[a + FREE_MIB] != s.i[b + FREE_MIB]:
        return s.i[a + FREE_MIB] < s.i[b + FREE_MIB]
    return one > two


@compiled
def _find(s: Centre, order: int, node: int, by_count: bool, low: int, high: int) -> int:
    """The first place in a part of a sorted list whose node does not precede this one."""
    while low < high:
        middle = (low + high) >> 1
        if precedes(s, s.i[order + middle], node, by_count):
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _shift(s: Centre, order: int, node: int, place: int, by_count: bool) -> None:
    """Move a node whose figures have changed from its place to where it belongs."""
    n = s.ei[N_NODES]
    if place + 1 < n and precedes(s, s.i[order + place + 1], node, by_count):
        to = _find(s, order, node, by_count, place + 1, n) - 1  # it goes up
        for at in range(place, to):
            s.i[order + at] = s.i[order + at + 1]
        s.i[order + to] = node
    elif place > 0 and precedes(s, node, s.i[order + place - 1], by_count):
        to = _find(s, order, node, by_count, 0, place)  # it goes down
        for at in range(place, to, -1):
            s.i[order + at] = s.i[order + at - 1]
        s.i[order + to] = node
