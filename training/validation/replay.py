"""Replaying a measured run in the simulator, over many seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from agents.registry import make_policy
from env.config import Profile
from env.simulator import Simulator
from env.timeline import Timeline
from env.worker import WorkerState
from training.calibration.boot_law import COLD_FACTOR
from training.validation.algorithms import replay_policy
from training.validation.measured_flavor import node_indices, replay_cluster
from training.validation.measured_run import MeasuredRun
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

    Same requests at the same times, same videos, algorithm, limit and size of workers; the
    clock starts when the first worker was created if that was before the first request.

    Args:
        run: what to replay.
        profile: its timing, nodes and faults.
        seeds: how many simulations.
        algorithm: policy to replay with, by default the run's own.
        flavor: of the workers, by default the run's own or the nearest.
        placing: ``measured``: a worker lands on the node of the measured worker that was
            created as the same one in order; ``profile``: where the profile's rule puts it.

    Raises:
        ValidationError: the run's algorithm is not known.
        DaCircoError: algorithm or flavor do not exist, or do not fit the profile.
    """
    notes: list[str] = []
    if run.max_workers is None:
        most = int(run.trace.workers_at(run.trace.created).max(initial=1.0))
        run = replace(run, max_workers=most)
        notes.append(f"its limit is not recorded: taken as the {most} workers that it had at most")
    size = replay_cluster(run, profile.cluster, flavor)
    policy = replay_policy(run, algorithm, size.flavor)
    cluster = size.cluster if policy.takes_flavor else profile.cluster
    cold = _copied_the_image(run, profile)
    world = replace(profile, cluster=cluster, image_cached=not cold)
    notes += [policy.note] if policy.note else []
    notes += size.notes if policy.takes_flavor else ()
    if run.other_sizes and policy.takes_flavor:
        others = ", ".join(f"{count} on {name}" for name, count in run.other_sizes.items())
        notes.append(f"tasks on workers of other sizes ({others}) are replayed on {size.flavor}")
    if cold:
        notes.append("a first boot copied the image: replayed with nodes that do not hold it")
    delay = order_delay_s(profile)
    early = min(0.0, float(np.nanmin(run.trace.created)) - delay if len(run.trace.created) else 0.0)
    if early < -delay - 1.0:
        notes.append(f"its first worker was created {-early:.0f} s before the first request")
    nodes = node_indices(run, cluster) if placing == "measured" else []
    return Replay(
        run=run,
        profile=world,
        policy=policy.spec,
        same_algorithm=not policy.note,
        notes=tuple(notes),
        simulated=tuple(
            _simulate(run, world, policy.spec, seed, early, nodes, delay) for seed in range(seeds)
        ),
    )


def order_delay_s(profile: Profile) -> float:
    """Share of the profile's boot time that passes before the worker counts as created.

    A profile's boot begins with the order; a measured one when the cloud has answered it.
    """
    boot = profile.provenance.get("boot", {})
    delay = boot.get("order_delay_s", 0.0) if isinstance(boot, dict) else 0.0
    return float(delay) if isinstance(delay, int | float) else 0.0


def _copied_the_image(run: MeasuredRun, profile: Profile) -> bool:
    if profile.timing.boot.first_on_node_s == 0.0:
        return False
    seen: set[str] = set()
    limit = COLD_FACTOR * profile.timing.boot.median_s
    for node, boot in zip(run.worker_nodes, run.trace.part("boot"), strict=True):
        if node and node not in seen and boot > limit:
            return True
        seen.add(node)
    return False


def _simulate(
    run: MeasuredRun,
    profile: Profile,
    spec: str,
    seed: int,
    early: float,
    nodes: list[int],
    order_delay: float,
) -> RunTrace:
    simulator, timeline = _play(run, profile, spec, seed, early, nodes, None)
    if simulator.now < run.end - early:
        # It ended before the measured run; what its idle workers did until then is compared too.
        simulator, timeline = _play(run, profile, spec, seed, early, nodes, run.end - early)
    created, ready, stopped = np.full((3, len(timeline.lanes)), np.nan)
    for i, lane in enumerate(timeline.lanes):
        created[i] = lane.spans[0].start_s + order_delay
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


def _play(
    run: MeasuredRun,
    profile: Profile,
    spec: str,
    seed: int,
    early: float,
    nodes: list[int],
    limit_s: float | None,
) -> tuple[Simulator, Timeline]:
    policy = make_policy(spec)
    timeline = Timeline()
    simulator = Simulator(
        profile,
        [replace(request, arrival_s=request.arrival_s - early) for request in run.requests],
        run.catalog,
        seed=seed,
        discipline=policy.discipline,
        limit_s=limit_s,
        timeline=timeline,
        worker_nodes=nodes,
    )
    simulator.run(policy)
    return simulator, timeline
