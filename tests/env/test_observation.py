"""The observation: its figures by hand, its bounds under any play, its schema and hash."""

from __future__ import annotations

from dataclasses import replace
from math import log, log1p
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import env.observation
from env.arrivals import LONG, MEDIUM, SHORT
from env.cluster import Cluster
from env.config import NodeConfig, Profile, load_profile
from env.episodes import family_episodes
from env.families import FAMILIES
from env.gym_env import DaCircoEnv
from env.jobs import Job, Request
from env.observation import Observer, action_mask, bounds, features, schema
from tests.env.worlds import make_profile, make_work

FLAVORS = ["s10.tiny", "s10.small", "s10.medium"]

GOLDEN_SHA256 = "82fe60fab8e94d665586e2a897f9c3dec99c373e98ba0f58021d62cbfa71253a"
"""Hash of the schema. If this test fails, what a network sees or orders has changed: raise
`OBSERVATION_VERSION`, note it in the environment's version history, and train anew."""


def with_nodes(profile: Profile, n: int) -> Profile:
    """The profile with n nodes like its first."""
    model = profile.cluster.nodes[0]
    nodes = tuple(NodeConfig(f"n{i}", model.cores, model.ram_gib) for i in range(n))
    return replace(profile, cluster=replace(profile.cluster, nodes=nodes))


def observe(cluster: Cluster) -> dict[str, float]:
    """The observation by name."""
    spec = features([flavor.name for flavor in cluster.flavors])
    row = np.full(len(spec), np.nan, dtype=np.float32)
    Observer(cluster).write(row)
    return dict(zip([feature.name for feature in spec], row.tolist(), strict=True))


def job(job_id: str, *service_s: float) -> Job:
    return Job(job_id, Request(0.0, "m", 1000, "fast"), service_s)


# -- figures ----------------------------------------------------------------------------


def test_an_empty_cluster() -> None:
    seen = observe(Cluster(load_profile("openstack"), preference=0.1, boot_s=20.0))
    expected = dict.fromkeys(seen, 0.0) | {
        "preference": -1.0,
        "fits[s10.tiny]": 1.0,
        "fits[s10.small]": 1.0,
        "fits[s10.medium]": 1.0,
        "since_arrival": 1.0,
        "gap_cv": 0.5,
        "boot_time": log1p(20.0) / 6,
        "cold_nodes": 1.0,
        "next_end": 1.0,
    }
    assert seen == pytest.approx(expected)


