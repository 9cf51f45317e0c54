"""The same half hour under the two naive algorithms and the frozen policy."""

from __future__ import annotations

from dataclasses import dataclass

from env.families import Bursts
from env.metrics import EpisodeMetrics, measure
from env.timeline import Timeline
from training.findings.world import GRACE, MINIMIZE, Track, World

LOAD = 0.2
SEED = 3
LENGTH_S = 1800.0
PREFERENCE = 0.5


@dataclass(frozen=True)
class HalfHour:
    """What one policy did: the figures of the run and what happened when."""

    policy: str
    metrics: EpisodeMetrics
    timeline: Timeline
    end_s: float


def half_hours(world: World, track: Track) -> list[HalfHour]:
    """Half an hour of bursts and what is left of it, at w = 0.5."""
    requests = world.requests(Bursts(world.rate(LOAD)), SEED, LENGTH_S / 3600.0)
    found = []
    for policy in track([MINIMIZE, GRACE, world.frozen], "timelines"):
        timeline = Timeline()
        run = world.simulate(requests, policy, seed=SEED, preference=PREFERENCE, timeline=timeline)
        found.append(HalfHour(policy, measure(run), timeline, run.now))
    return found
