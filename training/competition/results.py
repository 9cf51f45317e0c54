"""From the runs of the competition to its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

import numpy as np

from training.competition.conditions import AT_HOME, ELSEWHERE, FAULTS, Condition
from training.competition.entrants import (
    Rival,
    scaled,
    tuned_at,
)
from training.competition.front import Point
from training.competition.runs import Batch, Floats, Outcome, Runner, batch_for, bound_batch
from training.competition.statistics import interquartile_ratio, probability_of_improvement
from training.evaluation.statistics import Estimate, geometric_mean_ratio, log_ratios

DIAL: Final = (0.1, 0.2, 0.33, 0.4, 0.5, 0.6, 0.67, 0.8, 0.9)
"""Settings of the dial that the curve is drawn through."""


MET_ELSEWHERE: Final = 4
"""So many of the tuned rules, those that do best at home, are met in other worlds."""


@dataclass(frozen=True)
class Entry:
    """Everything that competes, and how much is run.

    Attributes:
        learned: folders of frozen policies; the first is the one that ships.
        rivals: every rule with every setting.
        scenarios: names.
        preferences: w.
        seeds: of the simulator, at home and with faults. seeds_elsewhere: in other worlds.
            seeds_bound: of the clairvoyant bound.
        home_nodes: nodes of the home profile.
    """

    learned: tuple[str, ...]
    rivals: tuple[Rival, ...]
    scenarios: tuple[str, ...]
    preferences: tuple[float, ...]
    seeds: int
    seeds_elsewhere: int
    seeds_bound: int
    home_nodes: int

    @property
    def shipped(self) -> str:
        """The policy whose targets are checked."""
        return self.learned[0]

    def seeds_in(self, condition: Condition) -> int:
        """How many; faults are chance themselves, so they get as many as home."""
        return self.seeds if condition == FAULTS else self.seeds_elsewhere

    def at_home(self) -> list[Batch]:
        """The runs on the profile as it is."""
        dial = [*self.preferences, *(w for w in DIAL if w not in self.preferences)]
        return [
            *(batch_for(self.shipped, w, AT_HOME, self.seeds) for w in dial),
            *(
                batch_for(policy, w, AT_HOME, self.seeds)
                for policy in self.learned[1:]
                for w in self.preferences
            ),
            *(
                batch_for(rival.spec, w, AT_HOME, self.seeds)
                for rival in self.rivals
                for w in self.preferences
            ),
        ]

    def bounds(self) -> list[Batch]:
        """The clairvoyant bounds."""
        return [bound_batch(w, AT_HOME, self.seeds_bound) for w in self.preferences]


@dataclass(frozen=True, slots=True)
class Match:
    """One policy against another on the same jobs.

    Attributes:
        ratio: cost per job, geometric mean over scenarios and seeds; the interval draws
            scenarios and seeds anew.
        middle: interquartile mean of the ratios; the interval draws the seeds of each
            scenario and preference anew (stratified).
        improvement: probability that a run costs less than one of the other's.
        worst, worst_ratio: where it does worst, and how badly.
        lost: scenarios and preferences with a higher cost, of how many.
        tasks: scenarios times preferences.
    """

    ratio: Estimate
    middle: Estimate
    improvement: Estimate
    worst: str
    worst_ratio: float
    lost: int
    tasks: int


def match(
    ours: Floats, theirs: Floats, scenarios: Sequence[str], preferences: Sequence[float]
) -> Match:
    """Compare costs per job, each of shape (preferences, scenarios, seeds)."""
    ratio = geometric_mean_ratio(ours, theirs)
    logs = log_ratios(ours, theirs)
    assert ratio is not None  # a job costs at least its delay
    assert logs is not None
    tasks = logs.mean(axis=2)
    w, s = divmod(int(tasks.argmax()), len(scenarios))
    runs = logs.shape[2]
    flat = (ours.reshape(-1, runs), theirs.reshape(-1, runs))
    return Match(
        ratio=ratio,
        middle=interquartile_ratio(logs.reshape(-1, runs)),
        improvement=probability_of_improvement(*flat),
        worst=f"{scenarios[s].rpartition('/')[2]}, w = {preferences[w]:g}",
        worst_ratio=exp(float(tasks.max())),
        lost=int((tasks > 0).sum()),
        tasks=tasks.size,
    )


class Home:
    """Costs at home, of shape (preferences, scenarios, seeds)."""

    def __init__(self, entry: Entry, runner: Runner) -> None:
        self.entry = entry
        self._runner = runner
        self._costs: dict[str, Floats] = {}

    def outcome(self, policy: str, preference: float) -> Outcome:
        """The figures of a policy at a preference."""
        return self._runner.outcome(batch_for(policy, preference, AT_HOME, self.entry.seeds))

    def costs(self, policy: str) -> Floats:
        """Cost per job of a policy."""
        if policy not in self._costs:
            self._costs[policy] = np.stack(
                [self.outcome(policy, w).cost_per_job(w) for w in self.entry.preferences]
            )
        return self._costs[policy]

    def best_tuned(self) -> list[Rival]:
        """At each preference the rule that, tuned for it, costs least over the whole split."""
        found = []
        for w, preference in enumerate(self.entry.preferences):
            tuned = tuned_at(self.entry.rivals, preference)
            found.append(min(tuned, key=lambda r: float(np.log(self.costs(r.spec)[w]).mean())))
        return found

    def contestants(self, condition: Condition, preference: float) -> list[Rival]:
        """The tuned rules that the shipped policy meets in another world."""
        w = self.entry.preferences.index(preference)
        tuned = sorted(
            tuned_at(self.entry.rivals, preference),
            key=lambda r: float(np.log(self.costs(r.spec)[w]).mean()),
        )[:MET_ELSEWHERE]
        factor = (condition.nodes or self.entry.home_nodes) / self.entry.home_nodes
        more = [scaled(rival, factor) for rival in tuned]
        return [*tuned, *(rival for rival in more if rival is not None)]

    def elsewhere(self) -> list[Batch]:
        """The runs off the profile."""
        entry = self.entry
        return [
            batch_for(spec, w, condition, entry.seeds_in(condition))
            for condition in ELSEWHERE
            for w in entry.preferences
            for spec in (entry.shipped, *(r.spec for r in self.contestants(condition, w)))
        ]

    def of_best_tuned(self) -> Floats:
        """Costs of the best tuned rules."""
        return np.stack([self.costs(r.spec)[w] for w, r in enumerate(self.best_tuned())])

    def of_tuned(self, rule: str) -> Floats:
        """Costs of one rule, at each preference with the setting tuned for it."""
        rows = []
        for w, preference in enumerate(self.entry.preferences):
            (rival,) = [r for r in tuned_at(self.entry.rivals, preference) if r.rule == rule]
            rows.append(self.costs(rival.spec)[w])
        return np.stack(rows)

    def afterwards(self) -> tuple[Floats, list[list[Rival]]]:
        """For each preference and scenario the best of all rules and settings, and whose."""
        every = np.stack([self.costs(rival.spec) for rival in self.entry.rivals])
        best = np.log(every).mean(axis=3).argmin(axis=0)
        w, s = np.indices(best.shape)
        whose = [[self.entry.rivals[i] for i in row] for row in best.tolist()]
        chosen: Floats = every[best, w, s]
        return chosen, whose

    def match(self, ours: Floats, theirs: Floats, w: int | None = None) -> Match:
        """At one preference (its index), or over all."""
        which = slice(None) if w is None else slice(w, w + 1)
        return match(
            ours[which], theirs[which], self.entry.scenarios, self.entry.preferences[which]
        )

    def bound(self) -> Floats:
        """The clairvoyant bound of the cost per job, shape (preferences, scenarios, seeds)."""
        found = [
            self._runner.outcome(bound_batch(w, AT_HOME, self.entry.seeds_bound))
            for w in self.entry.preferences
        ]
        return np.stack([outcome.bound / outcome.jobs for outcome in found])

    def share_closed(self, costs: Floats, naive: str) -> float:
        """Mean share of the distance from a naive algorithm to the bound."""
        bound = self.bound()
        seeds = bound.shape[2]
        ours, theirs = costs[:, :, :seeds], self.costs(naive)[:, :, :seeds]
        return float(((theirs - ours) / (theirs - bound)).mean())

    def above_bound(self, costs: Floats) -> float:
        """Cost relative to the bound, geometric mean."""
        bound = self.bound()
        return exp(float(np.log(costs[:, :, : bound.shape[2]] / bound).mean()))

    def point(self, policy: str, preference: float) -> Point:
        """Delay and resources of a policy at a preference; geometric means over the runs."""
        outcome = self.outcome(policy, preference)
        delay, core = outcome.job_seconds / outcome.jobs, outcome.core_seconds / outcome.jobs
        return Point(exp(float(np.log(delay).mean())), exp(float(np.log(core).mean())))

    def curve(self) -> list[Point]:
        """What the dial of the shipped policy draws."""
        return [self.point(self.entry.shipped, w) for w in sorted({*DIAL, *self.entry.preferences})]

    def rival_points(self) -> list[tuple[str, Point]]:
        """Every rule with every setting, told every preference where it heeds it."""
        found: dict[Point, str] = {}
        for rival in self.entry.rivals:
            for w in self.entry.preferences:
                found.setdefault(self.point(rival.spec, w), rival.label)
        return [(label, point) for point, label in found.items()]


@dataclass(frozen=True, slots=True)
class Away:
    """The shipped policy in another world.

    Attributes:
        condition: the world.
        overall, by_preference: against the best tuned rule of that world at each preference.
        rivals: who these were.
        not_ended: jobs of the shipped policy that did not end or ended in error.
        jobs: how many it had.
        lost_share: share of its workers that vanished.
    """

    condition: Condition
    overall: Match
    by_preference: tuple[Match, ...]
    rivals: tuple[Rival, ...]
    not_ended: int
    jobs: int
    lost_share: float


def away(home: Home, runner: Runner, condition: Condition) -> Away:
    """The figures of one world."""
    entry = home.entry
    ours, theirs, rivals, outcomes = [], [], [], []
    for w in entry.preferences:
        outcome = runner.outcome(batch_for(entry.shipped, w, condition, entry.seeds_in(condition)))
        outcomes.append(outcome)
        ours.append(outcome.cost_per_job(w))
        met = [
            (rival, runner.outcome(batch_for(rival.spec, w, condition, entry.seeds_in(condition))))
            for rival in home.contestants(condition, w)
        ]
        rival, best = min(met, key=lambda pair: float(np.log(pair[1].cost_per_job(w)).mean()))
        rivals.append(rival)
        theirs.append(best.cost_per_job(w))
    a, b = np.stack(ours), np.stack(theirs)
    return Away(
        condition=condition,
        overall=match(a, b, entry.scenarios, entry.preferences),
        by_preference=tuple(
            match(a[w : w + 1], b[w : w + 1], entry.scenarios, entry.preferences[w : w + 1])
            for w in range(len(entry.preferences))
        ),
        rivals=tuple(rivals),
        not_ended=int(sum((o.unfinished + o.failed).sum() for o in outcomes)),
        jobs=int(sum(o.jobs.sum() for o in outcomes)),
        lost_share=float(
            sum(o.lost.sum() for o in outcomes) / sum(o.workers.sum() for o in outcomes)
        ),
    )
