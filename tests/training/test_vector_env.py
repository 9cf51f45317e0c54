"""The batch: each member is stepped as it would be by hand, and begins anew by itself."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.cost import cost_so_far
from env.gym_env import DaCircoEnv
from tests.training.scripted_member import ScriptedMember, Step
from tests.training.small_world import (
    SMALL,
    make_batch,
    short_episodes,
    short_sampler,
    silent,
    small_model,
)
from training.model import build_model
from training.vector_env import REWARD_UNIT_S, BatchVecEnv


def world() -> DaCircoEnv:
    """One member; episodes of ten minutes that often end in an overload."""
    return DaCircoEnv(sampler=short_sampler(load=1.0), max_jobs_per_core=0.5)


def legal(masks: Any, rng: np.random.Generator) -> np.ndarray:
    """A random action that can be carried out for each member."""
    return np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])


@pytest.mark.parametrize("seed", range(5))
def test_steps_as_each_member_would_by_itself(seed: int) -> None:
    batch = make_batch(world, 3, seed)
    alone = [world() for _ in range(3)]
    observations = batch.reset()
    for member, member_seed in zip(alone, batch.seed(seed), strict=True):
        member.reset(seed=member_seed)
    rng = np.random.default_rng(seed)
    ends = 0
    returned = np.zeros(3)
    lengths = np.zeros(3, dtype=int)
    for _ in range(250):
        for i, member in enumerate(alone):
            row = np.empty_like(observations[i])
            member.observe_into(row)
            assert np.array_equal(observations[i], row)
            assert np.array_equal(batch.action_masks()[i], member.action_masks())
        actions = legal(batch.action_masks(), rng)
        observations, rewards, dones, infos = batch.step(actions)
        for i, member in enumerate(alone):
            observation, reward, terminated, truncated, info = member.step(actions[i])
            scaled = reward / member.reference_cost_rate / REWARD_UNIT_S
            assert rewards[i] == pytest.approx(scaled, rel=1e-5, abs=1e-7)
            assert batch.elapsed_s[i] == pytest.approx(info["elapsed_s"], rel=1e-6)
            assert dones[i] == (terminated or truncated)
            returned[i] += scaled
            lengths[i] += 1
            if not dones[i]:
                assert infos[i] == {}
                continue
            ends += 1
            assert np.array_equal(infos[i]["terminal_observation"], observation)
            assert infos[i]["TimeLimit.truncated"] == truncated
            episode = infos[i]["episode"]
            assert episode["l"] == lengths[i]
            assert episode["t"] == member.now
            assert episode["r"] == pytest.approx(returned[i] * REWARD_UNIT_S / member.now)
            cost = cost_so_far(member.simulator.cluster).weighed(member.preference)
            relative = cost / member.now / member.reference_cost_rate
            assert episode["r"] == pytest.approx(-relative)
            returned[i], lengths[i] = 0.0, 0
            member.begin()
    assert ends


def test_tells_a_terminated_end_from_a_truncated_one() -> None:
    script = [Step(1.0, 1.0), Step(1.0, 1.0, truncated=True), Step(1.0, 1.0, terminated=True)]
    batch = BatchVecEnv([ScriptedMember(script)])
    batch.reset()
    told = []
    for _ in range(3):
        _, _, dones, infos = batch.step(np.zeros(1, dtype=np.int64))
        told.append((bool(dones[0]), infos[0].get("TimeLimit.truncated")))
    assert told == [(False, None), (True, True), (True, False)]


def test_the_last_observation_is_not_that_of_the_next_episode() -> None:
    batch = BatchVecEnv([ScriptedMember([Step(500.0, 1.0), Step(500.0, 1.0, truncated=True)])])
    batch.reset()
    batch.step(np.zeros(1, dtype=np.int64))
    observations, _, _, infos = batch.step(np.zeros(1, dtype=np.int64))
    assert infos[0]["terminal_observation"].tolist() == [0.0, 1.0]
    assert observations[0].tolist() == [0.0, 0.0]
    assert batch.elapsed_s[0] == 500.0


def test_rewards_are_the_cost_relative_to_the_reference() -> None:
    batch = BatchVecEnv([ScriptedMember([Step(40.0, 3.0)])])
    batch.reset()
    _, rewards, _, _ = batch.step(np.zeros(1, dtype=np.int64))
    # 40 s at rate 3, where 2 is the reference; 100 s of the reference are one unit.
    assert rewards.tolist() == pytest.approx([-40.0 * 3.0 / 2.0 / 100.0])


def test_what_it_returns_stays_as_it_was() -> None:
    batch = make_batch(world, 2, 0)
    first = batch.reset()
    masks = batch.action_masks()
    kept = (first.copy(), masks.copy())
    observations, rewards, dones, _ = batch.step(np.array([1, 2]))
    later = (observations.copy(), rewards.copy(), dones.copy())
    rng = np.random.default_rng(0)
    for _ in range(50):
        batch.step(legal(batch.action_masks(), rng))
    assert np.array_equal(first, kept[0])
    assert np.array_equal(masks, kept[1])
    for now, then in zip((observations, rewards, dones), later, strict=True):
        assert np.array_equal(now, then)
    masks[:] = False
    assert batch.action_masks()[:, 0].all()


# -- seeds --------------------------------------------------------------------------------


def requests_of(batch: BatchVecEnv) -> list[Any]:
    """What each member is about to simulate."""
    return [member.simulator.requests for member in batch.members]  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_episodes() -> None:
    batches = [make_batch(world, 4, seed) for seed in (7, 7, 8)]
    for batch in batches:
        batch.reset()
    first = [requests_of(batch) for batch in batches]
    assert first[0] == first[1]
    assert all(a != b for a in first[0] for b in first[2])
    for batch in batches:
        batch.reset()  # goes on with each member's own random numbers
    second = [requests_of(batch) for batch in batches]
    assert second[0] == second[1]
    assert all(a != b for a, b in zip(first[0], second[0], strict=True))


def test_members_differ() -> None:
    batch = make_batch(world, 8, 0)
    batch.reset()
    requests = requests_of(batch)
    assert all(requests[i] != requests[j] for i in range(8) for j in range(i))


@given(seed=st.integers(0, 2**32 - 100), ahead=st.integers(1, 70))
def test_no_seed_shares_a_member_with_its_neighbour(seed: int, ahead: int) -> None:
    batch = BatchVecEnv([ScriptedMember([Step(1.0, 1.0)]) for _ in range(64)])
    assert not set(batch.seed(seed)) & set(batch.seed(seed + ahead))
    assert len(set(batch.seed(seed))) == 64


def test_seeding_again_starts_over() -> None:
    batch = make_batch(world, 2, 3)
    batch.reset()
    first = requests_of(batch)
    batch.reset()
    batch.seed(3)
    batch.reset()
    assert requests_of(batch) == first


def test_the_learner_keeps_the_seeds_of_its_batch() -> None:
    batch = make_batch(world, 2, SMALL.seed)
    batch.reset()
    expected = requests_of(batch)
    fresh = make_batch(world, 2, SMALL.seed)
    model = silent(build_model(SMALL, fresh))
    model._setup_learn(64)
    assert requests_of(fresh) == expected


# -- what stable-baselines3 asks of it ------------------------------------------------------


def test_methods_and_attributes_of_chosen_members() -> None:
    batch = make_batch(world, 3, 0)
    batch.reset()
    batch.step(np.array([1, 1, 0]))
    masks = batch.action_masks()
    assert np.array_equal(batch.env_method("action_masks"), masks)
    assert np.array_equal(batch.env_method("action_masks", indices=[2, 0]), masks[[2, 0]])
    assert batch.env_method("metrics", indices=1) == [batch.members[1].metrics()]  # type: ignore[attr-defined]
    assert batch.get_attr("now", indices=[1]) == [batch.members[1].now]
    batch.set_attr("max_jobs_per_core", 9.0, indices=[1])
    assert batch.get_attr("max_jobs_per_core") == [0.5, 9.0, 0.5]
    assert batch.has_attr("action_masks")
    assert batch.has_attr("metrics")
    assert not batch.has_attr("nothing of the kind")
    assert batch.env_is_wrapped(DaCircoEnv) == [False] * 3


def test_the_learner_learns_in_it() -> None:
    model = small_model()
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(4096)
    assert model.num_timesteps == 4096
    assert len(model.ep_info_buffer or ()) > 0
    assert all(-100 < episode["r"] < 0 < episode["l"] for episode in model.ep_info_buffer or ())
    changed = [
        not np.array_equal(a.numpy(), b.detach().numpy())
        for a, b in zip(before, model.policy.parameters(), strict=True)
    ]
    assert all(changed)


def test_a_sampler_of_whole_scenarios_terminates() -> None:
    episode = short_episodes(1)[0]
    batch = make_batch(lambda: DaCircoEnv(sampler=lambda _: replace(episode, horizon_s=inf)), 1, 0)
    batch.reset()
    rng = np.random.default_rng(1)
    for _ in range(20_000):
        _, _, dones, infos = batch.step(legal(batch.action_masks(), rng))
        if dones[0]:
            break
    assert dones[0]
    assert infos[0]["TimeLimit.truncated"] is False
