"""The simulated world that all parts of the study share, and how much of it they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

import numpy as np

from agents.policy import Policy
from agents.registry import make_policy
from env.catalog import Catalog, load_catalog
from env.config import Profile, load_profile
from env.families import ArrivalFamily, DaCirco, HeavyTail, Poisson, draw_requests
from env.jobs import Request
from env.load import mean_core_seconds, rate_for_load
from env.simulator import Simulator
from env.timeline import Timeline
from env.timing import TimingModel
from env.worker import WorkerState
from training.rollouts.cells import Cell
from training.rollouts.play import COMPILED, Stage

T = TypeVar("T")

MINIMIZE: Final = "minimize-workers"
GRACE: Final = "grace-period"
POISSON: Final = "Poisson"


class Track(Protocol):
    """Goes through the cases of a part and shows how far it has come."""

    def __call__(self, cases: Sequence[T], part: str, /) -> Iterable[T]: ...


@dataclass(frozen=True)
class Effort:
    """How much is simulated.

    Attributes:
        seeds: seeds of arrivals and noise, 0 to seeds - 1.
        hours: length of the arrivals of a run.
        loads: offered loads of the sweep.
        map_loads: offered loads of the map over load and burstiness.
        map_seeds: seeds of that map and of the heat maps.
        backlog: requests for each worker in a run that measures the capacity.
        graces_s: grace periods of the heat maps.
        boot_seeds: runs that the first jobs' delays are averaged over.
        visit_hours: length of the episodes that the frozen policy is watched in.
        visit_loads: offered loads of these.
        preferences: w at which it is watched.
        leaves: sizes of the decision trees that imitate it.
        fleet_hours: length of the runs in which its flavors are exchanged.
        fleet_loads: offered loads of these.
    """

    seeds: int = 5
    hours: float = 2.0
    loads: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.1)
    map_loads: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8)
    map_seeds: int = 3
    backlog: int = 120
    graces_s: tuple[float, ...] = (0.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
    boot_seeds: int = 40
    visit_hours: float = 1.0
    visit_loads: tuple[float, ...] = (0.05, 0.2, 0.4, 0.65)
    preferences: tuple[float, ...] = (0.1, 0.33, 0.5, 0.67, 0.9)
    leaves: tuple[int, ...] = (8, 16, 32, 64, 256)
    fleet_hours: float = 0.5
    fleet_loads: tuple[float, ...] = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)


FULL: Final = Effort()
QUICK: Final = Effort(
    seeds=2,
    hours=0.25,
    loads=(0.1, 0.5, 1.1),
    map_loads=(0.1, 0.7),
    map_seeds=1,
    backlog=15,
    graces_s=(0.0, 30.0, 120.0),
    boot_seeds=3,
    visit_hours=0.15,
    visit_loads=(0.3,),
    preferences=(0.1, 0.5, 0.9),
    leaves=(8, 16),
    fleet_hours=0.15,
    fleet_loads=(0.2, 0.8),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over the seeds."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of these values (deviation 0 for a single one)."""
        found = np.array(list(values), dtype=np.float64)
        return cls(float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else 0.0)


@dataclass(frozen=True)
class Burstiness:
    """How uneven arrivals are: the coefficient of variation of the gaps, and their law."""

    name: str
    gap_cv: float

    def family(self, rate_per_s: float) -> ArrivalFamily:
        """The arrival process: below 1 as the existing generator, above 1 heavy-tailed."""
        if self.gap_cv < 1:
            return DaCirco(rate_per_s, gap_cv=self.gap_cv)
        if self.gap_cv > 1:
            return HeavyTail(rate_per_s, gap_cv=self.gap_cv)
        return Poisson(rate_per_s)


BURSTINESS: Final = (
    Burstiness("even, as the existing generator", 1 / 3),
    Burstiness(POISSON, 1.0),
    Burstiness("bursty", 2.5),
    Burstiness("very bursty", 5.0),
)


@dataclass
class World:
    """Data centre, movies and policies; `stage` and `simulate` run them.

    Attributes:
        profile: data centre and timing.
        catalog: the movies.
        effort: how much is simulated.
        frozen: spec of the frozen policy.
        stage: where runs are played of which nothing but the figures is wanted (`cell`).
    """

    profile: Profile
    catalog: Catalog
    effort: Effort
    frozen: str
    stage: Stage = field(default_factory=Stage)
    _policies: dict[str, Policy] = field(default_factory=dict)

    @property
    def cores(self) -> float:
        """Physical cores of the data centre."""
        return float(sum(node.cores for node in self.profile.cluster.nodes))

    @property
    def mean_core_s(self) -> float:
        """Mean work of a request, core-seconds."""
        return mean_core_seconds(TimingModel(self.profile), self.catalog)

    @property
    def flavors(self) -> list[str]:
        """Names of the flavors, smallest first."""
        return [flavor.name for flavor in self.profile.cluster.flavors]

    def rate(self, load: float) -> float:
        """Requests a second that offer this load."""
        return rate_for_load(load, self.cores, self.mean_core_s)

    def load(self, rate_per_s: float) -> float:
        """Offered load of this many requests a second."""
        return rate_per_s / self.rate(1.0)

    def requests(self, family: ArrivalFamily, seed: int, hours: float) -> list[Request]:
        """The requests of a run; the same seed gives the same to every policy."""
        return draw_requests(family, np.random.default_rng(seed), self.catalog, 3600.0 * hours)

    def policy(self, spec: str) -> Policy:
        """A policy by its text, made once."""
        if spec not in self._policies:
            self._policies[spec] = make_policy(spec)
        return self._policies[spec]

    def cell(
        self, requests: Sequence[Request], policy: str, *, seed: int = 0, preference: float = 0.5
    ) -> Cell:
        """One run for the stage."""
        return Cell(self.policy(policy), self.profile, requests, self.catalog, seed, preference)

    def simulate(
        self,
        requests: Sequence[Request],
        policy: str | Policy,
        *,
        seed: int = 0,
        preference: float = 0.5,
        timeline: Timeline | None = None,
        limit_s: float | None = None,
        image_cached: bool | None = None,
    ) -> Simulator:
        """One run to its end, to look into; `image_cached` overrides the profile."""
        decider = self.policy(policy) if isinstance(policy, str) else policy
        profile = self.profile
        if image_cached is not None:
            profile = replace(profile, image_cached=image_cached)
        simulator = Simulator(
            profile,
            requests,
            self.catalog,
            seed=seed,
            preference=preference,
            discipline=decider.discipline,
            timeline=timeline,
            limit_s=limit_s,
        )
        simulator.run(decider)
        return simulator


def open_world(profile: str, frozen: str, effort: Effort, engine: str = COMPILED) -> World:
    """The world of a study; for the engine see `training.rollouts.play`.

    Raises:
        DaCircoError: the profile or the policy cannot be loaded, or they do not go together.
    """
    world = World(load_profile(profile), load_catalog(), effort, frozen, Stage(engine))
    world.simulate([], frozen)
    return world


def seconds_by_state(timeline: Timeline, end_s: float) -> Mapping[WorkerState, float]:
    """Worker-seconds spent in each state up to the end of a run."""
    total = dict.fromkeys(WorkerState, 0.0)
    for lane in timeline.lanes:
        for span in lane.spans:
            total[span.state] += (end_s if span.end_s is None else span.end_s) - span.start_s
    return total
