"""Two policies on the same stretch of a scenario, as timeline pictures."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from env.scenario import Scenario
from env.timeline import Timeline
from env.timeline_plot import PICTURE_INCHES, draw_timeline
from training.evaluation.plan import Task
from training.evaluation.runs import Runner
from training.evaluation.summary import Summary

WINDOW_S: Final = 1800.0
"""Longest stretch that is shown."""

_LEAD_S: Final = 60.0
"""Shown before the first arrival of the stretch."""


@dataclass(frozen=True)
class Pair:
    """A scenario under two policies.

    Attributes:
        scenario: its name.
        preference: w.
        ratio: cost of the first policy relative to the second, over the seeds.
        policies: the first and the second.
        figures: their pictures.
    """

    scenario: str
    preference: float
    ratio: float
    policies: tuple[str, str]
    figures: tuple[Figure, Figure]


def timeline_pairs(summary: Summary) -> Iterator[Pair]:
    """The policy in focus beside the baseline, where it gains most and where it gains least.

    At the middle one of the preferences and the first seed. None if there is but one policy.
    """
    plan = summary.plan
    other = plan.baseline
    if summary.focus == other:
        return
    middle = sorted(plan.preferences)[len(plan.preferences) // 2]
    names = [standing.policy for standing in summary.overall]
    ratios = summary.ratios[names.index(summary.focus), plan.preferences.index(middle)]
    runner = Runner(plan)
    for scenario in dict.fromkeys((int(np.argmin(ratios)), int(np.argmax(ratios)))):
        first, second = (
            _picture(summary, runner, policy, scenario, middle) for policy in (summary.focus, other)
        )
        yield Pair(
            scenario=plan.scenarios[scenario].name,
            preference=middle,
            ratio=float(ratios[scenario]),
            policies=(summary.focus, other),
            figures=(first, second),
        )


def busiest_start(scenario: Scenario, length_s: float) -> float:
    """Where the stretch of that length with the most arrivals begins, seconds."""
    arrivals = [request.arrival_s for request in scenario.requests]
    counts = [
        bisect_right(arrivals, arrival + length_s) - index for index, arrival in enumerate(arrivals)
    ]
    return arrivals[int(np.argmax(counts))]


def _picture(
    summary: Summary, runner: Runner, policy: str, scenario: int, preference: float
) -> Figure:
    plan = summary.plan
    timeline = Timeline()
    task = Task(plan.policies.index(policy), preference, scenario, plan.seeds[0])
    simulator = runner.simulate(task, timeline)
    start = max(0.0, busiest_start(plan.scenarios[scenario], WINDOW_S - _LEAD_S) - _LEAD_S)
    # The same stretch for both policies, so its end must not depend on how long a run takes.
    end = min(start + WINDOW_S, plan.scenarios[scenario].duration_s + 5 * _LEAD_S)
    figure = Figure(figsize=PICTURE_INCHES)
    FigureCanvasAgg(figure)
    draw_timeline(
        figure,
        timeline,
        plan.profile.cluster,
        start,
        end,
        now_s=min(end, simulator.now),
        title=policy,
    )
    return figure
