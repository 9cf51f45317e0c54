"""From runs to figures: ranks, ratios, losses, duels."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp, log, nan
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.training.evaluation_world import small_plan, write_frozen
from training.evaluation.leaderboard import explanation, print_leaderboard
from training.evaluation.plan import Plan
from training.evaluation.runs import RunRecord, run_plan
from training.evaluation.summary import summarise

DEAR, CHEAP = 1.25, 0.5


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return small_plan(tmp_path, preferences=[0.1, 0.9])


@pytest.fixture
def records(plan: Plan) -> list[RunRecord]:
    """Costs made up: 100 s under the baseline; reserve-k half, but dearer when calm at 0.9."""

    def cost(record: RunRecord) -> float:
        if record.policy == "minimize-workers":
            return 100.0 * DEAR
        if record.policy == "grace-period":
            return 100.0
        loses = record.scenario == "calm" and record.preference == 0.9
        return 100.0 * (2.0 if loses else CHEAP)

    return [
        replace(record, metrics=replace(record.metrics, cost_per_job=cost(record)))
        for record in run_plan(plan)
    ]


def test_ranked_by_the_geometric_mean(plan: Plan, records: list[RunRecord]) -> None:
    summary = summarise(plan, records)
    assert [standing.policy for standing in summary.overall] == [
        "reserve-k",
        "grace-period",
        "minimize-workers",
    ]
    reserve, grace, minimal = summary.overall
    # Three of the four pairs of scenario and preference at one half, one at double.
    assert reserve.cost_ratio.value == pytest.approx(exp((3 * log(CHEAP) + log(2)) / 4))
    assert grace.cost_ratio.value == grace.cost_ratio.low == grace.cost_ratio.high == 1.0
    assert minimal.cost_ratio.value == pytest.approx(DEAR)
    assert [standing.runs for standing in summary.overall] == [8, 8, 8]


def test_losses_are_counted_and_named(plan: Plan, records: list[RunRecord]) -> None:
    summary = summarise(plan, records)
    reserve, grace, minimal = summary.overall
    assert (reserve.lost, grace.lost, minimal.lost) == (0, 0, 2)  # over both preferences
    assert (reserve.better, grace.better, minimal.better) == (0.75, 0.0, 0.0)
    fast = summary.by_preference[1][0]
    assert (fast.policy, fast.preference, fast.lost) == ("reserve-k", 0.9, 1)
    assert (fast.worst_scenario, fast.worst_ratio) == ("calm", pytest.approx(2.0))


def test_ratios_by_scenario(plan: Plan, records: list[RunRecord]) -> None:
    summary = summarise(plan, records)
    expected = [[[CHEAP, CHEAP], [CHEAP, 2.0]], [[1, 1], [1, 1]], [[DEAR, DEAR], [DEAR, DEAR]]]
    assert summary.ratios == pytest.approx(np.array(expected))


def test_the_policy_in_focus_meets_every_other(plan: Plan, records: list[RunRecord]) -> None:
    summary = summarise(plan, records)
    assert summary.focus == "reserve-k"
    assert [duel.against for duel in summary.duels] == ["grace-period", "minimize-workers"]
    against = summary.duels[1]
    assert against.by_preference[0].value == pytest.approx(CHEAP / DEAR)
    assert against.overall.value == pytest.approx(
        summary.overall[0].cost_ratio.value / summary.overall[2].cost_ratio.value
    )


def test_a_frozen_policy_is_in_focus_even_if_it_is_the_worst(tmp_path: Path) -> None:
    frozen = str(write_frozen(tmp_path / "eager"))
    plan = small_plan(tmp_path, policies=["grace-period", frozen], preferences=[0.1])
    summary = summarise(plan, run_plan(plan))
    assert summary.focus == frozen
    assert summary.overall[-1].policy == frozen


def test_one_policy_alone(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, policies=["reserve-k"])
    summary = summarise(plan, run_plan(plan))
    assert (summary.focus, summary.duels) == ("reserve-k", ())
    assert summary.overall[0].cost_ratio.value == 1.0


def test_figures_are_means_and_counts_are_totals(plan: Plan) -> None:
    records = run_plan(plan)
    standing = next(s for s in summarise(plan, records).overall if s.policy == "reserve-k")
    own = [record.metrics for record in records if record.policy == "reserve-k"]
    assert standing.means["delay_mean_s"] == pytest.approx(np.mean([m.delay_mean_s for m in own]))
    assert standing.means["ram_used_p95"] == pytest.approx(np.mean([m.ram_used_p95 for m in own]))
    assert standing.totals == {"jobs": 4 * 6 + 4 * 3, "failed": 0, "unfinished": 0}


def test_delays_that_do_not_exist_are_left_out(plan: Plan, records: list[RunRecord]) -> None:
    none = [
        replace(record, metrics=replace(record.metrics, delay_mean_s=nan))
        if record.policy == "reserve-k"
        else record
        for record in records
    ]
    summary = summarise(plan, none)
    assert summary.overall[0].delay_ratio is None
    assert summary.overall[0].means["delay_mean_s"] is None
    text = json.dumps(summary.to_dict(), allow_nan=False)
    assert '"delay_ratio": null' in text


def test_the_leaderboard_shows_every_policy_its_interval_and_its_losses(
    plan: Plan, records: list[RunRecord]
) -> None:
    console = Console(width=40)
    with console.capture() as capture:
        print_leaderboard(summarise(plan, records), console)
    text = capture.get()
    assert "…" not in text  # nothing was cut
    first = next(line for line in text.splitlines() if "reserve-k" in line)
    assert first.split()[:3] == ["1", "reserve-k", "0.707"]
    assert "0/2" in first
    assert "baseline" in next(line for line in text.splitlines() if "grace-period  " in line)
    for words in ("by preference w", "w = 0.9", "relative to each other policy", "95 %"):
        assert words in text


def test_jobs_that_had_not_ended_are_told(plan: Plan, records: list[RunRecord]) -> None:
    cut = [replace(r, metrics=replace(r.metrics, unfinished=1)) for r in records]
    assert "24 jobs had not ended" in explanation(summarise(plan, cut))
    assert "had not ended" not in explanation(summarise(plan, records))
