"""Delay against resources: the dial's curve, Pareto fronts and the area that they dominate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Point(NamedTuple):
    """What a policy makes of the two bosses' wishes; less is better in both.

    Attributes:
        delay_s: mean delay of a job, seconds.
        core_s: reserved equivalent core-seconds for each job.
    """

    delay_s: float
    core_s: float


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both, by rising delay; equal ones once."""
    front: list[Point] = []
    for point in sorted(set(points)):
        if not front or point.core_s < front[-1].core_s:
            front.append(point)
    return front


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Share of the rectangle between zero and the reference that the points dominate.

    A place is dominated if some point is at least as good in both; points beyond the
    reference add nothing (Zitzler and Thiele 1998).
    """
    inside = [p for p in points if p.delay_s < reference.delay_s and p.core_s < reference.core_s]
    area, ceiling = 0.0, reference.core_s
    for point in pareto_front(inside):
        area += (reference.delay_s - point.delay_s) * (ceiling - point.core_s)
        ceiling = point.core_s
    return area / (reference.delay_s * reference.core_s)


def is_monotone(curve: Sequence[Point], tolerance: float) -> bool:
    """Whether delay falls and resources rise all along the dial, from lean to fast.

    Args:
        curve: in the order of the dial.
        tolerance: relative steps back that do not count.
    """
    return all(
        after.delay_s <= (1 + tolerance) * before.delay_s
        and after.core_s >= (1 - tolerance) * before.core_s
        for before, after in pairwise(curve)
    )


def beaten_by(point: Point, others: Sequence[Point], margin: float) -> list[int]:
    """Which of the others are better than the point by more than the margin in both."""
    return [
        i
        for i, other in enumerate(others)
        if other.delay_s < (1 - margin) * point.delay_s
        and other.core_s < (1 - margin) * point.core_s
    ]
