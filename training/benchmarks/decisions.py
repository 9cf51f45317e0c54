"""How many decisions a second the environment makes alone, on one core."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from gymnasium import spaces

from agents.registry import make_policy
from env.actions import action_index, n_actions
from env.gym_env import DaCircoEnv
from training.benchmarks.laps import Speed, measure

LOAD = 0.5
RULE = "minimize-workers"

Play = Callable[[int], int]
"""Makes so many decisions in a running environment and returns how many."""


def poisson_env(seed: int) -> DaCircoEnv:
    """The shipped data centre under Poisson arrivals at half its capacity, an episode begun."""
    env = DaCircoEnv(family="poisson", load=LOAD, preference=0.5)
    env.reset(seed=seed)
    return env


def random_play(env: DaCircoEnv, rng: np.random.Generator) -> Play:
    """Decide at random among what can be carried out, by the calls that training uses."""
    row, mask = _buffers(env)

    def play(decisions: int) -> int:
        for lot in rng.random(decisions).tolist():
            env.observe_into(row)
            env.mask_into(mask)
            legal = mask.nonzero()[0]
            _, terminated, truncated = env.decide(int(legal[int(lot * len(legal))]))
            if terminated or truncated:
                env.begin()
        return decisions

    return play


def gym_play(env: DaCircoEnv, rng: np.random.Generator) -> Play:
    """The same through Gymnasium's interface."""

    def play(decisions: int) -> int:
        for lot in rng.random(decisions).tolist():
            legal = env.action_masks().nonzero()[0]
            _, _, terminated, truncated, _ = env.step(legal[int(lot * len(legal))])
            if terminated or truncated:
                env.reset()
        return decisions

    return play


def rule_play(env: DaCircoEnv) -> Play:
    """Decide as the naive rule does; observation and mask are written for nobody."""
    row, mask = _buffers(env)
    rule = make_policy(RULE)
    n_flavors = env.simulator.cluster.n_flavors
    rule.reset(env.simulator.cluster)

    def play(decisions: int) -> int:
        for _ in range(decisions):
            env.observe_into(row)
            env.mask_into(mask)
            action = action_index(rule.act(env.simulator.cluster), n_flavors)
            _, terminated, truncated = env.decide(action)
            if terminated or truncated:
                env.begin()
                rule.reset(env.simulator.cluster)
        return decisions

    return play


def decision_speeds(decisions: int, repetitions: int, seed: int = 0) -> dict[str, Speed]:
    """Decisions a second by who decides: ``random``, ``rule``, and ``gym`` for ``step()``."""
    rng = np.random.default_rng(seed)
    players = {
        "random": random_play(poisson_env(seed), rng),
        "rule": rule_play(poisson_env(seed)),
        "gym": gym_play(poisson_env(seed), rng),
    }
    return {
        name: measure(lambda play=play: play(decisions), repetitions)  # type: ignore[misc]
        for name, play in players.items()
    }


def _buffers(env: DaCircoEnv) -> tuple[np.ndarray, np.ndarray]:
    assert isinstance(env.observation_space, spaces.Box)
    return (
        np.zeros(env.observation_space.shape, dtype=np.float32),
        np.zeros(n_actions(env.simulator.cluster.n_flavors), dtype=np.bool_),
    )
