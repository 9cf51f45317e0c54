"""Discount and advantage: against integrals in continuous time, and through the learner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, inf
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from scipy.integrate import quad
from stable_baselines3.common.callbacks import BaseCallback

from env.observation import features
from tests.training.scripted_member import ScriptedMember, Step
from tests.training.small_world import FLAVORS, SMALL, silent, small_model
from training.model import build_model
from training.semi_markov import SemiMarkovRolloutBuffer
from training.vector_env import REWARD_UNIT_S, BatchVecEnv


@dataclass
class Clock:
    """What the latest step brought."""

    elapsed_s: NDArray[np.float32]
    rewards: NDArray[np.float32]


def filled(
    elapsed: Any,
    rewards: Any,
    *,
    values: Any = None,
    starts: Any = None,
    bootstraps: Any = None,
    last_values: Any = None,
    last_dones: Any = None,
    horizon_s: float = 300.0,
    trace_s: float = inf,
) -> SemiMarkovRolloutBuffer:
    """A full buffer with advantages and returns; all arguments of shape (steps, environments)."""
    elapsed = np.asarray(elapsed, dtype=np.float32)
    steps, n = elapsed.shape

    def table(given_values: Any) -> NDArray[np.float32]:
        return (
            np.zeros((steps, n), np.float32) if given_values is None else np.float32(given_values)
        )

    rewards, values, starts = table(rewards), table(values), table(starts)
    bootstraps = table(bootstraps)
    buffer = SemiMarkovRolloutBuffer(
        steps,
        spaces.Box(-1, 1, (1,)),
        spaces.Discrete(2),
        "cpu",
        n_envs=n,
        horizon_s=horizon_s,
        trace_s=trace_s,
    )
    clock = Clock(np.zeros(n, np.float32), np.zeros(n, np.float32))
    buffer.clock = clock
    for i in range(steps):
        clock.elapsed_s, clock.rewards = elapsed[i], rewards[i]
        buffer.add(
            np.zeros((n, 1), np.float32),
            np.zeros((n, 1)),
            rewards[i] + bootstraps[i],
            starts[i],
            torch.as_tensor(values[i]),
            torch.zeros(n),
            action_masks=np.ones((n, 2), dtype=np.bool_),
        )
    buffer.compute_returns_and_advantage(
        torch.zeros(n) if last_values is None else torch.as_tensor(np.float32(last_values)),
        np.zeros(n) if last_dones is None else np.asarray(last_dones),
    )
    return buffer


durations = st.one_of(st.just(0.0), st.floats(1e-3, 200.0), st.floats(0, 1e-3))


@st.composite
def rollouts(draw: st.DrawFn) -> dict[str, Any]:
    """A rollout of two environments with ends of episodes here and there."""
    steps = draw(st.integers(1, 8))

    def table(elements: st.SearchStrategy[Any]) -> NDArray[Any]:
        size = steps * 2
        return np.array(draw(st.lists(elements, min_size=size, max_size=size))).reshape(steps, 2)

    return {
        "elapsed": table(durations),
        "rates": table(st.floats(-3.0, 0.0)),
        "values": table(st.floats(-5.0, 5.0)),
        "starts": table(st.sampled_from([0.0, 0.0, 0.0, 1.0])),
        "last_values": np.array(draw(st.tuples(st.floats(-5, 5), st.floats(-5, 5)))),
        "last_dones": np.array(draw(st.tuples(st.booleans(), st.booleans()))),
        "horizon_s": draw(st.sampled_from([30.0, 300.0])),
    }


def buffer_of(rollout: dict[str, Any], trace_s: float) -> SemiMarkovRolloutBuffer:
    """The buffer filled with a rollout."""
    given_values = {key: value for key, value in rollout.items() if key != "rates"}
    rewards = rollout["rates"] * rollout["elapsed"]
    return filled(rewards=rewards, trace_s=trace_s, **given_values)


def alive_after(rollout: dict[str, Any], step: int, env: int) -> bool:
    """Whether the episode goes on after a step."""
    if step + 1 < len(rollout["starts"]):
        return not rollout["starts"][step + 1, env]
    return not rollout["last_dones"][env]


@given(rollouts())
def test_returns_are_integrals_over_continuous_time(rollout: dict[str, Any]) -> None:
    # With an endless trace the return is what the episode still brings, discounted by the
    # time at which it comes, up to the end of the rollout, and then the last value.
    buffer = buffer_of(rollout, inf)
    horizon = rollout["horizon_s"]
    steps, n = rollout["elapsed"].shape
    for env in range(n):
        for first in range(steps):
            total, now = 0.0, 0.0
            for step in range(first, steps):
                length, rate = rollout["elapsed"][step, env], rollout["rates"][step, env]
                total += quad(lambda t, r=rate: r * exp(-t / horizon), now, now + length)[0]
                now += length
                if not alive_after(rollout, step, env):
                    break
            else:
                total += exp(-now / horizon) * rollout["last_values"][env]
            assert buffer.returns[first, env] == pytest.approx(total, rel=1e-4, abs=1e-4)


@given(rollouts(), st.sampled_from([5.0, 120.0, inf]))
def test_advantages_are_sums_of_errors_that_fade_with_time(
    rollout: dict[str, Any], trace_s: float
) -> None:
    buffer = buffer_of(rollout, trace_s)
    horizon = rollout["horizon_s"]
    values, elapsed, rates = rollout["values"], rollout["elapsed"], rollout["rates"]
    steps, n = elapsed.shape
    for env in range(n):
        errors = []
        for step in range(steps):
            length = elapsed[step, env]
            reward = rates[step, env] * horizon * (1 - exp(-length / horizon))
            after = values[step + 1, env] if step + 1 < steps else rollout["last_values"][env]
            alive = alive_after(rollout, step, env)
            errors.append(reward + alive * exp(-length / horizon) * after - values[step, env])
        for first in range(steps):
            total, passed = 0.0, 0.0
            for step in range(first, steps):
                total += exp(-passed / horizon) * exp(-passed / trace_s) * errors[step]
                passed += elapsed[step, env]
                if not alive_after(rollout, step, env):
                    break
            assert buffer.advantages[first, env] == pytest.approx(total, rel=1e-4, abs=2e-4)
            assert buffer.returns[first, env] == pytest.approx(
                total + values[first, env], rel=1e-4, abs=2e-4
            )


@given(value=st.floats(-5, 5), trace_s=st.sampled_from([1.0, 120.0, inf]))
def test_an_order_that_takes_no_time_passes_the_return_on(value: float, trace_s: float) -> None:
    # Spawn (0 s), spawn (0 s), keep (20 s): three decisions at one moment.
    buffer = filled(
        [[0.0], [0.0], [20.0]],
        [[0.0], [0.0], [-3.0]],
        values=[[1.0], [value], [-2.0]],
        last_values=[-4.0],
        trace_s=trace_s,
    )
    returns = buffer.returns[:, 0]
    assert returns[0] == pytest.approx(returns[2], abs=1e-5)
    assert returns[1] == pytest.approx(returns[2], abs=1e-5)
    assert buffer.advantages[1, 0] == pytest.approx(returns[2] - value, abs=1e-5)


@given(
    parts=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=10),
    rate=st.floats(-5.0, 0.0),
    horizon_s=st.sampled_from([20.0, 300.0, 1e9]),
)
def test_events_that_change_nothing_change_no_return(
    parts: list[float], rate: float, horizon_s: float
) -> None:
    def first_return(stretches: list[float]) -> float:
        buffer = filled(
            [[length] for length in stretches],
            [[rate * length] for length in stretches],
            last_values=[-7.0],
            horizon_s=horizon_s,
        )
        return float(buffer.returns[0, 0])

    assert first_return(parts) == pytest.approx(first_return([sum(parts)]), rel=1e-4, abs=1e-4)


def test_the_trace_fades_with_time_not_with_steps() -> None:
    # The same 60 s, once in one step and once in six: what lies beyond weighs the same.
    def credit(stretches: list[float]) -> float:
        n = len(stretches)
        buffer = filled(
            [[length] for length in [*stretches, 10.0]],
            [[0.0]] * n + [[-5.0]],  # values of 0 see it not coming
            trace_s=100.0,
        )
        return float(buffer.advantages[0, 0])

    assert credit([60.0]) == pytest.approx(credit([10.0] * 6), rel=1e-5)
    assert credit([60.0]) < 0


@given(elapsed=durations, reward=st.floats(-5, 0), value=st.floats(-50, 50))
def test_a_truncated_end_brings_its_discounted_value(
    elapsed: float, reward: float, value: float
) -> None:
    # Stable-baselines3 adds the last state's value to the reward as it is (gamma is 1).
    buffer = filled([[elapsed]], [[reward]], bootstraps=[[value]], last_dones=[True])
    share = elapsed / 300.0
    within = (1 - exp(-share)) / share if share > 1e-9 else 1.0
    expected = reward * within + exp(-share) * value
    assert buffer.returns[0, 0] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_without_a_clock_it_refuses() -> None:
    buffer = SemiMarkovRolloutBuffer(1, spaces.Box(-1, 1, (1,)), spaces.Discrete(2), n_envs=1)
    with pytest.raises(RuntimeError, match="clock"):
        buffer.add(*(np.zeros((1, 1)) for _ in range(6)), action_masks=np.ones((1, 2)))


def test_a_new_rollout_forgets_the_times() -> None:
    buffer = filled([[5.0], [7.0]], [[-1.0], [-1.0]])
    assert buffer.elapsed_s.tolist() == [[5.0], [7.0]]
    buffer.reset()
    assert buffer.elapsed_s.tolist() == [[0.0], [0.0]]


# -- through the learner ------------------------------------------------------------------

SCRIPT = [
    Step(10.0, 1.0),
    Step(0.0, 0.0),
    Step(40.0, 2.0, truncated=True),
    Step(5.0, 3.0),
    Step(25.0, 0.5, terminated=True),
]


class Ends(BaseCallback):
    """Notes the last observations of episodes that were truncated."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[tuple[int, int], NDArray[np.float32]] = {}
        self.step = 0

    def _on_step(self) -> bool:
        for env, info in enumerate(self.locals["infos"]):
            if "terminal_observation" in info:
                self.last[self.step, env] = info["terminal_observation"]
        self.step += 1
        return True


