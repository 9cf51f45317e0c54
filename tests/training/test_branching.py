"""Copies of a simulation: the same future bit for bit, and the original untouched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import short_episodes

from env.actions import KEEP, Action, kill, spawn
from env.metrics import measure
from env.observation import Observer, action_mask
from env.simulator import Simulator
from env.timeline import Timeline
from training.branching import copy_simulator

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


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), before=st.integers(0, 250), faults=st.booleans())
def test_the_same_future_bit_for_bit(seed: int, before: int, faults: bool) -> None:
    simulator = simulation(seed, faults)
    play(simulator, seed, before)
    copied = copy_simulator(simulator)
    assert figures(copied) == figures(simulator)
    again = copy_simulator(copied)
    ours = play(simulator, seed + 1, 10**6)
    assert play(copied, seed + 1, 10**6) == ours
    assert play(again, seed + 1, 10**6) == ours
    assert figures(copied) == figures(simulator) == figures(again)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), before=st.integers(0, 250))
def test_the_original_is_untouched(seed: int, before: int) -> None:
    simulator, never_copied = simulation(seed), simulation(seed)
    play(simulator, seed, before)
    play(never_copied, seed, before)
    at_the_copy = figures(simulator)
    copied = copy_simulator(simulator)
    play(copied, seed + 2, 10**6)
    assert figures(simulator) == at_the_copy
    assert play(simulator, seed + 1, 10**6) == play(never_copied, seed + 1, 10**6)
    assert figures(simulator) == figures(never_copied)


def test_what_the_copies_do_differs_where_their_orders_do() -> None:
    simulator = simulation(3, faults=False)
    simulator.advance()
    one, two = copy_simulator(simulator), copy_simulator(simulator)
    assert one.apply(spawn(0))
    assert two.apply(spawn(2))
    assert one.cluster.booting != two.cluster.booting
    assert simulator.cluster.n_booting == 0


def test_what_never_changes_is_shared() -> None:
    simulator = simulation(1)
    copied = copy_simulator(simulator)
    assert copied.requests is simulator.requests
    assert copied.profile is simulator.profile
    assert copied.timing is simulator.timing
    assert copied.cluster is not simulator.cluster
    assert copied.env is not simulator.env
    assert copied.cluster.config is simulator.cluster.config


@pytest.mark.parametrize("before", [0, 60])
def test_the_picture_is_copied_too(before: int) -> None:
    simulator = simulation(2, timeline=True)
    play(simulator, 2, before)
    copied = copy_simulator(simulator)
    assert copied.timeline is not None
    assert simulator.timeline is not None
    untouched = len(simulator.timeline.samples)
    play(copied, 9, 100)
    assert len(simulator.timeline.samples) == untouched
    assert len(copied.timeline.samples) > untouched
