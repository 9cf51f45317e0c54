"""Replaying a measured run in the simulator, over many seeds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from agents.registry import make_policy
from env.config import Profile
from env.simulator import Simulator
from env.timeline import Timeline
from env.worker import WorkerState
from training.calibration.boot_law import COLD_FACTOR
from training.calibration.transcode_law import EXISTING_UNIT
from training.validation.algorithms import replay_policy
from training.validation.measured_flavor import node_indices, node_places, replay_cluster
from training.validation.measured_rules import as_measured, leaves_idle, oddity_of
from training.validation.measured_run import MeasuredRun
from training.validation.measured_world import Measured, MeasuredWorld
from training.validation.provenance import order_delay_s, throttle_of
from training.validation.run_trace import RunTrace

Placing = Literal["measured", "profile"]

BY_RUNNER: Final = {"vm": "openstack", "pod": "kubernetes"}
"""The shipped profile of each kind of worker."""


@dataclass(frozen=True)
class Replay:
    """A measured run and its simulations.

    Attributes:
        run: what was measured.
        profile: what it was replayed with (its cluster adapted to the run).
        policy: that replayed its decisions.
        same_algorithm: whether that is the run's own algorithm.
        notes: how the replay differs from the run.
        simulated: one trace for each seed, their boots counted as the measured ones are.
    """

    run: MeasuredRun
    profile: Profile
    policy: str
    same_algorithm: bool
    notes: tuple[str, ...]
    simulated: tuple[RunTrace, ...]


def replay(
    run: MeasuredRun,
    profile: Profile,
    *,
    seeds: int,
    algorithm: str | None = None,
    flavor: str | None = None,
    placing: Placing = "measured",
) -> Replay:
    """Simulate a measured run.

    Same requests at the same times, same videos, algorithm, limit and sizes of workers; the
    clock starts when the first worker was created if that was before the first request. What
    hung, and the nodes that had to copy the image, are as measured.

    Args:
        run: what to replay.
        profile: its timing, nodes and faults.
        seeds: how many simulations.
        algorithm: policy to replay with, by default the run's own.
        flavor: of the workers, by default the run's own or the nearest.
        placing: ``measured``: a worker lands on the node of the measured worker that was
            created as the same one in order; ``profile``: where the profile's rule puts it.
            Its size is that of the same one in either case.

    Raises:
        ValidationError: the run's algorithm is not known.
        DaCircoError: algorithm or flavor do not exist, or do not fit the profile.
    """
    notes: list[str] = []
    most = int(run.trace.workers_at(run.trace.created).max(initial=1.0))
    if run.max_workers is None:
        run = replace(run, max_workers=most)
        notes.append(f"its limit is not recorded: taken as the {most} workers that it had at most")
    size = replay_cluster(run, profile.cluster, flavor)
    policy = replay_policy(run, algorithm, size.flavor, size.of_key)
    cluster = size.cluster if policy.takes_flavor else profile.cluster
    places = node_places(run, cluster)
    cold = _copied_the_image(run, profile)
    world = replace(profile, cluster=cluster, image_cached=not cold)
    names = [one.name for one in cluster.flavors]
    measured = Measured(
        hung=run.hung_requests, cold_nodes=frozenset(places[n] for n in cold if n in places)
    )
    notes += [policy.note] if policy.note else []
    if policy.takes_flavor:
        notes += size.notes
        if len(set(size.of_workers)) > 1:
            counts = Counter(size.of_workers)
            workers = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
            notes.append(f"each worker has the size that it had ({workers})")
        measured = replace(
            measured,
            flavors=[names.index(name) for name in size.of_workers],
            slowness={names.index(name): slow for name, slow in size.slowness.items()},
            loads={names.index(name): load for name, load in size.loads.items()},
        )
        throttle = throttle_of(profile)
        if throttle != 1.0 and size.limits and run.bitrate_unit == EXISTING_UNIT:
            measured = replace(
                measured,
                throttle=throttle,
                limits={names.index(name): limit for name, limit in size.limits.items()},
            )
            notes.append(
                f"a pod whose quota binds takes {throttle:.2f} times as long, as with the existing "
                "system's workers"
            )
    rule = as_measured(make_policy(policy.spec), most)
    measured = replace(measured, leaves_idle=leaves_idle(rule))
    if oddity := oddity_of(rule):
        notes.append(f"as measured: {oddity}")
    if run.hung_requests:
        notes.append(
            f"{len(run.hung_requests)} of its requests hung, and hang in the replay; the others "
            "are compared"
        )
    if cold:
        notes.append(
            f"first boots copied the image on {', '.join(sorted(cold))}: so they do in the replay"
        )
    delay = order_delay_s(profile)
    early = min(0.0, float(np.nanmin(run.trace.created)) - delay if len(run.trace.created) else 0.0)
    if early < -delay - 1.0:
        notes.append(f"its first worker was created {-early:.0f} s before the first request")
    nodes = node_indices(run, cluster) if placing == "measured" else []
    play = _Play(run, world, policy.spec, most, early, nodes, delay, measured)
    return Replay(
        run=run,
        profile=world,
        policy=policy.spec,
        same_algorithm=not policy.note,
        notes=tuple(notes),
        simulated=tuple(play.simulate(seed) for seed in range(seeds)),
    )


def _copied_the_image(run: MeasuredRun, profile: Profile) -> set[str]:
    """The nodes whose first boot took so long that it copied the image."""
    cold: set[str] = set()
    if profile.timing.boot.first_on_node_s == 0.0:
        return cold
    seen: set[str] = set()
    limit = COLD_FACTOR * profile.timing.boot.median_s
    for node, boot in zip(run.worker_nodes, run.trace.part("boot"), strict=True):
        if node and node not in seen and boot > limit:
            cold.add(node)
        seen.add(node)
    return cold


@dataclass(frozen=True)
class _Play:
    """All that a simulation of a run needs but the seed.

    Attributes:
        run: what is replayed.
        profile: what with.
        spec: of the policy.
        most: workers that the run had at once.
        early: when the clock starts, seconds since the first request; 0 or less.
        nodes: of the workers in the order of their creation.
        order_delay: from the order of a worker to its creation, seconds.
        measured: what is done as measured.
    """

    run: MeasuredRun
    profile: Profile
    spec: str
    most: int
    early: float
    nodes: list[int]
    order_delay: float
    measured: Measured

    def simulate(self, seed: int) -> RunTrace:
        """One simulation, in the figures of the measured run."""
        run, early = self.run, self.early
        simulator, timeline = self._play(seed, None)
        if simulator.now < run.end - early:
            # It ended before the measured run; what its idle workers did until then is
            # compared too.
            simulator, timeline = self._play(seed, run.end - early)
        created, ready, stopped = np.full((3, len(timeline.lanes)), np.nan)
        for i, lane in enumerate(timeline.lanes):
            created[i] = lane.spans[0].start_s + self.order_delay
            if len(lane.spans) > 1:
                ready[i] = lane.spans[1].start_s
            draining = [span.start_s for span in lane.spans if span.state is WorkerState.DRAINING]
            end = draining[0] if draining else lane.end_s
            stopped[i] = np.nan if end is None else end
        assigned = np.array(simulator.assigned_s) + early
        return RunTrace(
            received=run.trace.received,
            assigned=assigned,
            download_start=assigned,
            downloaded=np.array(simulator.downloaded_s) + early,
            transcoded=np.array(simulator.transcoded_s) + early,
            ended=np.array(simulator.ended_s) + early,
            created=created + early,
            ready=ready + early,
            stopped=stopped + early,
        )

    def _play(self, seed: int, limit_s: float | None) -> tuple[Simulator, Timeline]:
        policy = as_measured(make_policy(self.spec), self.most)
        timeline = Timeline()
        simulator = MeasuredWorld(
            self.profile,
            [
                replace(request, arrival_s=request.arrival_s - self.early)
                for request in self.run.requests
            ],
            self.run.catalog,
            seed=seed,
            discipline=policy.discipline,
            limit_s=limit_s,
            timeline=timeline,
            worker_nodes=self.nodes,
            measured=self.measured,
        )
        simulator.run(policy)
        return simulator, timeline