def test_by_hand() -> None:
    # Two nodes of 4 vCPUs and 8 GiB: eight of the smaller workers (1 vCPU, 1 GiB) fit.
    profile = make_profile(
        nodes=[(4, 8.0), (4, 8.0)], flavors=[(1, 1.0), (3, 3.0)], image_cached=False
    )
    cluster = Cluster(profile, preference=0.7, boot_s=10.0)
    cluster.worker_spawned(0.0, "busy", 0, node=0)
    cluster.worker_spawned(0.0, "idle", 1, node=0)
    cluster.worker_ready(2.0, "busy")
    cluster.job_arrived(3.0, job("a", 40.0, 20.0))
    cluster.task_assigned(3.0, "a", "busy")
    cluster.worker_ready(4.0, "idle")
    cluster.worker_draining(5.0, "idle")
    cluster.job_arrived(6.0, job("b", 30.0, 15.0))
    cluster.job_arrived(8.0, job("c", 10.0, 5.0))
    cluster.worker_spawned(9.0, "boots", 1, node=1)
    cluster.tick(14.0)
    seen = observe(cluster)
    arrivals = cluster.arrivals
    short, medium, long = (arrivals.offered_load(14.0, h) for h in (SHORT, MEDIUM, LONG))
    in_boot, in_minute = arrivals.probabilities_within(14.0, (10.0, 60.0))
    expected = {
        "preference": 0.5,
        "size": log(8 / 18) / 2,
        "waiting": log1p(2) / 4,
        "waiting_share": 2 / 8,
        "in_service_share": 1 / 8,
        "booting[flavor0]": 0.0,
        "booting[flavor1]": log1p(1) / 3,
        "idle[flavor0]": 0.0,
        "idle[flavor1]": 0.0,
        "busy[flavor0]": log1p(1) / 3,
        "busy[flavor1]": 0.0,
        "draining": log1p(1) / 3,
        "reserved_cpu": 7 / 8,
        "reserved_ram": 7 / 16,
        "fits[flavor0]": 1.0,
        "fits[flavor1]": 0.0,
        "balance": -log1p(1) / 3,  # one boots, two wait
        "queued_work": log1p(40.0) / 8,
        "queued_share": 40.0 / (60.0 * 8),
        "head_service": log1p(10.0) / 8,  # the shortest is next
        "oldest_wait": log1p(8.0) / 8,
        "mean_service": log1p((40.0 + 30.0 + 10.0) / 3) / 8,
        "load_short": short / 8,
        "load_medium": medium / 8,
        "load_long": long / 8,
        "erlangs_short": log1p(short) / 3,
        "erlangs_medium": log1p(medium) / 3,
        "trend": log((short / 8 + 0.02) / (medium / 8 + 0.02)) / 2,
        "since_arrival": log1p(6.0) / 8,
        "mean_gap": log1p(2.5) / 8,
        "gap_cv": 0.5 / 2.5 / 2,
        "next_in_boot": in_boot,
        "next_in_minute": in_minute,
        "boot_time": log1p(10.0) / 6,
        "cold_nodes": 0.5,
        "boot_progress": 0.5,
        "idle_age[flavor0]": 0.0,
        "idle_age[flavor1]": 0.0,
        "next_end": log1p(43.0 - 14.0) / 8,
        "mean_remaining": log1p(43.0 - 14.0) / 8,
    }
    spec = {f.name: f for f in features(["flavor0", "flavor1"])}
    clipped = {n: min(max(v, spec[n].low), spec[n].high) for n, v in expected.items()}
    assert seen == pytest.approx(clipped, rel=1e-6)
    assert list(seen) == list(expected)


def test_idle_age_is_that_of_the_longest_idle() -> None:
    cluster = Cluster(make_profile())
    for worker_id, ready_s in (("first", 1.0), ("second", 50.0)):
        cluster.worker_spawned(cluster.now, worker_id, 1)
        cluster.worker_ready(ready_s, worker_id)
    cluster.tick(60.0)
    seen = observe(cluster)
    assert seen["idle[flavor1]"] == pytest.approx(log1p(2) / 3)
    assert seen["idle_age[flavor1]"] == pytest.approx(log1p(59.0) / 8)
    assert seen["balance"] == pytest.approx(log1p(2) / 3)


def test_an_overdue_job_is_expected_at_once() -> None:
    cluster = Cluster(make_profile(flavors=[(1, 2.0)]))
    cluster.worker_spawned(0.0, "w", 0)
    cluster.worker_ready(1.0, "w")
    cluster.job_arrived(1.0, job("a", 10.0))
    cluster.task_assigned(1.0, "a", "w")
    cluster.tick(100.0)
    assert observe(cluster)["next_end"] == 0.0
    assert observe(cluster)["mean_remaining"] == 0.0


@pytest.mark.parametrize("nodes", [1, 3, 300])
def test_room_for_every_cluster_size(nodes: int) -> None:
    # A full cluster with as many waiting: no figure of size or count may stick at its bound.
    cluster = Cluster(with_nodes(load_profile("openstack"), nodes))
    workers = cluster.capacity_of(0)
    now = 0.0
    for i in range(workers):
        cluster.worker_spawned(now, i, 0)
        cluster.worker_ready(now, i)
    for i in range(2 * workers):
        now += 60.0 / workers
        cluster.job_arrived(now, job(str(i), 60.0, 40.0, 30.0))
        if i < workers:
            following = cluster.next_assignment()
            assert following is not None
            cluster.task_assigned(now, following[0].job_id, following[1].worker_id)
    seen = observe(cluster)
    spec = {feature.name: feature for feature in features(FLAVORS)}
    for name in ("size", "waiting", "busy[s10.tiny]", "balance", "erlangs_short", "waiting_share"):
        assert spec[name].low < seen[name] < spec[name].high, name
    assert seen["waiting_share"] == pytest.approx(1.0)
    assert seen["in_service_share"] == 1.0


