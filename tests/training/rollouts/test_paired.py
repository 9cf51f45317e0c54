"""Paired rollouts are what the reference simulator does with copies of the same states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.rolling_worlds import random_actor

pytest.importorskip("numba")

from agents.compiled.rules import Form, form_of
from agents.network_policy import masked_argmax
from agents.registry import make_policy
from env.actions import ActionKind, action_from_index, action_index
from env.cost import cost_so_far
from env.engine.engine import Engine
from env.engine.perceptron import Perceptron, forward
from env.engine.vector_env import DaCircoVectorEnv
from env.gym_env import DaCircoEnv
from env.observation import Observer, action_mask
from env.simulator import Simulator
from tests.training.compared_worlds import side_by_side
from training.rollouts.flatten import flatten
from training.rollouts.paired import Rollouts, roll_out_pairs
from training.snapshot import copy_simulator

N = 4
RULES = ("adaptive-flavor", "grace-period:flavor=s10.tiny,max_idle_time=8")
REMEMBERING = ("queue-scaling:stabilisation=20", "hybrid-histogram", "adaptive-grace-period")
NETWORK = flatten(random_actor(0))
WORLD: dict[str, Any] = {"family": "bursts", "load": 0.6, "episode_s": 900.0}


class Followed:
    """What a copy of the reference does from a first action on, under a network or a rule."""

    def __init__(
        self, simulator: Simulator, action: int, policy: Perceptron | str, length_s: float
    ) -> None:
        copied = copy_simulator(simulator)
        cluster = copied.cluster
        observer, start = Observer(cluster), copied.now
        end = start + length_s
        before = cost_so_far(cluster)
        row = np.zeros((1, observer.size), dtype=np.float32)
        mask = np.zeros((1, 7), dtype=np.bool_)
        rule = make_policy(policy) if isinstance(policy, str) else None
        if rule is not None:
            rule.reset(cluster)
        self.decisions = 0
        going = True
        while going:
            order = action_from_index(action, cluster.n_flavors)
            self.decisions += 1
            if order.kind is ActionKind.KEEP or not copied.apply(order):
                wake = None if rule is None else rule.wake_at(cluster)
                copied.wake_at(end if wake is None or not copied.now < wake < end else wake)
                going = copied.advance() and copied.now < end - 1e-6
            observer.write(row[0])
            action_mask(cluster, mask[0])
            if isinstance(policy, Perceptron):
                action = int(masked_argmax(forward(policy, row), mask)[0])
            elif rule is not None and going:
                action = action_index(rule.act(cluster), cluster.n_flavors)
        self.cost = cost_so_far(cluster).since(before)
        self.elapsed_s = copied.now - start
        self.observation = row[0]


def all_allowed(fast: DaCircoVectorEnv) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return np.arange(N), fast.action_masks()


@pytest.mark.parametrize("followed", ["network", *RULES, *REMEMBERING])
def test_branches_are_those_of_the_reference(followed: str) -> None:
    fast, plain = side_by_side(N, 40, WORLD)
    rows, tried = all_allowed(fast)
    lengths = np.array([30.0, 90.0, 150.0, 1e6])  # the last one runs to the episode's end
    policy: Perceptron | Form | None = NETWORK
    if followed != "network":
        policy = form_of(make_policy(followed), plain[0].simulator.cluster)
    assert policy is not None
    found = roll_out_pairs(fast.engine, rows, tried, policy, length_s=lengths)
    several = 0
    for d, action in zip(*np.nonzero(tried), strict=True):
        reference = NETWORK if followed == "network" else followed
        expected = Followed(plain[d].simulator, int(action), reference, float(lengths[d]))
        at = (d, 0, action)
        assert found.job_seconds[at] == pytest.approx(expected.cost.job_seconds, rel=1e-9)
        assert found.core_seconds[at] == pytest.approx(expected.cost.core_seconds, rel=1e-9)
        assert found.elapsed_s[at] == pytest.approx(expected.elapsed_s, rel=1e-12)
        assert found.decisions[at] == expected.decisions
        assert found.ended[at] == (d == N - 1)
        if not found.ended[at]:
            assert found.elapsed_s[at] == pytest.approx(lengths[d], rel=1e-12)
        np.testing.assert_allclose(found.observations[at], expected.observation, atol=1e-6)
        several += expected.decisions > 10
    assert several > N
    costs = (found.job_seconds + found.core_seconds)[tried[:, None, :]]
    assert len(np.unique(costs)) > N  # actions do matter
    assert np.isnan(found.job_seconds[~tried[:, None, :]]).all()


def test_data_centres_that_keep_a_trace_can_be_followed_for_long() -> None:
    """A copy makes more changes than its trace has room for; its data centre keeps its own."""
    arguments: dict[str, Any] = {
        "family": "poisson",
        "load": 0.4,
        "episode_s": 20_000.0,
        "preference": 0.6,
    }
    world = DaCircoEnv(**WORLD)
    world.reset(seed=0)
    rule = form_of(make_policy(RULES[0]), world.simulator.cluster)
    assert rule is not None
    traced = DaCircoVectorEnv(2, threads=1, metrics=True, **arguments)
    plain = DaCircoVectorEnv(2, threads=1, **arguments)
    for env in (traced, plain):
        env.reset(seed=3)
    rows, tried = np.arange(2), traced.action_masks()
    found, expected = (
        roll_out_pairs(env.engine, rows, tried, rule, length_s=8_000.0) for env in (traced, plain)
    )
    assert found.decisions[tried[:, None, :]].min() > 1_500
    assert same(found, expected)
    assert traced.metrics(0).boots == 0


def arrays(engine: Engine) -> list[NDArray[Any]]:
    return [engine.f.copy(), engine.i.copy(), engine.ef.copy(), engine.ei.copy()]


def same(one: Rollouts, other: Rollouts, of: Any = ...) -> bool:
    return all(
        np.array_equal(getattr(one, name)[of], getattr(other, name)[of], equal_nan=True)
        for name in Rollouts.__slots__
        if getattr(one, name).dtype.kind == "f"
    )


def test_data_centres_stay_and_the_batch_does_not_matter() -> None:
    fast, _ = side_by_side(N, 100, WORLD)
    rows, tried = all_allowed(fast)
    before = arrays(fast.engine)
    one = roll_out_pairs(fast.engine, rows, tried, NETWORK, length_s=60.0)
    assert all(map(np.array_equal, before, arrays(fast.engine)))
    for threads, batch in ((2, 128), (1, 3), (3, 1)):
        arguments: dict[str, Any] = {"threads": threads, "batch": batch}
        other = roll_out_pairs(fast.engine, rows, tried, NETWORK, length_s=60.0, **arguments)
        np.testing.assert_allclose(one.job_seconds, other.job_seconds, rtol=1e-9)
        np.testing.assert_array_equal(one.decisions, other.decisions)


def test_futures_differ_in_noise_and_the_first_is_the_own() -> None:
    fast, _ = side_by_side(N, 100, WORLD)
    rows, tried = all_allowed(fast)
    alone = roll_out_pairs(fast.engine, rows, tried, NETWORK, length_s=120.0)
    several = roll_out_pairs(fast.engine, rows, tried, NETWORK, length_s=120.0, futures=4)
    assert same(alone, several, np.s_[:, :1])
    assert same(
        several, roll_out_pairs(fast.engine, rows, tried, NETWORK, length_s=120.0, futures=4)
    )
    spread = (several.job_seconds + several.core_seconds).std(axis=1)
    assert spread[tried].any()  # where boots or stops begin later, they take another time


def test_the_discount_weighs_what_comes_later_less() -> None:
    fast, _ = side_by_side(N, 100, WORLD)
    rows, tried = all_allowed(fast)
    plain = roll_out_pairs(fast.engine, rows, tried, NETWORK, length_s=100.0)
    np.testing.assert_allclose(plain.discounted[..., 0], plain.job_seconds, rtol=1e-9)
    np.testing.assert_allclose(plain.discounted[..., 1], plain.core_seconds, rtol=1e-9)
    often = roll_out_pairs(fast.engine, rows, tried, NETWORK, length_s=100.0, discount_s=50.0)
    assert (often.discounted[..., 1] < plain.core_seconds)[tried[:, None, :]].all()
    # A constant rate of 1 over 100 s, discounted with 50 s, is 50 (1 - e^-2).
    share = often.discounted[..., 1] / plain.core_seconds
    assert np.nanmedian(share) == pytest.approx(0.5 * (1 - np.exp(-2.0)), rel=0.2)


def test_bad_arguments_are_named() -> None:
    fast, _ = side_by_side(N, 5, WORLD)
    rows, tried = all_allowed(fast)
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"length_s": 0.0}, "length_s"),
        ({"length_s": np.inf}, "length_s"),
        ({"length_s": 1.0, "futures": 0}, "futures 0"),
        ({"length_s": 1.0, "batch": 0}, "batch 0"),
    )
    for arguments, text in wrong:
        with pytest.raises(ValueError, match=text):
            roll_out_pairs(fast.engine, rows, tried, NETWORK, **arguments)
    with pytest.raises(ValueError, match="shape"):
        roll_out_pairs(fast.engine, rows[:2], tried, NETWORK, length_s=1.0)
    nothing = roll_out_pairs(fast.engine, rows, np.zeros_like(tried), NETWORK, length_s=1.0)
    assert np.isnan(nothing.job_seconds).all()
