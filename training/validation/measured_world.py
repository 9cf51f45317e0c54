"""The simulator with what a measured system did that no profile tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from env.cluster import Cluster
from env.contention import SharedNode
from env.jobs import Job
from env.simulator import Simulator
from env.worker import Worker


@dataclass(frozen=True)
class Measured:
    """What is done as it was in the measured run.

    Attributes:
        flavors: index of the flavor of each worker in the order of the spawns; where it says
            nothing, or the nodes have no room for it, the policy's order holds.
        hung: indices of the requests that stopped getting on: so they do here.
        slowness: by index of a flavor, how many times longer its transcodes take than the
            profile says.
        loads: by index of a flavor, the vCPUs that its transcodes keep busy.
        cold_nodes: indices of the nodes that do not hold the image, the others do; if there are
            none, the profile says which do.
        throttle: how many times longer a transcode takes while a quota throttles it.
        limits: by index of a flavor, the vCPUs of its quota.
        leaves_idle: whether a worker that idles is given no request that comes later.
    """

    flavors: Sequence[int] = ()
    hung: frozenset[int] = frozenset()
    slowness: Mapping[int, float] = field(default_factory=dict)
    loads: Mapping[int, float] = field(default_factory=dict)
    cold_nodes: frozenset[int] = frozenset()
    throttle: float = 1.0
    limits: Mapping[int, float] = field(default_factory=dict)
    leaves_idle: bool = False


class ThrottledNode(SharedNode):
    """A node on which quotas throttle (see `training.calibration.crowding.Crowding`).

    Args:
        throttle: by which factor.
        limits: vCPUs of the quota by index of a flavor.
        others: of `SharedNode`.
    """

    def __init__(
        self, *others: Any, cores: int, throttle: float, limits: Mapping[int, float]
    ) -> None:
        self._throttle = throttle
        self._limits = limits
        self._quota = 0.0
        self._size = cores
        env, *rest = others
        super().__init__(env, cores, *rest)

    def slowdown(self, load: float) -> float:
        """See `SharedNode.slowdown`."""
        bound = 0.0 < self._quota <= self._size
        return super().slowdown(load) * (self._throttle if bound else 1.0)

    def start(self, work_s: float, load: float, token: Any) -> None:
        """See `SharedNode.start`."""
        self._quota += self._limits.get(token.worker.flavor, 0.0)
        super().start(work_s, load, token)

    def stop(self, load: float, token: Any) -> None:
        """See `SharedNode.stop`."""
        self._quota -= self._limits.get(token.worker.flavor, 0.0)
        super().stop(load, token)

    def ended(self, flavor: int) -> None:
        """A transcode has ended on a worker of a flavor; its load is taken off next."""
        self._quota -= self._limits.get(flavor, 0.0)


class MeasuredWorld(Simulator):
    """A simulator that repeats the oddities of a measured run.

    Args:
        measured: which they are.
        others: of `Simulator`.
    """

    def __init__(self, *args: Any, measured: Measured, **others: Any) -> None:
        self._measured = measured
        super().__init__(*args, **others)
        flavors = self.cluster.n_flavors
        for job in range(len(self.requests)):
            for flavor in range(flavors):
                place = job * flavors + flavor
                self._work[place] *= measured.slowness.get(flavor, 1.0)
                self._speedup[place] = measured.loads.get(flavor, self._speedup[place])
        if measured.cold_nodes:
            for index, node in enumerate(self.cluster.nodes):
                node.image_cached = index not in measured.cold_nodes
            self.cluster.nodes_cached = len(self.cluster.nodes) - len(measured.cold_nodes)
        if measured.throttle != 1.0:
            timing = self.profile.timing
            self._nodes = [
                ThrottledNode(
                    self.env,
                    timing.contention,
                    timing.boot,
                    self._transcoded,
                    self._booted,
                    cores=node.config.cores,
                    throttle=measured.throttle,
                    limits=measured.limits,
                )
                for node in self.cluster.nodes
            ]
        for job in measured.hung:
            self._download[job] = inf

    def advance(self) -> bool:
        """As `Simulator.advance`; the run also ends when only jobs that hang are left."""
        goes_on = super().advance()
        if (
            goes_on
            and self._measured.hung
            and self._ends_with_jobs
            and self._arrived == len(self.requests)
            and self.cluster.jobs_in_system <= len(self._measured.hung)
            and all(job in self._measured.hung for job in self.cluster.jobs)
        ):
            self.done = True
            return False
        return goes_on

    def _spawn(self, flavor: int) -> None:
        order = self._next_worker
        if order < len(self._measured.flavors):
            measured = self._measured.flavors[order]
            if self.cluster.can_spawn(measured):
                flavor = measured
        super()._spawn(flavor)

    def _transcoded(self, task: Any) -> None:
        node = self._nodes[task.worker.node]
        if isinstance(node, ThrottledNode):
            node.ended(task.worker.flavor)
        super()._transcoded(task)

    def _next_assignment(self) -> tuple[Job, Worker] | None:
        cluster: Cluster = self.cluster
        if not self._measured.leaves_idle:
            return super()._next_assignment()
        # Only who has become free at this moment takes a request.
        now = cluster.now
        return cluster.next_assignment(lambda job, worker: worker.idle_since == now)
