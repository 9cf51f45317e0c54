"""The runs of the competition, kept on disk so that an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy
from agents.registry import make_policy
from env.catalog import Catalog, load_catalog
from env.config import Profile, load_profile
from env.errors import DaCircoError
from env.jobs import Request
from env.scenario import Scenario, load_scenario
from env.textfile import write_atomically
from training.bound.clairvoyant import clairvoyant_bound
from training.competition.conditions import Condition
from training.competition.entrants import heeds_preference, identity
from training.processes import worker_pool
from training.rollouts.cells import Cell, Totals
from training.rollouts.play import COMPILED, REFERENCE, Stage, left_out
from training.world_identity import world_identity

Floats = NDArray[np.float64]

_TOLD_ANY = 0.5
"""The preference that a policy is told which does not heed it."""
_BOUND = "clairvoyant bound"


@dataclass(frozen=True, slots=True)
class Course:
    """What all compete on.

    Attributes:
        profile: name of the data centre or its file.
        scenarios: names or files.
        seeds: of the simulator.
    """

    profile: str
    scenarios: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """A policy that is told a preference, on all scenarios with some seeds, in one world.

    Attributes:
        policy: its spec, or the clairvoyant bound.
        preference: what it is told.
        condition: the world.
        seeds: how many of the course's, the first ones.
    """

    policy: str
    preference: float
    condition: Condition
    seeds: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of a batch, each of shape (scenarios, seeds); of the bound only its cost.

    Attributes:
        jobs: of each run.
        job_seconds, core_seconds: the cost vector.
        unfinished, failed: jobs that did not end, or ended in error.
        workers, lost: spawned, and vanished.
        bound: the least cost at the batch's preference.
    """

    jobs: Floats
    job_seconds: Floats
    core_seconds: Floats
    unfinished: Floats
    failed: Floats
    workers: Floats
    lost: Floats
    bound: Floats

    def cost_per_job(self, preference: float) -> Floats:
        """At a preference, as `env.cost` weighs it."""
        cost: Floats = preference * self.job_seconds + (1.0 - preference) * self.core_seconds
        return cost / self.jobs


def batch_for(policy: str, preference: float, condition: Condition, seeds: int) -> Batch:
    """The batch that tells a policy's costs at a preference."""
    told = preference if heeds_preference(policy) else _TOLD_ANY
    return Batch(policy, told, condition, seeds)


def bound_batch(preference: float, condition: Condition, seeds: int) -> Batch:
    """The batch of the bounds at a preference."""
    return Batch(_BOUND, preference, condition, seeds)