def test_reading_changes_nothing() -> None:
    world = DaCircoEnv()
    world.reset(seed=0)
    for _ in range(50):
        world.step(int(np.argmax(world.action_masks()[1:])) + 1)
        world.step(0)
    cluster = world.simulator.cluster
    assert observe(cluster) == observe(cluster)


def test_mask_and_observation_agree_on_what_fits() -> None:
    cluster = Cluster(make_profile(nodes=[(4, 16.0)]))
    cluster.worker_spawned(0.0, "w", 1)
    mask = np.zeros(7, dtype=np.bool_)
    action_mask(cluster, mask)
    seen = observe(cluster)
    assert mask.tolist() == [True, True, True, False, False, False, False]
    assert [seen[f"fits[flavor{i}]"] for i in range(3)] == [1.0, 1.0, 0.0]
    cluster.worker_ready(1.0, "w")
    action_mask(cluster, mask)
    assert mask.tolist() == [True, True, True, False, False, True, False]


def test_a_worker_that_retires_is_told_as_one_that_drains() -> None:
    cluster = Cluster(make_profile(nodes=[(4, 16.0)]))
    cluster.worker_spawned(0.0, "w", 2)
    cluster.worker_ready(1.0, "w")
    for name in ("a", "b"):
        cluster.job_arrived(2.0, job(name, 900.0, 600.0, 300.0))
    cluster.task_assigned(2.0, "a", "w")
    mask = np.zeros(7, dtype=np.bool_)
    action_mask(cluster, mask)
    assert mask.tolist() == [True, False, False, False, False, False, True]
    assert observe(cluster)["draining"] == 0.0
    cluster.worker_retiring(2.0, "w")
    action_mask(cluster, mask)
    assert mask.tolist() == [True, False, False, False, False, False, False]
    seen = observe(cluster)
    assert seen["draining"] == pytest.approx(log1p(1) / 3)
    assert seen["busy[flavor2]"] == pytest.approx(log1p(1) / 3)


def test_nobody_may_keep_while_a_job_waits_for_nobody() -> None:
    cluster = Cluster(make_profile(nodes=[(4, 16.0)]))
    mask = np.zeros(7, dtype=np.bool_)

    def may_keep() -> bool:
        action_mask(cluster, mask)
        return bool(mask[0])

    assert may_keep()
    cluster.job_arrived(0.0, job("a", 30.0, 20.0, 10.0))
    assert not may_keep()
    cluster.worker_spawned(1.0, "w", 2)
    assert may_keep()  # one boots
    cluster.worker_ready(2.0, "w")
    cluster.task_assigned(2.0, "a", "w")
    cluster.job_arrived(3.0, job("b", 30.0, 20.0, 10.0))
    assert may_keep()  # one is busy
    cluster.worker_lost(4.0, "w")
    assert not may_keep()
    cluster.worker_spawned(5.0, "x", 2)
    cluster.worker_ready(5.0, "x")
    cluster.worker_draining(5.0, "x")
    assert may_keep()  # nothing fits until it is gone
    cluster.worker_stopped(6.0, "x")
    assert not may_keep()


# -- bounds -----------------------------------------------------------------------------


def play(world: DaCircoEnv, seed: int, legal: bool, steps: int) -> list[NDArray[np.float32]]:
    """Observations of random play."""
    rng = np.random.default_rng(seed)
    observations = [world.reset(seed=seed)[0]]
    for _ in range(steps):
        possible = np.flatnonzero(world.action_masks()) if legal else np.arange(7)
        action = 0 if rng.random() < 0.5 else int(rng.choice(possible))
        observation, _, terminated, truncated, _ = world.step(action)
        observations.append(observation)
        if terminated or truncated:
            break
    return observations


