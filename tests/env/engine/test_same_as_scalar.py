"""The vector environment is many scalar ones: same seeds, same actions, same everything."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

pytest.importorskip("numba")

from env.engine.vector_env import DaCircoVectorEnv
from env.episodes import Randomisation, random_episodes
from env.errors import DaCircoError
from env.gym_env import DaCircoEnv

N = 5
KEYS = ("vector_reward", "elapsed_s", "epoch", "invalid_actions", "preference")
RANDOM = random_episodes(Randomisation(horizon_s=(200.0, 900.0), fault_share=0.5))


def pair(mode: AutoresetMode, **arguments: Any) -> tuple[DaCircoVectorEnv, SyncVectorEnv]:
    """The compiled environments, and as many plain ones."""
    plain = SyncVectorEnv([lambda: DaCircoEnv(**arguments)] * N, autoreset_mode=mode)
    return DaCircoVectorEnv(N, autoreset_mode=mode, threads=2, **arguments), plain


def masks_of(plain: SyncVectorEnv) -> NDArray[np.bool_]:
    return np.array(plain.call("action_masks"))


def same_info(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for key in KEYS:
        assert (key in expected) <= (key in found), key
        if key not in expected:
            assert not found.get(f"_{key}", np.zeros(1)).any(), key
            continue
        of = expected[f"_{key}"]
        np.testing.assert_array_equal(found[f"_{key}"], of, err_msg=key)
        if expected[key].dtype == object:
            assert found[key][of].tolist() == expected[key][of].tolist(), key
        else:
            np.testing.assert_allclose(found[key][of], expected[key][of], rtol=1e-9, atol=1e-9)


def chosen(masks: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Mostly allowed actions, keep among them more often than a draw would."""
    weights = masks * rng.random(masks.shape)
    weights[:, 0] *= 2.0
    actions = weights.argmax(axis=1)
    odd = rng.random(len(masks)) < 0.03
    actions[odd] = rng.integers(masks.shape[1], size=int(odd.sum()))
    return actions


