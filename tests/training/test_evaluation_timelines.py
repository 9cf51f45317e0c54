"""Which stretch of which scenario a report shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from env.jobs import Request
from env.scenario import Scenario
from tests.training.evaluation_world import small_plan
from training.evaluation.runs import RunRecord, run_plan
from training.evaluation.summary import Summary, summarise
from training.evaluation.timelines import busiest_start, timeline_pairs


@pytest.mark.parametrize(
    ("arrivals", "start"),
    [
        ([5.0], 5.0),
        ([0.0, 100.0, 101.0, 102.0, 400.0], 100.0),
        ([0.0, 1.0, 70.0, 71.0, 72.0, 73.0, 300.0], 70.0),
        ([0.0, 30.0, 1000.0, 1030.0], 0.0),  # the first of two alike
        ([0.0, 61.0, 121.0], 61.0),  # the end of the stretch belongs to it
    ],
)
def test_the_busiest_stretch(arrivals: list[float], start: float) -> None:
    requests = tuple(Request(arrival, "bbb_1.mp4", 800, "fast") for arrival in arrivals)
    assert busiest_start(Scenario("s", requests), 60.0) == start


def evaluated(folder: Path, calm: float, busy: float) -> Summary:
    """reserve-k at these costs relative to grace-period."""
    plan = small_plan(
        folder, policies=["reserve-k", "grace-period"], preferences=[0.9, 0.1, 0.3], seeds=1
    )

    def with_cost(record: RunRecord) -> RunRecord:
        ratio = calm if record.scenario == "calm" else busy
        cost = 100.0 * (ratio if record.policy == "reserve-k" else 1.0)
        return replace(record, metrics=replace(record.metrics, cost_per_job=cost))

    return summarise(plan, [with_cost(record) for record in run_plan(plan)])


def test_where_it_gains_most_and_where_least(tmp_path: Path) -> None:
    best, worst = timeline_pairs(evaluated(tmp_path, calm=1.5, busy=0.5))
    assert (best.scenario, best.ratio) == ("busy", pytest.approx(0.5))
    assert (worst.scenario, worst.ratio) == ("calm", pytest.approx(1.5))
    for pair in (best, worst):
        assert pair.policies == ("reserve-k", "grace-period")
        assert pair.preference == 0.3  # the middle one
        spans = {figure.axes[0].get_xlim() for figure in pair.figures}
        assert len(spans) == 1  # the same stretch for both


def test_nothing_to_set_side_by_side(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, policies=["grace-period"])
    assert list(timeline_pairs(summarise(plan, run_plan(plan)))) == []
