"""Which node a new worker lands on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sortedcontainers import SortedKeyList

from env.config import PlacementName


class Room(Protocol):
    """A node as the placement sees it: free millicores and MiB, and its workers."""

    index: int
    free_millicores: int
    free_mib: int
    n_workers: int


def _least_free_first(room: Room) -> tuple[int, int, int]:
    return room.free_millicores, room.free_mib, -room.index


def _fewest_workers_first(room: Room) -> tuple[int, int, int]:
    return room.n_workers, -room.free_millicores, room.index


class Placement:
    """Nodes in order of preference; O(log nodes) to choose one or to move one.

    RAM can make the first choice fail; then the next is tried, so a cluster whose
    RAM is full while its vCPUs are free costs one look at each such node.
    """

    def __init__(self, strategy: PlacementName, nodes: Iterable[Room]) -> None:
        self._strategy = strategy
        # Keys that pickle finds by their names: a simulation can be written down at any moment.
        self._by_free: SortedKeyList[Room] = SortedKeyList(nodes, key=_least_free_first)
        self._by_count: SortedKeyList[Room] | None = None
        if strategy == "spread":
            self._by_count = SortedKeyList(self._by_free, key=_fewest_workers_first)

    def fits_any(self, millicores: int, mib: int) -> bool:
        """Whether some node has this much free."""
        return self._most_free(millicores, mib) is not None

    def _most_free(self, millicores: int, mib: int) -> Room | None:
        room: Room
        for room in reversed(self._by_free):
            if room.free_millicores < millicores:
                return None
            if room.free_mib >= mib:
                return room
        return None

    def choose(self, millicores: int, mib: int) -> Room | None:
        """The node for a worker of this size, or none if it fits nowhere."""
        if self._strategy == "least-loaded":
            return self._most_free(millicores, mib)
        room: Room
        if self._by_count is not None:
            for room in self._by_count:
                if room.free_millicores >= millicores and room.free_mib >= mib:
                    return room
            return None
        for room in self._by_free.irange_key((millicores,)):
            if room.free_mib >= mib:
                return room
        return None

    def remove(self, room: Room) -> None:
        """Take a node out before its figures change."""
        self._by_free.remove(room)
        if self._by_count is not None:
            self._by_count.remove(room)

    def add(self, room: Room) -> None:
        """Put a node back after its figures have changed."""
        self._by_free.add(room)
        if self._by_count is not None:
            self._by_count.add(room)