@given(
    profile=st.sampled_from(["openstack", "kubernetes"]),
    nodes=st.sampled_from([1, 2, 3, 5, 12, 50, 300]),
    family=st.sampled_from(sorted(FAMILIES)),
    load=st.sampled_from([0.02, 0.5, 1.2, 4.0]),
    legal=st.booleans(),
    seed=st.integers(0, 10**6),
    overcommit=st.sampled_from([1.0, 2.5]),
    faults=st.booleans(),
)
def test_always_within_its_bounds(
    profile: str,
    nodes: int,
    family: str,
    load: float,
    legal: bool,
    seed: int,
    overcommit: float,
    faults: bool,
) -> None:
    home = with_nodes(load_profile(profile), nodes)
    home = replace(home, cluster=replace(home.cluster, vcpu_overcommit=overcommit))
    if faults:
        home = replace(
            home,
            faults=replace(
                home.faults, spawn_failure=0.3, worker_loss_per_hour=30.0, transcode_error=0.3
            ),
        )
    world = DaCircoEnv(home, family=family, load=load, episode_s=3600.0 / nodes)
    for observation in play(world, seed, legal, 300):
        assert observation.dtype == np.float32
        assert np.isfinite(observation).all()
        assert world.observation_space.contains(observation)


def test_shape_does_not_depend_on_the_number_of_nodes() -> None:
    worlds = [DaCircoEnv(with_nodes(load_profile("openstack"), n)) for n in (1, 3, 300)]
    assert all(world.observation_space == worlds[0].observation_space for world in worlds)
    assert {world.reset(seed=0)[0].shape for world in worlds} == {(len(features(FLAVORS)),)}


@pytest.mark.parametrize("n", [1, 2, 5])
def test_any_number_of_flavors(n: int) -> None:
    profile = make_profile(flavors=[(i + 1, 1.0) for i in range(n)], tick_s=5.0)
    _, catalog = make_work([0.0], [5.0])
    world = DaCircoEnv(profile, sampler=family_episodes(profile, "poisson", 0.5, 300.0, catalog))
    assert world.action_space.n == 1 + 2 * n
    assert world.observation_space.shape == (30 + 5 * n,)
    for observation in (world.reset(seed=0)[0], world.step(n)[0], world.step(0)[0]):
        assert world.observation_space.contains(observation)


# -- schema -----------------------------------------------------------------------------


def test_features_are_told_apart_and_bounded() -> None:
    spec = features(FLAVORS)
    assert len({feature.name for feature in spec}) == len(spec)
    assert all(feature.low < feature.high and feature.meaning for feature in spec)
    low, high = bounds(FLAVORS)
    assert low.tolist() == [feature.low for feature in spec]
    assert high.tolist() == [feature.high for feature in spec]
    assert low.dtype == high.dtype == np.float32


def test_schema_lists_observation_and_actions() -> None:
    described = schema(FLAVORS)
    assert [f["name"] for f in described["observation"]] == [f.name for f in features(FLAVORS)]
    assert described["actions"] == [
        "keep",
        "spawn s10.tiny",
        "spawn s10.small",
        "spawn s10.medium",
        "end s10.tiny: longest-idle, or else retire",
        "end s10.small: longest-idle, or else retire",
        "end s10.medium: longest-idle, or else retire",
    ]


def test_hash_is_stable() -> None:
    assert schema(FLAVORS)["sha256"] == GOLDEN_SHA256


def test_hash_changes_with_flavors_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {schema(names)["sha256"] for names in (FLAVORS, FLAVORS[:2], FLAVORS[::-1])}
    monkeypatch.setattr(env.observation, "OBSERVATION_VERSION", 99)
    hashes.add(schema(FLAVORS)["sha256"])
    assert len(hashes) == 4


@pytest.mark.parametrize("change", ["name", "low", "high", "meaning", "order", "absent"])
def test_hash_changes_with_any_feature(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = list(features(FLAVORS))
    if change == "order":
        spec[3], spec[4] = spec[4], spec[3]
    elif change == "absent":
        del spec[3]
    else:
        other: dict[str, Any] = {"name": "other", "low": -9.0, "high": 9.0, "meaning": "other"}
        spec[3] = spec[3]._replace(**{change: other[change]})
    monkeypatch.setattr(env.observation, "features", lambda _: tuple(spec))
    assert schema(FLAVORS)["sha256"] != GOLDEN_SHA256
