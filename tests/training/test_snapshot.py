"""Copies of a simulation have the same future, and leave it alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.actions import spawn
from tests.training.played_runs import figures, play, simulation
from training.snapshot import copy_simulator


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