class WideMember(ScriptedMember):
    """Its observation is as wide as the network's ratios need it."""

    observation_space = spaces.Box(-10.0, 10.0, (len(features(FLAVORS)),), np.float32)

    def observe_into(self, row: NDArray[np.float32]) -> None:
        row[2:] = 0.0
        super().observe_into(row[:2])


def scripted_learner() -> tuple[MaskablePPO, BatchVecEnv]:
    """A learner on two members that go round the script, the second one step ahead."""
    scripts = [SCRIPT, SCRIPT[1:] + SCRIPT[:1]]
    batch = BatchVecEnv([WideMember(script) for script in scripts])
    settings = replace(SMALL, rollout_steps=12, batch_size=24, horizon_s=50.0, trace_s=20.0)
    return silent(build_model(settings, batch)), batch


def test_the_learner_bootstraps_where_it_must() -> None:
    model, batch = scripted_learner()
    ends = Ends()
    model._setup_learn(24)
    ends.init_callback(model)
    model.collect_rollouts(batch, ends, model.rollout_buffer, 12)
    buffer = model.rollout_buffer
    assert isinstance(buffer, SemiMarkovRolloutBuffer)
    cut = 0
    for env in range(2):
        for step in range(12):
            what = SCRIPT[(step + env) % 5]
            assert buffer.elapsed_s[step, env] == what.elapsed_s
            expected = -what.cost_rate * 50.0 * (1 - exp(-what.elapsed_s / 50.0))
            expected /= REWARD_UNIT_S * ScriptedMember.reference_cost_rate
            if what.truncated:
                last = torch.as_tensor(ends.last[step, env][None])
                with torch.no_grad():
                    value = float(model.policy.predict_values(last))
                assert abs(value) > 1e-3  # else this would show nothing
                expected += exp(-what.elapsed_s / 50.0) * value
                cut += 1
            assert buffer.rewards[step, env] == pytest.approx(expected, abs=1e-6)
            if step:
                ended = SCRIPT[(step - 1 + env) % 5]
                assert buffer.episode_starts[step, env] == (ended.terminated or ended.truncated)
    assert cut == 5


def test_the_learner_has_the_settings_time_constants() -> None:
    model = small_model(replace(SMALL, horizon_s=77.0, trace_s=33.0))
    buffer = model.rollout_buffer
    assert isinstance(buffer, SemiMarkovRolloutBuffer)
    assert (model.gamma, buffer.horizon_s, buffer.trace_s) == (1.0, 77.0, 33.0)
    assert buffer.clock is model.get_env()
