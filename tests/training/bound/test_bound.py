"""The clairvoyant bound: below every policy, below the optimum, and near enough to be of use."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.registry import make_policy
from env.catalog import load_catalog
from env.config import FaultConfig, Profile, load_profile
from env.cost import cost_so_far
from env.episodes import Episode, Randomisation, random_episodes
from env.jobs import Request
from env.simulator import Simulator
from training.bound.clairvoyant import clairvoyant_bound
from training.bound.links import link_value
from training.bound.prices import PricedJobs, Prices, largest_rise, make_valid, value

CATALOG = load_catalog()
POLICIES = (
    "minimize-workers",
    "grace-period:flavor=s10.tiny,max_idle_time=8,discipline=sjf",
    "break-even:flavor=s10.medium",
    "reserve-k:spares=2,flavor=s10.tiny",
    "square-root-staffing",
    "adaptive-flavor",
    "adaptive-flavor:spawn_share=0.2,max_workers=2",
)
EPISODES = random_episodes(Randomisation(horizon_s=(100.0, 700.0)))


def cost(episode: Episode, preference: float, spec: str) -> tuple[float, bool]:
    """What a run costs, and whether all its jobs ended."""
    policy = make_policy(spec)
    simulator = Simulator(
        episode.profile,
        episode.requests,
        CATALOG,
        seed=episode.seed,
        preference=preference,
        discipline=policy.discipline,
    )
    simulator.run(policy)
    done = len(simulator.requests) == simulator.cluster.completed + simulator.cluster.failed
    return cost_so_far(simulator.cluster).weighed(preference), done


def bound_of(episode: Episode, preference: float) -> float:
    return clairvoyant_bound(
        episode.profile, episode.requests, CATALOG, seed=episode.seed, preference=preference
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    draw=st.integers(0, 2**32 - 1),
    preference=st.sampled_from([0.1, 0.33, 0.5, 0.67, 0.9]),
    scatter=st.sampled_from([0.5, 1.0, 4.0]),
    policies=st.lists(st.sampled_from(POLICIES), min_size=2, max_size=3, unique=True),
)
def test_no_policy_costs_less(
    draw: int, preference: float, scatter: float, policies: list[str]
) -> None:
    episode = EPISODES(np.random.default_rng(draw))
    episode = replace(episode, requests=episode.requests[:25])
    boot = episode.profile.timing.boot
    timing = replace(episode.profile.timing, boot=replace(boot, sigma=boot.sigma * scatter))
    episode = replace(episode, profile=replace(episode.profile, timing=timing))
    bound = bound_of(episode, preference)
    for spec in policies:
        found, done = cost(episode, preference, spec)
        if done:
            assert bound <= found


@pytest.fixture
def crowd() -> Episode:
    """Forty jobs within a minute: all nodes are full for a while."""
    requests = tuple(Request(30.0 + i, "bbb_9.mp4", 4000, "fast") for i in range(40))
    return Episode(load_profile("openstack"), requests, CATALOG, 0.5, 0, 0.0)


@pytest.mark.parametrize("preference", [0.1, 0.5])
def test_a_crowd_costs_more_than_its_jobs_alone(crowd: Episode, preference: float) -> None:
    bound = bound_of(crowd, preference)
    simulator = Simulator(
        crowd.profile, crowd.requests, CATALOG, seed=crowd.seed, preference=preference
    )
    alone = simulator.alone()
    service = alone.transcode_s + (alone.download_s + alone.upload_s)[:, None]
    prices = [(1 - preference) * simulator.cluster.flavor_cost(f) for f in range(3)]
    each = ((preference + np.array(prices)) * service).min(axis=1).sum()
    assert bound > 1.05 * each
    found, done = cost(crowd, preference, "adaptive-flavor")
    assert done
    assert bound < found


def test_the_seed_counts(crowd: Episode) -> None:
    few = replace(crowd, requests=crowd.requests[:6])
    assert bound_of(few, 0.5) != bound_of(replace(few, seed=1), 0.5)
    assert bound_of(few, 0.5) == bound_of(few, 0.5)


def test_nothing_costs_nothing() -> None:
    episode = Episode(load_profile("openstack"), (), CATALOG, 0.5, 0, 0.0)
    assert bound_of(episode, 0.5) == 0.0


def lone_job(profile: Profile, arrival_s: float) -> Episode:
    return Episode(
        profile, (Request(arrival_s, "bbb_3.mp4", 4000, "ultrafast"),), CATALOG, 0.5, 3, 0.0
    )


def test_the_first_job_waits_for_a_boot_if_it_comes_at_once() -> None:
    profile = load_profile("openstack")
    boot = replace(profile.timing.boot, first_on_node_sigma=0.0)
    exact = replace(profile, timing=replace(profile.timing, boot=boot))
    early, late = (bound_of(lone_job(exact, t), 0.9) for t in (0.0, 500.0))
    # Nobody can be ready before the image was copied, about 50 s.
    assert early > late + 0.9 * 35.0
    # Where the copies scatter, the quickest of those that may come first counts.
    assert late + 10.0 < bound_of(lone_job(profile, 0.0), 0.9) < early
    cached = replace(profile, image_cached=True)
    assert bound_of(lone_job(cached, 0.0), 0.9) < early


def test_lost_workers_and_failing_transcodes_keep_it_valid() -> None:
    faults = FaultConfig(spawn_failure=0.2, worker_loss_per_hour=6.0, transcode_error=0.3)
    profile = replace(load_profile("openstack"), faults=faults)
    rng = np.random.default_rng(5)
    requests = tuple(
        Request(float(t), "bbb_5.mp4", 4000, "fast") for t in np.sort(rng.uniform(0, 600, 25))
    )
    for seed in range(4):
        episode = Episode(profile, requests, CATALOG, 0.5, seed, 0.0)
        bound = bound_of(episode, 0.5)
        for spec in POLICIES:
            found, done = cost(episode, 0.5, spec)
            assert not done or bound <= found


# -- the parts ------------------------------------------------------------------------


def priced(rng: np.random.Generator, n: int, *, boot_s: float = 20.0) -> PricedJobs:
    arrival = np.sort(rng.uniform(0, 200, n))
    transcode = rng.uniform(5, 60, (n, 2)) / np.array([1.0, 1.5])
    return PricedJobs(
        arrival_s=arrival,
        release_s=arrival + rng.uniform(0, 5),
        download_s=np.ones(n),
        transcode_s=transcode,
        service_s=transcode + 2.0,
        load=np.ones((n, 2)) * np.array([1.0, 1.4]),
        delay_price=0.4,
        worker_price=np.array([0.5, 0.9]),
        share=np.array([0.1, 0.2]),
        boot_s=boot_s,
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_prices_are_made_valid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    jobs = priced(rng, 5)
    times = np.unique(rng.uniform(0, 300, 12))
    wild = Prices(
        times,
        np.cumsum(rng.normal(5, 30, (2, len(times))), axis=1),
        np.cumsum(rng.normal(0, 20, len(times))),
        np.zeros(len(times)),
    )
    valid = make_valid(jobs, wild)
    assert (np.diff(valid.workers, axis=1) >= -1e-9).all()
    assert (np.diff(valid.capacity) >= 0).all()
    cost = jobs.worker_price[:, None] * (times - times[0]) + jobs.share[:, None] * valid.capacity
    assert (largest_rise(valid.workers - cost) <= jobs.boot_price + 1e-6).all()
    again = make_valid(jobs, valid)
    assert np.allclose(again.workers, valid.workers)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_jobs_value_is_least_over_all_starts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    jobs = priced(rng, 3)
    times = np.unique(rng.uniform(0, 300, 10))
    steps = rng.uniform(0, 2, (2, len(times) - 1)) * np.diff(times)
    workers = np.concatenate([np.zeros((2, 1)), np.cumsum(steps, axis=1)], axis=1)
    nothing = np.zeros(len(times))
    found, starts = value(jobs, Prices(times, workers, nothing, nothing))
    assert (starts >= jobs.release_s[:, None]).all()
    total = 0.0
    for j in range(3):
        tried = jobs.release_s[j] + np.linspace(0, 400, 4001)
        costs = [
            0.4 * (tried + jobs.service_s[j, f] - jobs.arrival_s[j])
            + np.interp(tried + jobs.service_s[j, f], times, workers[f])
            - np.interp(tried, times, workers[f])
            for f in range(2)
        ]
        total += np.min(costs)
    assert found <= total + 1e-9
    assert found == pytest.approx(total, abs=0.5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_links_cost_no_more_than_one_worker_for_all(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    jobs = priced(rng, 3)
    bound = link_value(jobs, share)
    for order in permutations(range(3)):
        for f in range(2):
            clock, spent = float(jobs.release_s[order[0]]), 0.0
            start = clock
            for j in order:
                clock = max(clock, float(jobs.release_s[j])) + float(jobs.service_s[j, f])
                spent += 0.4 * (clock - float(jobs.arrival_s[j]))
            spent += float(jobs.worker_price[f]) * (jobs.boot_s + clock - start)
            assert bound <= spent + 1e-9
