"""The reference and the engine in step: the same orders, and what both know compared each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any

import numpy as np

from env.actions import action_from_index
from env.catalog import Catalog
from env.config import Profile
from env.engine import arrivals
from env.engine import layout as at
from env.engine.compiling import entry
from env.engine.engine import Engine
from env.engine.episode import prepare
from env.engine.layout import Centre, Floats
from env.engine.view import (
    arrival,
    busy_vcpu_integral,
    can_kill,
    drain_s,
    head_job,
    jobs_integral,
    longest_idle,
    mean_remaining_s,
    next_expected_end,
    oldest_waiting,
    reserved_cores,
    reserved_cores_integral,
    reserved_ram_gib,
    reserved_vcpus,
)
from env.jobs import Request
from env.metrics import measure
from env.simulator import Simulator


@entry
def look(s: Centre, seen: Floats) -> None:
    """Write down what the views tell; -1 for what is not there."""
    seen[0] = jobs_integral(s)
    seen[1] = reserved_cores_integral(s)
    seen[2] = reserved_cores(s)
    seen[3] = reserved_vcpus(s)
    seen[4] = reserved_ram_gib(s)
    seen[5] = busy_vcpu_integral(s)
    seen[6] = head_job(s)
    oldest = oldest_waiting(s)
    seen[7] = arrival(s, oldest) if oldest >= 0 else -1.0
    seen[8] = next_expected_end(s)
    seen[9] = mean_remaining_s(s)
    seen[10] = drain_s(s)
    n = s.ei[at.N_FLAVORS]
    for flavor in range(n):
        seen[11 + flavor] = 1.0 if can_kill(s, flavor) else 0.0
        worker = longest_idle(s, flavor)
        where = s.ei[at.WORKERS_F] + worker * at.WORKER_F + at.IDLE_SINCE
        seen[11 + n + flavor] = s.f[where] if worker >= 0 else -1.0


_VIEWS = (
    "jobs_integral",
    "reserved_cores_integral",
    "reserved_cores",
    "reserved_vcpus",
    "reserved_ram_gib",
    "busy_vcpu_integral",
    "head_job",
    "oldest_waiting_since",
    "next_expected_end",
    "mean_remaining_s",
    "drain_s",
)


def of_reference(simulator: Simulator) -> dict[str, Any]:
    """What is compared, as the reference has it."""
    c = simulator.cluster
    head, oldest, end = c.head_job, c.oldest_waiting_since, c.next_expected_end
    idle = [c.longest_idle(flavor) for flavor in range(c.n_flavors)]
    return {
        "time": simulator.now,
        "epoch": simulator.epoch.name if simulator.epoch is not None else None,
        "done": simulator.done,
        "invalid_actions": simulator.invalid_actions,
        "waiting": c.waiting,
        "in_service": c.in_service,
        "booting": c.booting,
        "idle": c.idle,
        "busy": c.busy,
        "draining": c.draining,
        "retiring": c.n_retiring,
        "workers": c.n_workers,
        "on nodes": [node.n_workers for node in c.nodes],
        "booting on nodes": [node.n_booting for node in c.nodes],
        "free millicores": [node.free_millicores for node in c.nodes],
        "free MiB": [node.free_mib for node in c.nodes],
        "load": [round(shared.load * 1000) for shared in simulator._nodes],
        "nodes_cached": c.nodes_cached,
        "fits": c.fits,
        "completed": c.completed,
        "failed": c.failed,
        "boots": c.boots,
        "spawn_failures": c.spawn_failures,
        "workers_lost": c.workers_lost,
        "requeued": c.requeued,
        "registered_of": c.registered_of,
        "spawn_failures_of": c.spawn_failures_of,
        "queued_service_s": c.queued_service_s,
        "mean_service_s": c.mean_service_s,
        "arrivals": c.arrivals.count,
        "jobs_integral": c.jobs_integral(),
        "reserved_cores_integral": c.reserved_cores_integral(),
        "reserved_cores": c.reserved_cores,
        "reserved_vcpus": c.reserved_vcpus,
        "reserved_ram_gib": c.reserved_ram_gib,
        "busy_vcpu_integral": c.busy_vcpu_integral(),
        "head_job": -1 if head is None else head.job_id,
        "oldest_waiting_since": -1.0 if oldest is None else oldest,
        "next_expected_end": None if end is None else end,
        "mean_remaining_s": c.mean_remaining_s,
        "drain_s": c.drain_s,
        "can_kill": [c.can_kill(flavor) for flavor in range(c.n_flavors)],
        "longest idle since": [-1.0 if one is None else one.idle_since for one in idle],
    }


def of_engine(engine: Engine, d: int = 0) -> dict[str, Any]:
    """The same, as the engine has it."""
    s = engine.centre(d)
    n, nodes = int(s.ei[at.N_FLAVORS]), int(s.ei[at.N_NODES])
    flavors = s.i[at.FLAVORS_I : at.FLAVORS_I + n * at.FLAVOR_I].reshape(n, at.FLAVOR_I).T
    first = int(s.ei[at.NODES_I])
    of_node = s.i[first : first + nodes * at.NODE_I].reshape(nodes, at.NODE_I).T
    figures = s.f[at.FLAVORS_F : at.FLAVORS_F + n * at.FLAVOR_F].reshape(n, at.FLAVOR_F).T
    seen = np.zeros(len(_VIEWS) + 2 * n)
    look(s, seen)
    views = dict(zip(_VIEWS, seen.tolist(), strict=False))
    if isnan(views["next_expected_end"]):
        views["next_expected_end"] = None
    from env.simulator import Epoch

    return {
        "time": float(s.f[at.NOW]),
        "epoch": Epoch(int(s.i[at.EPOCH])).name,
        "done": bool(s.i[at.DONE]),
        "invalid_actions": int(s.i[at.INVALID]),
        "waiting": int(s.i[at.WAITING]),
        "in_service": int(s.i[at.IN_SERVICE]),
        "booting": flavors[at.BOOTING].tolist(),
        "idle": flavors[at.IDLE].tolist(),
        "busy": flavors[at.BUSY].tolist(),
        "draining": flavors[at.DRAINING].tolist(),
        "retiring": int(s.i[at.N_RETIRING]),
        "workers": int(s.i[at.N_WORKERS]),
        "on nodes": of_node[at.WORKERS].tolist(),
        "booting on nodes": of_node[at.BOOTING_HERE].tolist(),
        "free millicores": of_node[at.FREE_MC].tolist(),
        "free MiB": of_node[at.FREE_MIB].tolist(),
        "load": of_node[at.LOAD].tolist(),
        "nodes_cached": int(s.i[at.NODES_CACHED]),
        "fits": flavors[at.FITS].astype(bool).tolist(),
        "completed": int(s.i[at.COMPLETED]),
        "failed": int(s.i[at.FAILED]),
        "boots": int(s.i[at.SPAWNS]),
        "spawn_failures": int(s.i[at.SPAWN_FAILURES]),
        "workers_lost": int(s.i[at.WORKERS_LOST]),
        "requeued": int(s.i[at.REQUEUED]),
        "registered_of": flavors[at.REGISTERED].tolist(),
        "spawn_failures_of": flavors[at.SPAWN_FAILURES_OF].tolist(),
        "queued_service_s": figures[at.QUEUED].tolist(),
        "mean_service_s": figures[at.MEAN_SERVICE].tolist(),
        "arrivals": int(s.f[at.ARRIVALS + arrivals.COUNT]),
        **views,
        "can_kill": seen[len(_VIEWS) : len(_VIEWS) + n].astype(bool).tolist(),
        "longest idle since": seen[len(_VIEWS) + n :].tolist(),
    }


@dataclass
class Pair:
    """One run in both worlds.

    Attributes:
        simulator: the reference.
        engine: whose first data centre plays the same.
        n: decisions so far.
        past: the latest decisions and orders, for the message.
    """

    simulator: Simulator
    engine: Engine
    n: int = 0
    past: list[str] = field(default_factory=list)

    def compare(self) -> None:
        """Fail with the first figure that differs, and with what led to it."""
        expected, found = of_reference(self.simulator), of_engine(self.engine)
        for name, value in expected.items():
            if found[name] != value:
                since = "\n".join(self.past[-12:])
                raise AssertionError(
                    f"decision {self.n}, {expected['epoch']} at {expected['time']!r} in the "
                    f"reference, {found['epoch']} at {found['time']!r} in the engine: {name} is "
                    f"{value!r} in the reference, {found[name]!r} in the engine. Before:\n{since}"
                )
        self.past.append(f"{self.n}: {expected['epoch']} at {expected['time']!r}")

    def advance(self) -> bool:
        """To the next decision."""
        self.n += 1
        going = self.simulator.advance()
        assert self.engine.advance(0) == going, self.past[-3:]
        self.compare()
        return going

    def apply(self, action: int) -> bool:
        """Order the same."""
        self.past.append(f"   order {action}")
        done = self.simulator.apply(action_from_index(action, self.simulator.cluster.n_flavors))
        assert self.engine.apply(0, action) == done, self.past[-12:]
        self.compare()
        return done

    def wake_at(self, time_s: float) -> None:
        """Ask both for a wake-up."""
        self.past.append(f"   wake at {time_s!r}")
        self.simulator.wake_at(time_s)
        self.engine.wake_at(0, time_s)

    def compare_metrics(self) -> None:
        """All figures of the run are equal."""
        expected = measure(self.simulator).to_dict()
        found = self.engine.metrics(0).to_dict()
        differing = {k: (v, found[k]) for k, v in expected.items() if found[k] != v}
        assert not differing, differing

    def play(
        self,
        orders: Callable[[], Sequence[int]],
        wakes: Callable[[], float | None],
        most: float = inf,
    ) -> None:
        """To the end: at each decision some orders, up to the first that cannot be."""
        while self.n < most and self.advance():
            for action in orders():
                if not self.apply(action):
                    break
            delay = wakes()
            if delay is not None:
                self.wake_at(self.simulator.now + delay)
        self.compare_metrics()


def pair(profile: Profile, requests: Sequence[Request], catalog: Catalog, **given: Any) -> Pair:
    """Both worlds at their start; for `given` see `Simulator`."""
    engine = Engine(1)
    engine.load(0, prepare(profile, requests, catalog, trace=True, **given))
    both = Pair(Simulator(profile, requests, catalog, **given), engine)
    both.compare()
    return both
