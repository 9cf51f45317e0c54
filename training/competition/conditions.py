"""Under which conditions the policies compete: as the profile says, and off it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Final

from env.config import NodeConfig, Profile
from env.jobs import Request

HOME: Final = "home"
"""The profile as it is."""

_OFF: Final = 0.3
"""By how much boots, transcodes and arrivals are off the profile."""
_SIZES: Final = (2, 6, 12)
_SPAWN_FAILURE: Final = 0.05
_LOST_PER_HOUR: Final = 0.7
"""At this rate about two workers in a hundred are lost over their lives, which last from one
minute to some (the page tells how many were)."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A world that differs from the home one.

    What is off the profile is not known to the policies: their cluster goes by the home
    profile. They do know the number of nodes.

    Attributes:
        name: short, for tables and files.
        about: in words.
        boot: factor on boot times. speed: factor on transcoding times. rate: factor on the
            arrival rate, on top of what follows from the nodes.
        nodes: how many, if others than at home; the arrival rate is scaled with them.
        faults: whether spawns fail and workers are lost.
    """

    name: str
    about: str
    boot: float = 1.0
    speed: float = 1.0
    rate: float = 1.0
    nodes: int | None = None
    faults: bool = False

    def believed(self, home: Profile) -> Profile:
        """What the policies are told."""
        if self.nodes is None:
            return home
        model = home.cluster.nodes[0]
        nodes = tuple(
            NodeConfig(f"node{i + 1}", model.cores, model.ram_gib, model.disk_gib)
            for i in range(self.nodes)
        )
        return replace(home, cluster=replace(home.cluster, nodes=nodes))

    def true(self, home: Profile) -> Profile:
        """What holds."""
        profile = self.believed(home)
        timing = profile.timing
        timing = replace(
            timing,
            boot=replace(
                timing.boot,
                median_s=timing.boot.median_s * self.boot,
                first_on_node_s=timing.boot.first_on_node_s * self.boot,
            ),
            transcode=replace(
                timing.transcode, intercept=timing.transcode.intercept + log(self.speed)
            ),
        )
        faults = profile.faults
        if self.faults:
            faults = replace(
                faults, spawn_failure=_SPAWN_FAILURE, worker_loss_per_hour=_LOST_PER_HOUR
            )
        return replace(profile, timing=timing, faults=faults)

    def requests(self, requests: Sequence[Request], home: Profile) -> tuple[Request, ...]:
        """The same requests, sooner after one another where the rate is higher."""
        here = len(home.cluster.nodes)
        factor = self.rate * (here if self.nodes is None else self.nodes) / here
        if factor == 1.0:
            return tuple(requests)
        return tuple(replace(r, arrival_s=r.arrival_s / factor) for r in requests)


AT_HOME: Final = Condition(HOME, "the profile as it is")

OFF_PROFILE: Final = (
    Condition("boots +30 %", "boots take 30 % longer", boot=1 + _OFF),
    Condition("boots -30 %", "boots take 30 % less", boot=1 - _OFF),
    Condition("transcodes +30 %", "transcodes take 30 % longer", speed=1 + _OFF),
    Condition("transcodes -30 %", "transcodes take 30 % less", speed=1 - _OFF),
    Condition("arrivals +30 %", "requests arrive at a rate 30 % higher", rate=1 + _OFF),
    Condition("arrivals -30 %", "requests arrive at a rate 30 % lower", rate=1 - _OFF),
)
SIZES: Final = tuple(
    Condition(f"{n} nodes", f"{n} nodes, arrival rate scaled with them", nodes=n) for n in _SIZES
)
FAULTS: Final = Condition(
    "faults",
    f"{_SPAWN_FAILURE:.0%} of the spawns fail, workers vanish at {_LOST_PER_HOUR:g} an hour",
    faults=True,
)
ELSEWHERE: Final = (*OFF_PROFILE, *SIZES, FAULTS)
