"""The three placements against a walk over all nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.config import PlacementName
from env.placement import Placement

STRATEGIES: tuple[PlacementName, ...] = get_args(PlacementName)


@dataclass(eq=False)
class Box:
    index: int
    free_millicores: int
    free_mib: int
    n_workers: int = 0


def preference(strategy: PlacementName, box: Box) -> tuple[int, int, int]:
    """Of the nodes with room, the one where this is least is chosen."""
    if strategy == "least-loaded":
        return -box.free_millicores, -box.free_mib, box.index
    if strategy == "spread":
        return box.n_workers, -box.free_millicores, box.index
    return box.free_millicores, box.free_mib, -box.index


# Few distinct sizes, so that ties and exact fits are common.
SIZES = st.tuples(
    st.integers(1, 8).map(lambda n: 500 * n), st.integers(1, 8).map(lambda n: 512 * n)
)
BOXES = st.lists(
    st.tuples(st.integers(0, 12).map(lambda n: 500 * n), st.integers(0, 12).map(lambda n: 512 * n)),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(boxes=BOXES, steps=st.lists(st.tuples(SIZES, st.integers(0, 3)), max_size=40))
def test_against_a_walk_over_all_nodes(
    strategy: PlacementName,
    boxes: list[tuple[int, int]],
    steps: list[tuple[tuple[int, int], int]],
) -> None:
    rooms = [Box(i, *free) for i, free in enumerate(boxes)]
    placement = Placement(strategy, rooms)
    placed: list[tuple[Box, int, int]] = []

    def change(box: Box, millicores: int, mib: int, workers: int) -> None:
        placement.remove(box)
        box.free_millicores -= millicores
        box.free_mib -= mib
        box.n_workers += workers
        placement.add(box)

    for (millicores, mib), choice in steps:
        if choice == 0 and placed:  # one of four steps frees what came first
            box, *size = placed.pop(0)
            change(box, -size[0], -size[1], -1)
            continue
        fitting = [b for b in rooms if b.free_millicores >= millicores and b.free_mib >= mib]
        chosen = placement.choose(millicores, mib)
        assert placement.fits_any(millicores, mib) == bool(fitting)
        if not fitting:
            assert chosen is None
            continue
        assert chosen is min(fitting, key=lambda box: preference(strategy, box))
        change(chosen, millicores, mib, 1)
        placed.append((chosen, millicores, mib))


@pytest.mark.parametrize(
    ("strategy", "nodes"),
    [
        ("least-loaded", [0, 0, 1, 0, 1, 0]),
        ("spread", [0, 1, 0, 1, 0, 1]),
        ("concentrate", [1, 1, 1, 1, 0, 0]),
    ],
)
def test_where_six_equal_workers_land(strategy: PlacementName, nodes: list[int]) -> None:
    rooms = [Box(0, 6000, 6144), Box(1, 4000, 6144)]
    placement = Placement(strategy, rooms)
    landed = []
    for _ in range(6):
        box = placement.choose(1000, 512)
        assert isinstance(box, Box)
        landed.append(box.index)
        placement.remove(box)
        box.free_millicores -= 1000
        box.free_mib -= 512
        box.n_workers += 1
        placement.add(box)
    assert landed == nodes


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_full_ram_sends_the_worker_elsewhere(strategy: PlacementName) -> None:
    roomy_but_no_ram, fits = Box(0, 6000, 100), Box(1, 2000, 4096)
    placement = Placement(strategy, [roomy_but_no_ram, fits])
    assert placement.choose(1000, 2048) is fits
    assert placement.choose(1000, 8192) is None
    assert not placement.fits_any(3000, 2048)
