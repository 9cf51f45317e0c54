"""All parts of the study, in order."""

from __future__ import annotations

from dataclasses import dataclass

from training.findings.action_map import ActionMap, action_maps
from training.findings.boots import ColdStart, cold_start
from training.findings.capacity import Capacity, Push, capacities, pushes
from training.findings.duel import Duel, duel
from training.findings.fleets import Fleets, fleets
from training.findings.half_hour import HalfHour, half_hours
from training.findings.knobs import KnobMap, knob_maps
from training.findings.naive import Sweep, sweep
from training.findings.surrogate import Surrogate, surrogate
from training.findings.visits import Visits, watch
from training.findings.world import Track, World

DUEL_PREFERENCES = (0.1, 0.5, 0.9)
"""Where on the dial the naive algorithms are compared."""


@dataclass(frozen=True)
class Findings:
    """What every part found."""

    sweep: Sweep
    duel: Duel
    capacities: list[Capacity]
    pushes: list[Push]
    knobs: list[KnobMap]
    cold: ColdStart
    visits: Visits
    queue_maps: list[ActionMap]
    idle_maps: list[ActionMap]
    fleets: Fleets
    surrogate: Surrogate
    half_hours: list[HalfHour]


def find_out(world: World, track: Track) -> Findings:
    """Run every part."""
    served = capacities(world, track)
    seen = watch(world, track)
    queue_maps, idle_maps = action_maps(world, seen, track)
    return Findings(
        sweep=sweep(world, track),
        duel=duel(world, DUEL_PREFERENCES, track),
        capacities=served,
        pushes=pushes(world, served, track),
        knobs=knob_maps(world, track),
        cold=cold_start(world, track),
        visits=seen,
        queue_maps=queue_maps,
        idle_maps=idle_maps,
        fleets=fleets(world, track),
        surrogate=surrogate(world, seen, track),
        half_hours=half_hours(world, track),
    )
