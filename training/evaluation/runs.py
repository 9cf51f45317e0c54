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
from env.metrics import EpisodeMetrics
from env.simulator import Simulator
from env.timeline import Timeline
from training.evaluation.plan import Plan, Task
from training.processes import worker_pool
from training.rollouts.cells import Cell, Played
from training.rollouts.play import COMPILED, Stage, left_out

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

    def cell(self, task: Task) -> Cell:
        """What a task plays."""
        plan = self._plan
        return Cell(
            self._policy(task.policy),
            plan.profile,
            plan.scenarios[task.scenario].requests,
            plan.catalog,
            task.seed,
            task.preference,
        )

    def simulate(self, task: Task, timeline: Timeline | None = None) -> Simulator:
        """The simulation of a task, run to its end."""
        return self.cell(task).simulate(timeline)

    def record(self, task: Task, played: Played) -> RunRecord:
        """What came of a task."""
        return RunRecord(
            policy=self._plan.policies[task.policy],
            scenario=self._plan.scenarios[task.scenario].name,
            preference=task.preference,
            seed=task.seed,
            metrics=played.metrics,
            delays_s=played.delays_s,
        )

    def run(self, task: Task) -> RunRecord:
        """The figures of a task, by the reference simulator."""
        return self.record(task, Played.of(self.simulate(task)))


def default_processes(n_tasks: int) -> int:
    """How many processes so many runs are worth."""
    if n_tasks < _WORTH_A_PROCESS:
        return 1
    return min(MOST_PROCESSES, os.cpu_count() or 1)


def run_plan(
    plan: Plan,
    *,
    processes: int | None = None,
    on_run: Callable[[], None] = lambda: None,
    engine: str = COMPILED,
    say: Callable[[str], None] = lambda line: None,
) -> list[RunRecord]:
    """Every run of the plan, in the order of its tasks, whoever plays it.

    Args:
        plan: what to run.
        processes: that the reference simulator uses, and threads of the engine; by default see
            `default_processes`.
        on_run: called after each run.
        engine: see `training.rollouts.play`.
        say: is told what the engine does not play, one line.

    Raises:
        UnknownNameError: there is no such engine.
    """
    tasks = list(plan.tasks())
    wanted = default_processes(len(tasks)) if processes is None else processes
    runner, stage = Runner(plan), Stage(engine, wanted)
    cells = [runner.cell(task) for task in tasks]
    compiled = [i for i, cell in enumerate(cells) if stage.compiles(cell.policy)]
    if (line := left_out(stage, (cell.policy for cell in cells))) is not None:
        say(line)
    played = stage.play([cells[i] for i in compiled], on_run) if compiled else []
    records = {i: runner.record(tasks[i], one) for i, one in zip(compiled, played, strict=True)}
    left = [i for i in range(len(tasks)) if i not in records]
    if left:
        simulated = _results(plan, [tasks[i] for i in left], min(wanted, len(left)))
        for i, record in zip(left, simulated, strict=True):
            records[i] = record
            on_run()
    return [records[i] for i in range(len(tasks))]


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