class Runner:
    """Carries out batches, and remembers them in a folder.

    What is remembered counts as long as the world, the rules and the policy are the same, to
    the letter: a figure of another world would be a false one.

    Args:
        course: scenarios and seeds.
        folder: for the outcomes; made if it is not there.
        processes: how many work at once, or threads of the engine.
        fresh: what the folder holds does not count.
        engine: see `training.rollouts.play`. Its figures are the same: what the other one has
            run counts.
    """

    def __init__(
        self,
        course: Course,
        folder: Path,
        processes: int,
        *,
        fresh: bool = False,
        engine: str = COMPILED,
    ) -> None:
        self._stage = Stage(engine, processes)
        self._course = course
        self._folder = folder
        self._processes = processes
        self._fresh = fresh
        self._known: dict[Batch, Outcome] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DaCircoError(f"cannot keep runs in {folder}: {error.strerror}") from error

    def _path(self, batch: Batch) -> Path:
        which = {
            "world": world_identity(tuned=True),
            "course": asdict(self._course) | {"seeds": self._course.seeds[: batch.seeds]},
            "policy": _BOUND if batch.policy == _BOUND else identity(batch.policy),
            "preference": batch.preference,
            "condition": asdict(batch.condition),
        }
        text = json.dumps(which, sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"

    def missing(self, batches: Iterable[Batch]) -> list[Batch]:
        """Those that were not carried out yet, each once; the others are read."""
        left: dict[Batch, None] = {}
        for batch in batches:
            if batch in self._known or batch in left:
                continue
            outcome = None if self._fresh else self._read(self._path(batch))
            if outcome is None:
                left[batch] = None
            else:
                self._known[batch] = outcome
        return list(left)

    def run(self, batches: Sequence[Batch], on_batch: Callable[[], None] = lambda: None) -> None:
        """Carry out what is missing of the batches."""
        left = self.missing(batches)
        for _ in range(len(set(batches)) - len(left)):
            on_batch()
        if not left:
            return
        paths = {batch: self._path(batch) for batch in left}
        for batch, outcome in self._outcomes(left):
            if self._path(batch) != paths[batch]:
                raise DaCircoError(f"{batch.policy} was changed while it competed: start again")
            self._keep(batch, outcome)
            on_batch()

    def _outcomes(self, batches: Sequence[Batch]) -> Iterator[tuple[Batch, Outcome]]:
        policies = {spec: make_policy(spec) for spec in _specs(batches)}
        compiled = {spec for spec, policy in policies.items() if self._stage.compiles(policy)}
        for spec in compiled:
            yield from self._on_engine([b for b in batches if b.policy == spec], policies[spec])
        jobs = [(self._course, batch) for batch in batches if batch.policy not in compiled]
        if self._processes == 1 or not jobs:
            yield from map(_work, jobs)
            return
        with worker_pool(min(self._processes, len(jobs))) as pool:
            yield from pool.imap(_work, jobs)

    def _on_engine(
        self, batches: Sequence[Batch], policy: Policy
    ) -> Iterator[tuple[Batch, Outcome]]:
        """Batches of one policy: together they fill a network's batches."""
        parts = [cells(self._course, batch, policy) for batch in batches]
        totals = iter(self._stage.totals([cell for part in parts for cell in part]))
        for batch, part in zip(batches, parts, strict=True):
            yield batch, outcome_of(self._course, [next(totals) for _ in part])

    def left_out(self, batches: Iterable[Batch]) -> str | None:
        """What the reference has to run of the batches, one line; the bounds are no runs."""
        return left_out(self._stage, map(make_policy, _specs(batches)))

    def outcome(self, batch: Batch) -> Outcome:
        """Of a batch that was carried out."""
        if batch not in self._known:
            self.run([batch])
        return self._known[batch]

    def _keep(self, batch: Batch, outcome: Outcome) -> None:
        figures = {name: array.tolist() for name, array in _arrays(outcome).items()}
        about = {"policy": batch.policy, "told": batch.preference, "world": batch.condition.name}
        write_atomically(self._path(batch), json.dumps(about | {"figures": figures}) + "\n")
        self._known[batch] = outcome

    def _read(self, path: Path) -> Outcome | None:
        try:
            figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
            return Outcome(**{name: np.array(rows, dtype=float) for name, rows in figures.items()})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DaCircoError(f"{path} is damaged: delete it to run it again") from error


def _arrays(outcome: Outcome) -> dict[str, Floats]:
    return {name: getattr(outcome, name) for name in Outcome.__slots__}


def _specs(batches: Iterable[Batch]) -> list[str]:
    """Of the policies of the batches, each once; the bound is none."""
    return list(dict.fromkeys(b.policy for b in batches if b.policy != _BOUND))


def _work(job: tuple[Course, Batch]) -> tuple[Batch, Outcome]:
    return job[1], carry_out(*job)


@cache
def _world(course: Course) -> tuple[Profile, Catalog, tuple[Scenario, ...]]:
    catalog = load_catalog()
    scenarios = tuple(load_scenario(name, catalog) for name in course.scenarios)
    return load_profile(course.profile), catalog, scenarios


@cache
def _setting(
    course: Course, condition: Condition
) -> tuple[Profile, Profile, tuple[tuple[Request, ...], ...]]:
    """The true profile, the believed one, and the requests of each scenario.

    They are the same objects each time: what is laid out for the engine is found again by them.
    """
    home, _, scenarios = _world(course)
    requests = tuple(condition.requests(scenario.requests, home) for scenario in scenarios)
    return condition.true(home), condition.believed(home), requests


def cells(course: Course, batch: Batch, policy: Policy) -> list[Cell]:
    """What a batch plays, seeds fastest, then scenarios.

    Args:
        course: scenarios and seeds.
        batch: not of the bound.
        policy: the batch's.
    """
    true, believed, scenarios = _setting(course, batch.condition)
    catalog = _world(course)[1]
    return [
        Cell(policy, true, requests, catalog, seed, batch.preference, believed)
        for requests in scenarios
        for seed in course.seeds[: batch.seeds]
    ]


def outcome_of(course: Course, totals: Sequence[Totals]) -> Outcome:
    """The outcome of a batch from the totals of its cells."""
    figures = {
        "jobs": [one.jobs for one in totals],
        "job_seconds": [one.cost.job_seconds for one in totals],
        "core_seconds": [one.cost.core_seconds for one in totals],
        "unfinished": [one.unfinished for one in totals],
        "failed": [one.failed for one in totals],
        "workers": [one.boots for one in totals],
        "lost": [one.workers_lost for one in totals],
        "bound": [0.0] * len(totals),
    }
    n = len(course.scenarios)
    return Outcome(**{k: np.array(v, dtype=float).reshape(n, -1) for k, v in figures.items()})


def carry_out(course: Course, batch: Batch) -> Outcome:
    """Run a batch without the engine."""
    if batch.policy != _BOUND:
        stage = Stage(REFERENCE)
        return outcome_of(course, stage.totals(cells(course, batch, make_policy(batch.policy))))
    true, _, scenarios = _setting(course, batch.condition)
    catalog, seeds = _world(course)[1], course.seeds[: batch.seeds]
    bounds = np.array(
        [
            [
                clairvoyant_bound(true, requests, catalog, seed=seed, preference=batch.preference)
                for seed in seeds
            ]
            for requests in scenarios
        ]
    )
    jobs = np.array([[float(len(requests))] * len(seeds) for requests in scenarios])
    nothing = {name: np.zeros_like(bounds) for name in Outcome.__slots__}
    return Outcome(**{**nothing, "jobs": jobs, "bound": bounds})
