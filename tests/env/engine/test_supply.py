"""Episodes made ahead of time: which they are does not depend on how many may wait."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from env.arguments import World
from env.engine import supply as module
from env.engine.episode import EpisodeData
from env.engine.supply import EpisodeSupply

N = 5


def world() -> World:
    return World(
        "openstack",
        family="bursts",
        load=0.5,
        preference=None,
        episode_s=900.0,
        max_jobs_per_core=5.0,
        sampler=None,
    )


def first_ones(*, ahead: bool) -> list[EpisodeData]:
    supply = EpisodeSupply(world(), N, trace=False)
    for d in range(N):
        supply.seed(d, d)
    if ahead:
        supply.order(range(N))
    found = [supply.take(d) for d in range(N)]
    supply.close()
    return found


def test_what_was_ordered_is_what_would_have_been_made() -> None:
    for one, other in zip(first_ones(ahead=True), first_ones(ahead=False), strict=True):
        assert np.array_equal(one.floats, other.floats)
        assert one.key == other.key
        assert one.source is not None
        assert not one.requests  # nobody asks for them without a trace
        assert one.last_s > 0.0


def test_no_more_may_be_ordered_than_memory_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    supply = EpisodeSupply(world(), N, trace=False)
    for d in range(N):
        supply.seed(d, d)
    assert supply.room > N
    size = max(supply.take(d).nbytes for d in range(N))
    monkeypatch.setattr(module, "_MOST_BYTES", 2 * size)
    assert supply.room == 2
    supply.order([0, 1])
    assert supply.room == 0
    supply.take(1)
    assert supply.room == 1
    supply.seed(0, 9)  # what was ordered is void
    assert supply.room == 2
    monkeypatch.setattr(module, "_MOST_BYTES", 1)
    assert supply.room == 1  # one is always worth it
    supply.close()
