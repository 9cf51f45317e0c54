"""A run to its end: what is played, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy
from env.catalog import Catalog
from env.config import Profile
from env.cost import Costly, CostVector, cost_so_far
from env.episodes import Episode
from env.jobs import Request
from env.metrics import EpisodeMetrics, MeasuredRun, job_delays, measure
from env.simulator import Simulator
from env.timeline import Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One run: a policy on one episode at one preference.

    Cells that share their objects (profile, requests, catalog) share the engine's form of them.

    Attributes:
        policy: it may serve other cells too, one after the other.
        profile: see `env.simulator.Simulator`, as all that follow.
        requests, catalog, seed, preference, believed: likewise.
    """

    policy: Policy
    profile: Profile
    requests: Sequence[Request]
    catalog: Catalog
    seed: int
    preference: float
    believed: Profile | None = None

    @classmethod
    def of(cls, policy: Policy, episode: Episode, preference: float) -> Cell:
        """The policy on an episode, to its last job's end."""
        return cls(
            policy, episode.profile, episode.requests, episode.catalog, episode.seed, preference
        )

    def simulate(self, timeline: Timeline | None = None) -> Simulator:
        """Played by the reference simulator, to its end."""
        simulator = Simulator(
            self.profile,
            self.requests,
            self.catalog,
            seed=self.seed,
            preference=self.preference,
            discipline=self.policy.discipline,
            timeline=timeline,
            believed=self.believed,
        )
        simulator.run(self.policy)
        return simulator


@dataclass(frozen=True, slots=True)
class Played:
    """All figures of a run.

    Attributes:
        metrics: of the run.
        delays_s: delay of each completed job, in the order of their arrivals.
    """

    metrics: EpisodeMetrics
    delays_s: NDArray[np.float64]

    @classmethod
    def of(cls, run: MeasuredRun) -> Played:
        """Those of a run that has ended."""
        return cls(measure(run), np.array(job_delays(run), dtype=np.float64))


class Counted(Costly, Protocol):
    """What has counted: `env.cluster.Cluster`, or `env.engine.measure.Books`."""

    @property
    def completed(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def boots(self) -> int: ...
    @property
    def workers_lost(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Totals:
    """What can be told of a run without its levels over time.

    Attributes:
        jobs, completed, failed, boots, workers_lost: see `env.metrics.EpisodeMetrics`.
        cost: both costs.
    """

    jobs: int
    completed: int
    failed: int
    boots: int
    workers_lost: int
    cost: CostVector

    @property
    def unfinished(self) -> int:
        """Jobs that were neither delivered nor ended in error."""
        return self.jobs - self.completed - self.failed

    @classmethod
    def of(cls, jobs: int, books: Counted) -> Totals:
        """Those of a run that has ended."""
        return cls(
            jobs,
            books.completed,
            books.failed,
            books.boots,
            books.workers_lost,
            cost_so_far(books),
        )
