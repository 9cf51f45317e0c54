"""What the shipped policy must reach, and whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from training.competition.conditions import FAULTS, OFF_PROFILE, SIZES
from training.competition.entrants import GRACE_PERIOD, MINIMIZE_WORKERS
from training.competition.front import Point, beaten_by, hypervolume, is_monotone
from training.competition.results import Away, Home

_AIM: Final = 0.95
_WORST: Final = 1.05
_AFTERWARDS: Final = 1.0
_NAIVE: Final = {GRACE_PERIOD: 0.80, MINIMIZE_WORKERS: 0.87}
_MARGIN: Final = 0.02
_SIZES: Final = 1.02
_REFERENCE: Final = 1.1
"""The reference point lies this far beyond the worst of the naive algorithms and of the dial's
own curve, in each cost."""
_STEP: Final = 0.002
"""Smaller steps back along the dial are chance."""


@dataclass(frozen=True, slots=True)
class Target:
    """A demand, the figure that was found, and whether it is met."""

    demand: str
    found: str
    held: bool


def at_home(home: Home) -> list[Target]:
    """Targets against tuned and naive rules on the profile as it is."""
    ours, theirs = home.costs(home.entry.shipped), home.of_best_tuned()
    found = []
    for w, rival in enumerate(home.best_tuned()):
        one = home.match(ours, theirs, w)
        high = one.ratio.value if one.ratio.high is None else one.ratio.high
        found.append(
            Target(
                f"w = {home.entry.preferences[w]:g}: below the best tuned rule ({rival.rule}), "
                "the whole interval below 1",
                f"{one.ratio.value:.3f}, up to {high:.3f}",
                high < 1.0,
            )
        )
    overall = home.match(ours, theirs)
    found.append(
        Target(
            f"over all w at most {_AIM:g} of the best tuned rules (an aim)",
            f"{overall.ratio.value:.3f}",
            overall.ratio.value <= _AIM,
        )
    )
    found.append(
        Target(
            f"on no scenario at any w above {_WORST:g} of the best tuned rule",
            f"{overall.worst_ratio:.3f} ({overall.worst})",
            overall.worst_ratio <= _WORST,
        )
    )
    after = home.match(ours, home.afterwards()[0])
    found.append(
        Target(
            f"at most {_AFTERWARDS:.2f} of the best of all rules and settings picked for each "
            "scenario afterwards",
            f"{after.ratio.value:.3f}",
            after.ratio.value <= _AFTERWARDS,
        )
    )
    for naive, most in _NAIVE.items():
        one = home.match(ours, home.costs(naive))
        found.append(
            Target(
                f"over all w at most {most:.2f} of {naive}",
                f"{one.ratio.value:.3f}",
                one.ratio.value <= most,
            )
        )
    return found


def reference(home: Home) -> Point:
    """The reference point of the hypervolume."""
    points = [*(home.point(naive, 0.5) for naive in _NAIVE), *home.curve()]
    return Point(
        _REFERENCE * max(p.delay_s for p in points), _REFERENCE * max(p.core_s for p in points)
    )


def of_the_dial(home: Home) -> list[Target]:
    """Targets of the curve of delay and resources."""
    curve, rivals = home.curve(), home.rival_points()
    points = [point for _, point in rivals]
    beyond = reference(home)
    ours, theirs = hypervolume(curve, beyond), hypervolume(points, beyond)
    better = {rivals[i][0] for point in curve for i in beaten_by(point, points, _MARGIN)}
    return [
        Target(
            f"the dial's curve is monotone (steps back below {_STEP:.1%} are chance)",
            f"from {curve[0].delay_s:.1f} s, {curve[0].core_s:.1f} core-seconds "
            f"to {curve[-1].delay_s:.1f} s, {curve[-1].core_s:.1f}",
            is_monotone(curve, _STEP),
        ),
        Target(
            "its hypervolume is larger than that of the rivals' joint Pareto front",
            f"{ours:.4f} against {theirs:.4f}",
            ours > theirs,
        ),
        Target(
            f"no rival point is better by more than {_MARGIN:.0%} in both",
            ", ".join(sorted(better)) or "none is",
            not better,
        ),
    ]


def elsewhere(worlds: Sequence[Away]) -> list[Target]:
    """Targets of the other worlds."""
    found = []
    for world in worlds:
        ratio, name = world.overall.ratio.value, world.condition.name
        if world.condition in SIZES:
            found.append(
                Target(
                    f"{name}: at most {_SIZES:g} of the best tuned rule",
                    f"{ratio:.3f}",
                    ratio <= _SIZES,
                )
            )
        elif world.condition in OFF_PROFILE:
            found.append(Target(f"{name}: beats the best tuned rule", f"{ratio:.3f}", ratio < 1.0))
        elif world.condition == FAULTS:
            found += [
                Target(
                    f"{name}: no job is lost",
                    f"{world.not_ended} of {world.jobs:,}",
                    world.not_ended == 0,
                ),
                Target(f"{name}: beats the best tuned rule", f"{ratio:.3f}", ratio < 1.0),
            ]
    return found
