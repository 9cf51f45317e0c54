"""A data centre of the engine as `env.metrics.measure` takes a run.

The levels over time are made again from the trace, with the reference's own `Level`: means and
percentiles are exact.
"""

from __future__ import annotations

import numpy as np

from env.engine import layout as at
from env.engine.episode import EpisodeData
from env.engine.layout import Centre, Floats, Ints
from env.level import Level
from env.node import MILLI, Node


class History:
    """What a data centre has traced so far, in order."""

    def __init__(self) -> None:
        self._times: list[Floats] = []
        self._changes: list[Ints] = []

    def take(self, s: Centre) -> None:
        """Take out what the data centre's row holds, so that it has room again."""
        n = int(s.i[at.TRACED])
        if not n:
            return
        first = s.ei[at.TRACE_F]
        self._times.append(s.f[first : first + n].copy())
        first = s.ei[at.TRACE_I]
        changes = s.i[first : first + n * at.TRACE_ENTRY].reshape(n, at.TRACE_ENTRY)
        self._changes.append(changes.copy())
        s.i[at.TRACED] = 0

    def copy(self) -> History:
        """Another with the same past."""
        other = History()
        other._times, other._changes = self._times.copy(), self._changes.copy()
        return other

    def replay(self, nodes: list[Node]) -> tuple[Level, Level, Level, Level]:
        """Fill the nodes' levels.

        Returns:
            Those of the whole data centre: reserved millicores and MiB, used millicores and MiB.
        """
        levels = Level(), Level(), Level(), Level()
        for times, changes in zip(self._times, self._changes, strict=True):
            for now, (node, used_mc, used_mib, mc, mib) in zip(
                times.tolist(), changes.tolist(), strict=True
            ):
                here = nodes[node]
                for change, of_node, of_all in (
                    (mc, here.reserved_cpu, levels[0]),
                    (mib, here.reserved_ram, levels[1]),
                    (used_mc, here.used_cpu, levels[2]),
                    (used_mib, here.used_ram, levels[3]),
                ):
                    if change:
                        of_node.add(now, change)
                        of_all.add(now, change)
        return levels


class Books:
    """What a data centre has counted and paid: no trace is needed."""

    def __init__(self, s: Centre) -> None:
        self.now = float(s.f[at.NOW])
        self.preference = float(s.f[at.PREFERENCE])
        self.completed = int(s.i[at.COMPLETED])
        self.failed = int(s.i[at.FAILED])
        self.boots = int(s.i[at.SPAWNS])
        self.spawn_failures = int(s.i[at.SPAWN_FAILURES])
        self.workers_lost = int(s.i[at.WORKERS_LOST])
        self.requeued = int(s.i[at.REQUEUED])
        self._jobs = _integral(s, at.JOBS, at.JOBS_AREA, at.JOBS_SINCE)
        self._cores = float(s.ef[at.CPU_WEIGHT]) * _integral(
            s, at.CPU, at.CPU_AREA, at.CPU_SINCE
        ) + float(s.ef[at.RAM_WEIGHT]) * _integral(s, at.RAM, at.RAM_AREA, at.RAM_SINCE)

    def jobs_integral(self) -> float:
        """See `Cluster.jobs_integral`."""
        return self._jobs

    def reserved_cores_integral(self) -> float:
        """See `Cluster.reserved_cores_integral`."""
        return self._cores


def _integral(s: Centre, value: int, area: int, since: int) -> float:
    """Twin of `Level.integral`, of the level in these columns."""
    return float(s.f[area]) + float(s.f[value]) * (float(s.f[at.NOW]) - float(s.f[since]))


class TracedCluster(Books):
    """The data centre; for the attributes see `env.metrics.MeasuredCluster`."""

    def __init__(self, data: EpisodeData, s: Centre, history: History) -> None:
        super().__init__(s)
        config = data.profile.cluster
        self.cores = float(s.ef[at.CORES])
        self.capacity_vcpus = float(s.ef[at.CAPACITY_VCPUS])
        self.capacity_ram_gib = float(s.ef[at.CAPACITY_RAM_GIB])
        self.nodes = [
            Node(i, node, config.vcpu_overcommit, config.ram_overcommit)
            for i, node in enumerate(config.nodes)
        ]
        self.reserved_cpu, self.reserved_ram, self.used_cpu, self.used_ram = history.replay(
            self.nodes
        )

    def reserved_vcpu_integral(self) -> float:
        """See `Cluster.reserved_vcpu_integral`."""
        return self.reserved_cpu.integral(self.now) / MILLI


class TracedRun:
    """The run; for the attributes see `env.metrics.MeasuredRun`."""

    def __init__(self, data: EpisodeData, s: Centre, history: History) -> None:
        self.cluster = TracedCluster(data, s, history)
        self.requests = data.requests
        n = len(data.requests)
        assigned, ended = s.ei[at.ASSIGNED_F], s.ei[at.ENDED_F]
        self.assigned_s = s.f[assigned : assigned + n].tolist()
        over = s.f[ended : ended + n]
        self.ended_s = over.tolist()
        jobs, length, column = s.ei[at.JOBS_EF], s.ei[at.JOB_F], s.ei[at.LUCK_AT]
        self.failed = []
        if n and column >= 0:
            luck = s.ef[jobs + column : jobs + n * length : length]
            fails = (luck < s.ef[at.TRANSCODE_ERROR]) & ~np.isnan(over)
            self.failed = np.flatnonzero(fails).tolist()
        self.invalid_actions = int(s.i[at.INVALID])
