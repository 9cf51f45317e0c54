"""Futures whose arrivals are drawn anew: the same state, then other jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.rolling_worlds import random_actor

pytest.importorskip("numba")

from agents.compiled.rules import form_of
from agents.compiled.running import run_rules
from agents.registry import make_policy
from env import noise
from env.cluster import Cluster
from env.config import load_profile
from env.engine import layout as at
from env.engine.engine import Engine
from env.engine.futures import Renewal, can_renew, go_on
from env.engine.job_records import JobRecords
from env.engine.vector_env import DaCircoVectorEnv
from env.episodes import scenario_episodes
from env.scenario import load_split
from training.rollouts.flatten import flatten
from training.rollouts.paired import Rollouts, roll_out_pairs

N = 4
NETWORK = flatten(random_actor(0))
RULE = form_of(make_policy("adaptive-flavor"), Cluster(load_profile("openstack")))
WORLD: dict[str, Any] = {"family": "bursts", "load": 0.8, "episode_s": 1500.0}


def played(steps: int, n: int = N, **arguments: Any) -> DaCircoVectorEnv:
    """Data centres after random decisions."""
    envs = DaCircoVectorEnv(n, threads=1, **(WORLD | arguments))
    envs.reset(seed=11)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        masks = envs.action_masks()
        envs.step((masks * rng.random(masks.shape)).argmax(axis=1))
    return envs


def tried(envs: DaCircoVectorEnv) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return np.arange(envs.num_envs), envs.action_masks()


def own_jobs(engine: Engine, d: int) -> JobRecords:
    """The jobs that the data centre's own episode brings next."""
    s = engine.centre(d)
    e, arrived, flavors = s.ei, int(s.i[at.ARRIVED]), int(s.ei[at.N_FLAVORS])
    n, length = int(e[at.N_JOBS]), int(e[at.JOB_F])
    jobs, ints = int(e[at.JOBS_EF]), int(e[at.JOBS_EI])
    shape = (-1, at.KIND_COLUMNS, flavors)
    return JobRecords(
        s.ef[jobs + arrived * length : jobs + n * length].reshape(-1, length).copy(),
        e[ints + arrived * at.JOB_EI : ints + n * at.JOB_EI].reshape(-1, at.JOB_EI).copy(),
        s.ef[e[at.KINDS_EF] : jobs].reshape(-1, 2 * flavors).copy(),
        e[e[at.KINDS_EI] : ints].reshape(shape).copy(),
    )


HOME = load_profile("openstack")
FAULTY = replace(
    HOME,
    faults=replace(HOME.faults, spawn_failure=0.1, worker_loss_per_hour=4.0, transcode_error=0.2),
)


