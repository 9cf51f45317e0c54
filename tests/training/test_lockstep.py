"""Many simulations under one network: each goes as it would alone."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.policy import Policy
from env.actions import Action, action_from_index, n_actions
from env.cluster import Cluster
from env.dispatch import Discipline
from env.metrics import measure
from env.observation import Observer, action_mask
from env.simulator import Simulator
from tests.training.small_world import short_episodes, taught_model
from training.lockstep import Decide, greedy, run_lockstep, simulate
from training.network import Actor


class Decides(Policy):
    """Asks a batch function for one cluster."""

    name = "decides"
    discipline: Discipline = "sjf"

    def __init__(self, decide: Decide) -> None:
        self._decide = decide

    def act(self, cluster: Cluster) -> Action:
        """The function's choice."""
        observer = Observer(cluster)
        row = np.zeros((1, observer.size), dtype=np.float32)
        mask = np.zeros((1, n_actions(cluster.n_flavors)), dtype=np.bool_)
        observer.write(row[0])
        action_mask(cluster, mask[0])
        return action_from_index(int(self._decide(row, mask)[0]), cluster.n_flavors)


def thoughtless(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Any action, forbidden ones too, by the digits of the observation; keeps half the time."""
    digits = np.abs(observations.astype(np.float64) * 1e4).round().sum(axis=1).astype(np.int64)
    return np.where(digits % 2 == 0, 0, digits // 2 % masks.shape[1])


def all_figures(simulator: Simulator) -> object:
    """All that a run came to."""
    ended = [None if isnan(end) else end for end in simulator.ended_s]
    return measure(simulator), ended, simulator.invalid_actions, simulator.now


@pytest.mark.parametrize("decider", ["network", "thoughtless"])
def test_equals_runs_one_by_one(decider: str) -> None:
    decide = greedy(Actor(taught_model())) if decider == "network" else thoughtless
    episodes = short_episodes(4)
    preferences = [0.1, 0.4, 0.7, 0.9]
    together = [simulate(e, w) for e, w in zip(episodes, preferences, strict=True)]
    run_lockstep(together, decide)
    for episode, w, ours in zip(episodes, preferences, together, strict=True):
        alone = simulate(episode, w)
        alone.run(Decides(decide))
        assert all_figures(ours) == all_figures(alone)
        assert ours.done
    invalid = [simulator.invalid_actions for simulator in together]
    assert (max(invalid) == 0) == (decider == "network")


def test_all_jobs_are_done() -> None:
    simulators = [simulate(episode) for episode in short_episodes(3, seed=1)]
    run_lockstep(simulators, greedy(Actor(taught_model())))
    metrics = [measure(simulator) for simulator in simulators]
    assert [m.completed for m in metrics] == [len(s.requests) for s in simulators]


def test_an_episode_keeps_its_preference_unless_told() -> None:
    episode = short_episodes(1)[0]
    assert simulate(episode).cluster.preference == episode.preference
    assert simulate(episode, 0.9).cluster.preference == 0.9


def test_the_discipline_is_the_policys() -> None:
    episode = short_episodes(1, load=1.5)[0]
    in_order = {}
    for discipline in ("fcfs", "sjf"):
        simulator = simulate(episode, 0.1, discipline)
        run_lockstep([simulator], greedy(Actor(taught_model())))
        in_order[discipline] = simulator.assigned_s == sorted(simulator.assigned_s)
    assert in_order == {"fcfs": True, "sjf": False}


def test_the_cost_depends_on_the_preference() -> None:
    episode = short_episodes(1)[0]
    simulators = [simulate(episode, w) for w in (0.1, 0.9)]
    run_lockstep(simulators, thoughtless)
    lean, quick = (measure(simulator) for simulator in simulators)
    assert lean.cost_per_job != quick.cost_per_job
