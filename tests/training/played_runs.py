"""Runs of the reference simulator in which much happens, played by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import numpy as np

from env.actions import KEEP, Action, kill, spawn
from env.metrics import measure
from env.observation import Observer, action_mask
from env.simulator import Simulator
from env.timeline import Timeline
from tests.training.small_world import short_episodes

N_FLAVORS = 3


def simulation(seed: int, faults: bool = True, timeline: bool = False) -> Simulator:
    """A run of ten minutes, in which much goes wrong if `faults`."""
    episode = short_episodes(1, seed, load=0.8)[0]
    profile = episode.profile
    if faults:
        changed = replace(
            profile.faults, spawn_failure=0.2, worker_loss_per_hour=20.0, transcode_error=0.1
        )
        profile = replace(profile, faults=changed)
    return Simulator(
        profile,
        episode.requests,
        episode.catalog,
        seed=episode.seed,
        preference=episode.preference,
        limit_s=900.0,
        timeline=Timeline() if timeline else None,
    )


def orders(rng: np.random.Generator) -> Sequence[Action]:
    """What to order at one decision."""
    roll = rng.random()
    flavor = int(rng.integers(N_FLAVORS))
    return [spawn(flavor)] if roll < 0.3 else [kill(flavor)] if roll < 0.4 else [KEEP]


def play(simulator: Simulator, seed: int, decisions: int) -> list[object]:
    """Go on for so many decisions; returns all that could be seen on the way."""
    rng = np.random.default_rng(seed)
    observer = Observer(simulator.cluster)
    row = np.zeros(observer.size, dtype=np.float32)
    mask = np.zeros(1 + 2 * N_FLAVORS, dtype=np.bool_)
    seen: list[object] = []
    for _ in range(decisions):
        if not simulator.advance():
            seen.append("end")
            break
        observer.write(row)
        action_mask(simulator.cluster, mask)
        done = [simulator.apply(order) for order in orders(rng)]
        seen.append((simulator.now, simulator.epoch, row.tobytes(), mask.tobytes(), done))
    return seen


def figures(simulator: Simulator) -> object:
    """All that a run has come to."""
    steps = (simulator.assigned_s, simulator.downloaded_s, simulator.transcoded_s)
    times = [
        [None if isnan(time) else time for time in column] for column in (*steps, simulator.ended_s)
    ]
    metrics = [repr(value) for value in measure(simulator).to_dict().values()]
    workers = {key: repr(worker) for key, worker in simulator.cluster.workers.items()}
    return metrics, times, workers, simulator.failed, simulator.invalid_actions, simulator.done
