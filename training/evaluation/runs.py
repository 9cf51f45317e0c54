"""The runs of an evaluation, one after another or in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy
from agents.registry import make_policy
from env.metrics import EpisodeMetrics, job_delays, measure
from env.simulator import Simulator
from env.timeline import Timeline
from training.evaluation.plan import Plan, Task
from training.processes import worker_pool

MOST_PROCESSES: Final = 2
"""Without an order of the user: leave the rest of the machine to others."""

_WORTH_A_PROCESS: Final = 200
"""Fewer runs than this end before a second process has begun."""

_CHUNK: Final = 4


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a plan.

    Attributes:
        policy, scenario, preference, seed: which run.
        metrics: its figures.
        delays_s: delay of each completed job, in the order of their arrivals.
    """

    policy: str
    scenario: str
    preference: float
    seed: int
    metrics: EpisodeMetrics
    delays_s: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        which = {
            "policy": self.policy,
            "scenario": self.scenario,
            "preference": self.preference,
            "seed": self.seed,
        }
        return {**which, **self.metrics.to_dict()}


class Runner:
    """Carries out the tasks of one plan; each policy is made once and reset for each run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._policies: dict[int, Policy] = {}

    def _policy(self, index: int) -> Policy:
        if index not in self._policies:
            self._policies[index] = make_policy(self._plan.policies[index])
        return self._policies[index]

    def simulate(self, task: Task, timeline: Timeline | None = None) -> Simulator:
        """The simulation of a task, run to its end."""
        plan, policy = self._plan, self._policy(task.policy)
        simulator = Simulator(
            plan.profile,
            plan.scenarios[task.scenario].requests,
            plan.catalog,
            seed=task.seed,
            preference=task.preference,
            discipline=policy.discipline,
            timeline=timeline,
        )
        simulator.run(policy)
        return simulator

    def run(self, task: Task) -> RunRecord:
        """The figures of a task."""
        simulator = self.simulate(task)
        return RunRecord(
            policy=self._plan.policies[task.policy],
            scenario=self._plan.scenarios[task.scenario].name,
            preference=task.preference,
            seed=task.seed,
            metrics=measure(simulator),
            delays_s=np.array(job_delays(simulator), dtype=np.float64),
        )


def default_processes(n_tasks: int) -> int:
    """How many processes so many runs are worth."""
    if n_tasks < _WORTH_A_PROCESS:
        return 1
    return min(MOST_PROCESSES, os.cpu_count() or 1)


def run_plan(
    plan: Plan, *, processes: int | None = None, on_run: Callable[[], None] = lambda: None
) -> list[RunRecord]:
    """Every run of the plan, in the order of its tasks, however many processes there are.

    Args:
        plan: what to run.
        processes: by default see `default_processes`.
        on_run: called after each run.
    """
    tasks = list(plan.tasks())
    wanted = default_processes(len(tasks)) if processes is None else processes
    records = []
    for record in _results(plan, tasks, min(wanted, len(tasks))):
        records.append(record)
        on_run()
    return records


def _results(plan: Plan, tasks: Sequence[Task], processes: int) -> Iterator[RunRecord]:
    if processes == 1:
        yield from map(Runner(plan).run, tasks)
        return
    with worker_pool(processes, _begin, plan) as pool:
        yield from pool.imap(_run_in_worker, tasks, chunksize=_CHUNK)


_plans: list[Plan] = []


def _begin(plan: Plan) -> None:
    _plans.append(plan)


@cache
def _runner() -> Runner:
    # Made with the first task: a pool would start a worker that fails before again and again.
    return Runner(_plans[-1])


def _run_in_worker(task: Task) -> RunRecord:
    return _runner().run(task)
