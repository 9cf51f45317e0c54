"""The runs of an evaluation: paired, in order, and the same however they are spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.registry import make_policy, policy_names
from env.metrics import job_delays, measure
from env.simulator import Simulator
from env.timeline import Timeline
from tests.training.evaluation_world import small_plan, write_frozen
from training.evaluation.plan import Task
from training.evaluation.runs import Runner, RunRecord, default_processes, run_plan


def same(one: list[RunRecord], two: list[RunRecord]) -> bool:
    """Whether two evaluations agree in every bit."""
    return [r.to_dict() for r in one] == [r.to_dict() for r in two] and all(
        np.array_equal(a.delays_s, b.delays_s) for a, b in zip(one, two, strict=True)
    )


def test_a_record_is_what_the_simulator_measures(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, preferences=[0.3])
    record = run_plan(plan)[3]
    policy = make_policy("minimize-workers")
    simulator = Simulator(
        plan.profile,
        plan.scenarios[1].requests,
        plan.catalog,
        seed=1,
        preference=0.3,
        discipline=policy.discipline,
    )
    simulator.run(policy)
    assert (record.policy, record.scenario, record.preference, record.seed) == (
        "minimize-workers",
        "calm",
        0.3,
        1,
    )
    assert record.metrics == measure(simulator)
    assert record.delays_s.tolist() == job_delays(simulator)


def test_the_order_is_the_plans_and_each_run_is_told(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, preferences=[0.9, 0.1])
    told: list[int] = []
    records = run_plan(plan, on_run=lambda: told.append(1))
    assert len(told) == len(records)
    assert [(r.policy, r.preference, r.scenario, r.seed) for r in records] == [
        (plan.policies[t.policy], t.preference, plan.scenarios[t.scenario].name, t.seed)
        for t in plan.tasks()
    ]


@pytest.mark.slow
def test_two_processes_bring_the_same_as_one(tmp_path: Path) -> None:
    frozen = str(write_frozen(tmp_path / "frozen"))
    plan = small_plan(tmp_path, policies=[frozen, *policy_names()], preferences=[0.1, 0.9])
    assert same(run_plan(plan, processes=1), run_plan(plan, processes=2))


def test_a_policy_that_is_used_again_decides_as_a_new_one(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, policies=policy_names())
    runner = Runner(plan)
    for task in plan.tasks():
        runner.run(task)
    assert same(
        [runner.run(task) for task in plan.tasks()],
        [Runner(plan).run(task) for task in plan.tasks()],
    )


def test_all_policies_serve_the_same_jobs(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, policies=["grace-period", "break-even"], preferences=[0.1, 0.9])
    runner = Runner(plan)
    drawn: dict[tuple[int, int], set[str]] = {}
    for task in plan.tasks():
        simulator = runner.simulate(task)
        jobs = repr((simulator.requests, simulator._work, simulator._download, simulator._upload))
        drawn.setdefault((task.scenario, task.seed), set()).add(jobs)
    assert all(len(jobs) == 1 for jobs in drawn.values())
    assert len(set.union(*drawn.values())) == len(drawn)  # seeds and scenarios differ


def test_the_queue_discipline_is_the_policys(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, policies=["reserve-k:discipline=sjf", "reserve-k:discipline=fcfs"])
    runner = Runner(plan)
    queues = [runner.simulate(Task(policy, 0.5, 0, 0)).cluster._queue for policy in (0, 1)]
    keys = [queue.key.__name__ for queue in queues]  # type: ignore[attr-defined]
    assert keys == ["sjf", "fcfs"]


def test_a_timeline_changes_nothing(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    task, timeline = Task(1, 0.5, 0, 0), Timeline()
    seen = Runner(plan).simulate(task, timeline)
    assert timeline.lanes
    assert measure(seen) == measure(Runner(plan).simulate(task))


def test_a_second_process_only_for_much_work() -> None:
    assert default_processes(1) == 1
    assert 1 <= default_processes(100_000) <= 2
