"""From the runs of an evaluation to its figures: what leaderboard, JSON and report show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, Final

import numpy as np

from training.evaluation.plan import Plan
from training.evaluation.runs import RunRecord
from training.evaluation.statistics import (
    Estimate,
    Floats,
    geometric_mean_ratio,
    interquartile_mean_ratio,
    mean_of_known,
)

MEANS: Final = (
    "cost_per_job",
    "delay_mean_s",
    "delay_p95_s",
    "cpu_reserved_mean",
    "cpu_reserved_p95",
    "cpu_used_mean",
    "cpu_used_p95",
    "ram_reserved_mean",
    "ram_reserved_p95",
    "ram_used_mean",
    "ram_used_p95",
    "jobs_per_hour",
    "boots",
)
"""Figures that a summary averages over the runs, each run counting the same."""

TOTALS: Final = ("jobs", "failed", "unfinished")
"""Figures that it adds up."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a policy did at one preference, or over all of them.

    Attributes:
        policy: its name.
        preference: w; none: over all.
        runs: how many.
        cost_ratio: cost per job relative to the baseline, geometric mean over the runs.
        cost_ratio_iqm: the same over the middle half of the runs.
        delay_ratio, reserved_ratio: mean delay and reserved core-seconds likewise; none
            where a run has no such figure (no job was completed, nothing was reserved).
        better: share of the runs that cost less than the baseline on the same jobs.
        lost: scenarios that cost more than with the baseline.
        worst_scenario, worst_ratio: where it did worst against the baseline.
        means: see `MEANS`.
        totals: see `TOTALS`.
    """

    policy: str
    preference: float | None
    runs: int
    cost_ratio: Estimate
    cost_ratio_iqm: float
    delay_ratio: Estimate | None
    reserved_ratio: Estimate | None
    better: float
    lost: int
    worst_scenario: str
    worst_ratio: float
    means: dict[str, float | None]
    totals: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, flat, ready for JSON."""
        return {
            "policy": self.policy,
            **({} if self.preference is None else {"preference": self.preference}),
            "runs": self.runs,
            **_flat("cost_ratio", self.cost_ratio),
            "cost_ratio_iqm": self.cost_ratio_iqm,
            **_flat("delay_ratio", self.delay_ratio),
            **_flat("reserved_ratio", self.reserved_ratio),
            "better_share": self.better,
            "scenarios_lost": self.lost,
            "worst_scenario": self.worst_scenario,
            "worst_ratio": self.worst_ratio,
            **self.means,
            **self.totals,
        }


@dataclass(frozen=True, slots=True)
class Duel:
    """Cost per job of the policy in focus relative to one other."""

    against: str
    overall: Estimate
    by_preference: tuple[Estimate, ...]