ARGUMENTS = [
    {"family": "bursts", "load": 0.8, "episode_s": 500.0},
    {"profile": "kubernetes", "preference": 0.9, "episode_s": 400.0, "max_jobs_per_core": 0.3},
    {"sampler": RANDOM},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=["bursts", "kubernetes", "random"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_it_is_many_scalar_environments(mode: AutoresetMode, arguments: dict[str, Any]) -> None:
    fast, plain = pair(mode, **arguments)
    rng = np.random.default_rng(1)
    observations, info = fast.reset(seed=7)
    expected, expected_info = plain.reset(seed=7)
    same_info(info, expected_info)
    ends = 0
    for _ in range(700):
        np.testing.assert_allclose(observations, expected, rtol=0, atol=1e-6)
        masks = fast.action_masks()
        np.testing.assert_array_equal(masks, masks_of(plain))
        actions = chosen(masks, rng)
        observations, rewards, over, cut, info = fast.step(actions)
        expected, *rest, expected_info = plain.step(actions)
        np.testing.assert_allclose(rewards, rest[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(over, rest[1])
        np.testing.assert_array_equal(cut, rest[2])
        same_info(info, expected_info)
        if mode is AutoresetMode.SAME_STEP and (over | cut).any():
            same_info(info["final_info"], expected_info["final_info"])
            for d in np.flatnonzero(over | cut):
                final = info["final_obs"][d], expected_info["final_obs"][d]
                np.testing.assert_allclose(*final, rtol=0, atol=1e-6)
        ends += int((over | cut).sum())
    assert ends >= 3
    fast.close()
    plain.close()


def run(env: DaCircoVectorEnv, steps: int, seed: int | None) -> list[NDArray[Any]]:
    """What a run of random actions shows."""
    rng = np.random.default_rng(0)
    seen = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observations, rewards, over, cut, _ = env.step(chosen(env.action_masks(), rng))
        seen += [observations, rewards, over, cut]
        if env.autoreset_mode is AutoresetMode.DISABLED and (over | cut).any():
            seen.append(env.reset(options={"reset_mask": over | cut})[0])
    return seen


def equal(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_threads_and_making_episodes_ahead_change_nothing() -> None:
    def make(**arguments: Any) -> DaCircoVectorEnv:
        return DaCircoVectorEnv(6, episode_s=200.0, autoreset_mode="SameStep", **arguments)

    runs = [
        run(make(threads=threads, ahead=ahead), 400, 3)
        for threads, ahead in ((1, False), (3, True), (6, False))
    ]
    assert equal(runs[0], runs[1])
    assert equal(runs[0], runs[2])
    again = make(threads=1)
    run(again, 300, 5)
    assert equal(run(again, 400, 3), runs[0])  # a seed makes all anew
    assert not equal(run(again, 400, None), runs[0])


def test_without_autoreset_the_ended_start_by_a_mask() -> None:
    env = DaCircoVectorEnv(3, episode_s=60.0, autoreset_mode=AutoresetMode.DISABLED)
    seen = run(env, 60, 0)
    assert sum(len(a) == 3 and a.dtype == np.bool_ and a.any() for a in seen) > 2
    while True:
        _, _, over, cut, _ = env.step(np.zeros(3, dtype=np.int64))
        if (over | cut).any():
            break
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset_mask"):
        env.step(np.zeros(3, dtype=np.int64))


def close(found: Any, expected: Any) -> bool:
    """Whether figures within figures are alike."""
    if isinstance(expected, dict):
        return all(close(found[key], value) for key, value in expected.items())
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, float):
        return bool(found == pytest.approx(expected, rel=1e-9))
    return bool(found == expected)


def test_figures_of_ended_episodes_are_those_of_the_scalar_environment() -> None:
    fast = DaCircoVectorEnv(2, episode_s=400.0, metrics=True, threads=1)
    plain = [DaCircoEnv(episode_s=400.0) for _ in range(2)]
    fast.reset(seed=1)
    for d, world in enumerate(plain):
        world.reset(seed=1 + d)
    rng = np.random.default_rng(2)
    told = 0
    while told < 2:
        actions = chosen(fast.action_masks(), rng)
        before = fast._over.copy()
        _, _, over, cut, info = fast.step(actions)
        for d in np.flatnonzero(~before):
            plain[d].step(actions[d])
            if over[d] or cut[d]:
                found, expected = info["metrics"][d].to_dict(), plain[d].metrics().to_dict()
                assert found.keys() == expected.keys()
                assert close(found, expected)
                told += 1
    assert info["_metrics"].any()


def test_gymnasium_makes_it_and_its_wrappers_take_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make_vec("env:DaCirco-v0", num_envs=3, load=0.7, preference=0.3)
        assert isinstance(env.unwrapped, DaCircoVectorEnv)
        assert env.spec is not None
        assert env.observation_space.shape == (3, 45)
        wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
        observations, info = wrapped.reset(seed=0)
        assert observations in env.observation_space
        assert info["preference"].tolist() == [0.3] * 3
        env.action_space.seed(0)
        for _ in range(20):
            observations, rewards, over, cut, _ = wrapped.step(env.action_space.sample())
            assert observations in env.observation_space
            assert (rewards.dtype, over.dtype, cut.dtype) == (np.float64, np.bool_, np.bool_)
        as_list = gymnasium.wrappers.vector.DictInfoToList(env)
        as_list.reset(seed=1)
        info = as_list.step(np.zeros(3, dtype=np.int64))[-1]
        assert info[2]["vector_reward"].shape == (2,)
        wrapped.close()


def test_an_option_fixes_the_preference_and_a_list_seeds_each() -> None:
    env = DaCircoVectorEnv(3, threads=1)
    observations, info = env.reset(seed=[4, 9, 4], options={"preference": 0.25})
    assert info["preference"].tolist() == [0.25] * 3
    rng = np.random.default_rng(0)
    actions = chosen(env.action_masks(), rng)
    actions[2] = actions[0]
    for _ in range(30):
        observations, *_ = env.step(actions * 0)
    np.testing.assert_array_equal(observations[0], observations[2])
    assert not np.array_equal(observations[0], observations[1])


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda env: env.step(np.array([0, 9, 0])), ValueError, "action 9 of data centre 1"),
        (lambda env: env.step(np.array([0, 0])), ValueError, "of shape"),
        (lambda env: env.step(np.array([0.0, 0, 0])), ValueError, "whole numbers"),
        (lambda env: env.reset(seed=[1]), DaCircoError, "1 seeds for 3"),
        (lambda env: env.reset(options={"w": 1}), DaCircoError, "no option"),
        (
            lambda env: env.reset(options={"reset_mask": np.zeros(3, dtype=np.bool_)}),
            DaCircoError,
            "name at least one",
        ),
        (lambda env: env.reset(options={"reset_mask": [True]}), DaCircoError, "array of bools"),
        (lambda env: env.metrics(0), DaCircoError, "trace"),
    ],
)
def test_bad_input_is_named(
    wrong: Callable[[DaCircoVectorEnv], object], error: type[Exception], text: str
) -> None:
    env = DaCircoVectorEnv(3, threads=1)
    env.reset(seed=0)
    with pytest.raises(error, match=text):
        wrong(env)


def test_bad_arguments_are_named() -> None:
    for arguments, text in (
        ({"num_envs": 0}, "num_envs 0"),
        ({"threads": 0}, "threads 0"),
        ({"load": -1.0}, "load -1.0"),
        ({"autoreset_mode": "Never"}, "autoreset_mode 'Never'"),
        ({"render_mode": "ansi"}, "render_mode 'ansi'"),
    ):
        with pytest.raises(DaCircoError, match=text):
            DaCircoVectorEnv(**arguments)
    with pytest.raises(gymnasium.error.ResetNeeded):
        DaCircoVectorEnv(2).action_masks()