@pytest.mark.parametrize(
    ("followed", "arguments"),
    [
        ("network", {}),
        ("network", {"metrics": True}),
        ("network", {"profile": FAULTY}),
        ("rule", {}),
        ("rule", {"metrics": True, "profile": FAULTY}),
    ],
)
def test_with_its_own_jobs_a_future_is_the_data_centre_s_own(
    followed: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a future's row says anew (numbers, queue, places, kinds) says the same."""
    envs = played(150, **arguments)
    engine = envs.engine
    assert engine.i[:, at.WAITING].max() > 1
    assert engine.i[:, at.IN_SERVICE].max() > 1
    rows, allowed = tried(envs)
    policy = NETWORK if followed == "network" else RULE
    assert policy is not None
    monkeypatch.setattr(noise, "other_key", lambda key, _: key)
    order = iter(range(N))
    monkeypatch.setattr(
        Renewal, "draw", lambda renewal, _: go_on(renewal._s, own_jobs(engine, next(order)))
    )
    found = roll_out_pairs(engine, rows, allowed, policy, length_s=400.0, futures=2)
    assert found.renewed.all()
    for name in set(Rollouts.__slots__) - {"renewed"}:
        figures = getattr(found, name)
        np.testing.assert_array_equal(figures[:, 0], figures[:, 1], err_msg=name)
    assert found.decisions.max() > 100


@pytest.mark.parametrize(
    "spec",
    ["target-utilisation", "hybrid-histogram", "adaptive-grace-period", "priority-based-dynamic"],
)
def test_what_a_rule_remembers_goes_into_a_future(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    envs = DaCircoVectorEnv(N, threads=1, **WORLD)
    envs.reset(seed=11)
    engine = envs.engine
    rule = form_of(make_policy(spec), Cluster(HOME))
    assert rule is not None
    assert rule.ints > 0
    run_rules(engine, range(N), [rule] * N, until_s=700.0)
    monkeypatch.setattr(noise, "other_key", lambda key, _: key)
    order = iter(range(N))
    monkeypatch.setattr(
        Renewal, "draw", lambda renewal, _: go_on(renewal._s, own_jobs(engine, next(order)))
    )
    rows, allowed = tried(envs)
    found = roll_out_pairs(engine, rows, allowed, rule, length_s=400.0, futures=2)
    assert found.renewed.all()
    for name in set(Rollouts.__slots__) - {"renewed"}:
        figures = getattr(found, name)
        np.testing.assert_array_equal(figures[:, 0], figures[:, 1], err_msg=name)


def test_arrivals_of_a_family_are_drawn_anew_and_alike_for_all_actions() -> None:
    envs = played(200)
    rows, allowed = tried(envs)
    floats, ints = envs.engine.f.copy(), envs.engine.i.copy()
    one = roll_out_pairs(envs.engine, rows, allowed, NETWORK, length_s=200.0, futures=4)
    again = roll_out_pairs(
        envs.engine, rows, allowed, NETWORK, length_s=200.0, futures=4, threads=2, batch=3
    )
    assert np.array_equal(floats, envs.engine.f)
    assert np.array_equal(ints, envs.engine.i)
    np.testing.assert_allclose(one.job_seconds, again.job_seconds, rtol=1e-9)
    assert one.renewed.all()
    noise_only = roll_out_pairs(
        envs.engine, rows, allowed, NETWORK, length_s=200.0, futures=4, renew=False
    )
    assert not noise_only.renewed.any()
    np.testing.assert_array_equal(one.job_seconds[:, 0], noise_only.job_seconds[:, 0])
    some = allowed.nonzero()
    wide, narrow = (found.job_seconds.std(axis=1)[some] for found in (one, noise_only))
    assert (wide > 0).all()
    assert np.median(wide) > 2 * np.median(narrow)


def test_the_same_jobs_come_whatever_is_done() -> None:
    envs = played(250)
    engine = envs.engine
    left_out = 0
    for d in range(N):
        data, s = engine.episode(d), engine.centre(d)
        arrived = int(s.i[at.ARRIVED])
        one, other = [Renewal(data, s, float(s.f[at.NOW]) + 300.0).draw(77) for _ in range(2)]
        assert np.array_equal(one[0], other[0])
        floats, ints = one
        assert ints[at.FIRST_JOB] <= arrived <= ints[at.N_JOBS]
        times = floats[int(ints[at.JOBS_EF]) + arrived * int(ints[at.JOB_F]) :: int(ints[at.JOB_F])]
        assert (times >= s.f[at.NOW]).all()
        assert (times <= s.f[at.NOW] + 300.0).all()
        assert len(times) == ints[at.N_JOBS] - arrived
        records = int(ints[at.N_JOBS] - ints[at.FIRST_JOB])
        assert len(floats) < len(data.floats) + (records + 12) * int(ints[at.JOB_F])
        left_out += int(ints[at.FIRST_JOB])
    assert left_out > 0  # who has left has no record


def test_as_many_jobs_come_as_the_phase_says() -> None:
    """States in a burst and in a quiet time: the rate of the next ten seconds is that of each."""
    envs = played(300, n=24)
    engine = envs.engine
    jobs: dict[bool, list[int]] = {True: [], False: []}
    for d in range(envs.num_envs):
        data, s = engine.episode(d), engine.centre(d)
        assert data.source is not None
        first, ends = data.source.hidden
        passed = int(np.searchsorted(ends, s.f[at.NOW], side="right"))
        in_burst = bool(first[0]) == (passed % 2 == 0)
        renewal = Renewal(data, s, float(s.f[at.NOW]) + 10.0)
        for key in range(20):
            _, ints = renewal.draw(key)
            jobs[in_burst].append(int(ints[at.N_JOBS] - s.i[at.ARRIVED]))
    assert min(len(one) for one in jobs.values()) >= 40
    # The quiet rate is a twentieth of the burst's; in 10 s a phase seldom ends.
    assert np.mean(jobs[True]) > 5 * np.mean(jobs[False])


def test_a_given_scenario_keeps_its_arrivals_and_says_so() -> None:
    sampler = scenario_episodes(load_profile("openstack"), load_split("test")[:2])
    envs = played(60, n=2, sampler=sampler)
    rows, allowed = tried(envs)
    assert not can_renew(envs.engine.episode(0))
    one, other = (
        roll_out_pairs(envs.engine, rows, allowed, NETWORK, length_s=100.0, futures=3, renew=renew)
        for renew in (True, False)
    )
    assert not one.renewed.any()
    np.testing.assert_array_equal(one.job_seconds, other.job_seconds)
