"""Copies of a running simulation that have the same future.

A simulation is written down once with pickle and read back for each copy: that is several
times as fast as `copy.deepcopy`, and branches need many copies of each state. Nothing leaves
the process: what never changes is referred to by its identity and shared by all copies.
"""

from __future__ import annotations

import io
import pickle
from types import FunctionType
from typing import Any

from env.jobs import Request
from env.simulator import Simulator

_SHARED_TYPES = frozenset({FunctionType, Request})
"""Never changed, and either costly to write down or impossible (a lambda)."""


class _Writer(pickle.Pickler):
    """Writes a simulation down, all but what its copies share."""

    def __init__(self, file: io.BytesIO, shared: dict[int, object]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._shared = shared

    def persistent_id(self, thing: object) -> int | None:
        key = id(thing)
        if key in self._shared:
            return key
        if type(thing) in _SHARED_TYPES:
            self._shared[key] = thing
            return key
        return None


class _Reader(pickle.Unpickler):
    """Reads a copy of what `_Writer` wrote in the same process."""

    def __init__(self, file: io.BytesIO, shared: dict[int, object], logs: frozenset[int]) -> None:
        super().__init__(file)
        self._shared = shared
        self._logs = logs

    def persistent_load(self, key: Any) -> object:
        thing = self._shared[key]
        if key in self._logs:
            assert isinstance(thing, list)
            return thing.copy()
        return thing


class Snapshot:
    """A simulation at one moment.

    Copies must be taken before the simulation goes on: its logs of times by request, flat
    lists that are long and cheap to copy, are read from it.

    Args:
        simulator: it is not changed.
    """

    def __init__(self, simulator: Simulator) -> None:
        logs = (
            simulator.assigned_s,
            simulator.downloaded_s,
            simulator.transcoded_s,
            simulator.ended_s,
        )
        self._shared: dict[int, object] = {
            id(thing): thing for thing in (*simulator.constants(), *logs)
        }
        self._logs = frozenset(map(id, logs))
        file = io.BytesIO()
        _Writer(file, self._shared).dump(simulator)
        self._written = file.getvalue()

    def copy(self) -> Simulator:
        """An independent copy with the same future (what never changes is shared)."""
        file = io.BytesIO(self._written)
        copied: Simulator = _Reader(file, self._shared, self._logs).load()
        return copied


def copy_simulator(simulator: Simulator) -> Simulator:
    """One copy (for several of the same moment, see `Snapshot`)."""
    return Snapshot(simulator).copy()