@dataclass(frozen=True)
class Summary:
    """The figures of an evaluation.

    Attributes:
        plan: what was run.
        overall: every policy over all preferences, the cheapest first.
        by_preference: for each preference every policy, in the same order.
        ratios: cost relative to the baseline, geometric mean over the seeds; shape
            (policies of `overall`, preferences, scenarios).
        focus: the policy that the duels are of.
        duels: against every other, in the order of `overall`.
    """

    plan: Plan
    overall: tuple[Standing, ...]
    by_preference: tuple[tuple[Standing, ...], ...]
    ratios: Floats
    focus: str
    duels: tuple[Duel, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plan = self.plan
        return {
            "profile": plan.profile.name,
            "catalog": plan.catalog.name,
            "scenarios": [scenario.name for scenario in plan.scenarios],
            "preferences": list(plan.preferences),
            "seeds": list(plan.seeds),
            "baseline": plan.baseline,
            "policies": [standing.to_dict() for standing in self.overall],
            "by_preference": [s.to_dict() for standings in self.by_preference for s in standings],
            "by_scenario": [
                {
                    "policy": standing.policy,
                    "preference": preference,
                    "scenario": scenario.name,
                    "cost_ratio": float(self.ratios[p, w, s]),
                }
                for p, standing in enumerate(self.overall)
                for w, preference in enumerate(plan.preferences)
                for s, scenario in enumerate(plan.scenarios)
            ],
            "focus": self.focus,
            "focus_against": [
                {"policy": duel.against, **preference, **_flat("cost_ratio", estimate)}
                for duel in self.duels
                for preference, estimate in [
                    ({}, duel.overall),
                    *(
                        ({"preference": w}, by)
                        for w, by in zip(plan.preferences, duel.by_preference, strict=True)
                    ),
                ]
            ],
        }


def summarise(plan: Plan, records: Sequence[RunRecord]) -> Summary:
    """The figures of a plan's runs, which are in the order of its tasks."""
    figures = _Figures(plan, records)
    baseline = plan.policies.index(plan.baseline)
    overall = sorted(
        (figures.standing(policy, baseline, None) for policy in range(len(plan.policies))),
        key=lambda standing: standing.cost_ratio.value,
    )
    order = [plan.policies.index(standing.policy) for standing in overall]
    rivals = [standing.policy for standing in overall if standing.policy != plan.baseline]
    focus = (*plan.frozen, *rivals, plan.baseline)[0]
    return Summary(
        plan=plan,
        overall=tuple(overall),
        by_preference=tuple(
            tuple(figures.standing(policy, baseline, w) for policy in order)
            for w in range(len(plan.preferences))
        ),
        ratios=np.stack([figures.scenario_ratios(policy, baseline) for policy in order]),
        focus=focus,
        duels=tuple(
            figures.duel(plan.policies.index(focus), policy)
            for policy in order
            if plan.policies[policy] != focus
        ),
    )


class _Figures:
    """The runs' figures as arrays of shape (policies, preferences, scenarios, seeds)."""

    def __init__(self, plan: Plan, records: Sequence[RunRecord]) -> None:
        self._plan = plan
        self._arrays = {
            name: np.array(
                [getattr(record.metrics, name) for record in records], dtype=np.float64
            ).reshape(plan.shape)
            for name in (*MEANS, *TOTALS, "core_seconds")
        }

    def _pick(self, name: str, policy: int, preference: int | None) -> Floats:
        """Shape (preferences, scenarios, seeds)."""
        chosen: Floats = self._arrays[name][policy]
        return chosen if preference is None else chosen[preference : preference + 1]

    def _ratio(self, name: str, ours: int, theirs: int, preference: int | None) -> Estimate | None:
        return geometric_mean_ratio(
            self._pick(name, ours, preference), self._pick(name, theirs, preference)
        )

    def _cost_ratio(self, ours: int, theirs: int, preference: int | None) -> Estimate:
        ratio = self._ratio("cost_per_job", ours, theirs, preference)
        assert ratio is not None  # a job costs at least its delay
        return ratio

    def duel(self, ours: int, theirs: int) -> Duel:
        """One policy against another."""
        return Duel(
            self._plan.policies[theirs],
            self._cost_ratio(ours, theirs, None),
            tuple(self._cost_ratio(ours, theirs, w) for w in range(len(self._plan.preferences))),
        )

    def scenario_ratios(self, policy: int, baseline: int) -> Floats:
        """Cost relative to the baseline, shape (preferences, scenarios)."""
        costs = self._arrays["cost_per_job"]
        ratios: Floats = np.exp(np.log(costs[policy] / costs[baseline]).mean(axis=-1))
        return ratios

    def standing(self, policy: int, baseline: int, preference: int | None) -> Standing:
        """How a policy did at one preference (by its index), or over all."""
        plan = self._plan
        ours = self._pick("cost_per_job", policy, preference)
        theirs = self._pick("cost_per_job", baseline, preference)
        logs = np.log(ours / theirs)
        by_scenario = logs.mean(axis=(0, 2))
        worst = int(by_scenario.argmax())
        iqm = interquartile_mean_ratio(ours, theirs)
        assert iqm is not None
        return Standing(
            policy=plan.policies[policy],
            preference=None if preference is None else plan.preferences[preference],
            runs=ours.size,
            cost_ratio=self._cost_ratio(policy, baseline, preference),
            cost_ratio_iqm=iqm,
            delay_ratio=self._ratio("delay_mean_s", policy, baseline, preference),
            reserved_ratio=self._ratio("core_seconds", policy, baseline, preference),
            better=float((logs < 0).mean()),
            lost=int((by_scenario > 0).sum()),
            worst_scenario=plan.scenarios[worst].name,
            worst_ratio=exp(float(by_scenario[worst])),
            means={name: mean_of_known(self._pick(name, policy, preference)) for name in MEANS},
            totals={name: int(self._pick(name, policy, preference).sum()) for name in TOTALS},
        )


def _flat(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
