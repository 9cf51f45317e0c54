"""Where episodes come from: every draw is valid, repeatable, and as random as it says."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import inf, log

import numpy as np
import pytest
from scipy import stats

from env.catalog import load_catalog
from env.config import Profile, load_profile
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE
from env.episodes import (
    Episode,
    Randomisation,
    draw_preference,
    family_episodes,
    random_episodes,
    randomise_profile,
    scenario_episodes,
)
from env.errors import UnknownNameError
from env.families import FAMILIES
from env.gym_env import DaCircoEnv
from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, SPEEDS
from env.load import mean_core_seconds
from env.recipes import TEST, TRAIN
from env.scenario import Scenario, load_split
from env.simulator import Simulator
from env.timing import TimingModel

DRAWS = 200


@pytest.fixture(scope="module")
def drawn() -> list[Episode]:
    """Episodes of the domain randomisation."""
    rng = np.random.default_rng(0)
    sample = random_episodes()
    return [sample(rng) for _ in range(DRAWS)]


def cores(profile: Profile) -> int:
    return sum(node.cores for node in profile.cluster.nodes)


def check(episode: Episode) -> None:
    """What every episode must fulfil."""
    times = [request.arrival_s for request in episode.requests]
    assert all(a <= b for a, b in pairwise(times))
    assert not times or 0.0 <= times[0] <= times[-1] <= episode.horizon_s
    for request in episode.requests:
        assert request.movie in episode.catalog
        assert MIN_BITRATE_KBPS <= request.bitrate_kbps <= MAX_BITRATE_KBPS
        assert request.speed in SPEEDS
    assert MIN_PREFERENCE <= episode.preference <= MAX_PREFERENCE
    assert episode.seed >= 0


# -- domain randomisation ---------------------------------------------------------------


def test_random_episodes_are_valid(drawn: list[Episode]) -> None:
    home = load_profile("openstack").cluster.flavors
    ranges = Randomisation()
    for episode in drawn:
        check(episode)
        assert ranges.horizon_s[0] <= episode.horizon_s <= ranges.horizon_s[1]
        assert episode.profile.cluster.flavors == home
        assert ranges.nodes[0] <= len(episode.profile.cluster.nodes) <= ranges.nodes[1]


def test_random_episodes_can_be_run(drawn: list[Episode]) -> None:
    upcoming = iter(drawn[:50])
    world = DaCircoEnv(sampler=lambda _: next(upcoming))
    rng = np.random.default_rng(1)
    for _ in range(50):
        observation, _ = world.reset()
        for _ in range(40):
            action = int(rng.choice(np.flatnonzero(world.action_masks())))
            observation, reward, terminated, truncated, _ = world.step(action)
            assert world.observation_space.contains(observation)
            assert reward <= 0.0
            if terminated or truncated:
                break


def test_everything_is_drawn(drawn: list[Episode]) -> None:
    profiles = Counter(episode.profile.name for episode in drawn)
    assert 0.05 < profiles["kubernetes"] / DRAWS < 0.27
    sizes = {len(episode.profile.cluster.nodes) for episode in drawn}
    assert len(sizes) > 9
    assert sizes <= set(range(1, 13))
    small = [e.profile.cluster for e in drawn if e.profile.cluster.nodes[0].cores < 6]
    assert len({cluster.nodes[0].cores for cluster in small}) > 1
    for cluster in small:
        assert cluster.nodes[0].cores * cluster.vcpu_overcommit == pytest.approx(6.0)
    at_home = sum(len(episode.profile.cluster.nodes) == 3 for episode in drawn)
    assert 0.5 < at_home / DRAWS < 0.75
    faulty = sum(episode.profile.faults.spawn_failure > 0 for episode in drawn)
    assert 0.1 < faulty / DRAWS < 0.3
    cached = Counter(e.profile.image_cached for e in drawn if e.profile.name == "openstack")
    assert 0.35 < cached[True] / cached.total() < 0.65
    boots = [e.profile.timing.boot.median_s for e in drawn if e.profile.name == "openstack"]
    median = load_profile("openstack").timing.boot.median_s
    assert min(boots) < 0.7 * median < 1.4 * median < max(boots)
    assert len({episode.seed for episode in drawn}) == DRAWS
    assert np.histogram([e.preference for e in drawn], bins=4, range=(0.1, 0.9))[0].min() > 25
    sizes = [len(episode.requests) for episode in drawn]
    assert min(sizes) < 30 < 1000 < max(sizes)


def test_random_episodes_follow_from_the_generator() -> None:
    one, other = random_episodes(), random_episodes()
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    for _ in range(5):
        first, second = one(rng), other(same)
        assert first.requests == second.requests
        assert (first.profile, first.preference) == (second.profile, second.preference)
        assert (first.seed, first.horizon_s) == (second.seed, second.horizon_s)


def test_ranges_are_kept() -> None:
    ranges = Randomisation(
        profiles=(("kubernetes", 1.0),),
        home_share=0.0,
        nodes=(7, 7),
        single_share=0.0,
        speed=(1.0, 1.0),
        boot=(2.0, 2.0),
        fault_share=1.0,
        horizon_s=(100.0, 100.0),
    )
    sample, rng = random_episodes(ranges), np.random.default_rng(0)
    home = load_profile("kubernetes")
    for _ in range(20):
        episode = sample(rng)
        check(episode)
        assert episode.profile.name == "kubernetes"
        assert len(episode.profile.cluster.nodes) == 7
        assert episode.profile.timing.transcode.intercept == home.timing.transcode.intercept
        assert episode.profile.timing.boot.median_s == 2 * home.timing.boot.median_s
        assert episode.profile.faults.spawn_failure > 0
        assert episode.horizon_s == pytest.approx(100.0)


def test_without_randomisation_the_profile_stays_as_it_is() -> None:
    base = load_profile("kubernetes")
    ranges = Randomisation(home_share=1.0, speed=(1.0, 1.0), boot=(1.0, 1.0), fault_share=0.0)
    drawn = randomise_profile(base, np.random.default_rng(0), ranges)
    assert drawn.cluster == base.cluster
    assert drawn.faults == base.faults
    assert drawn.timing.boot == base.timing.boot
    assert drawn.image_cached is base.image_cached
    assert base == load_profile("kubernetes")


def test_speed_shifts_the_logarithm() -> None:
    base = load_profile("openstack")
    ranges = Randomisation(speed=(0.5, 0.5))
    drawn = randomise_profile(base, np.random.default_rng(0), ranges)
    shift = drawn.timing.transcode.intercept - base.timing.transcode.intercept
    assert shift == pytest.approx(log(0.5))
    movies = load_catalog()
    before, after = (mean_core_seconds(TimingModel(p), movies) for p in (base, drawn))
    assert after == pytest.approx(0.5 * before)


# -- one family -------------------------------------------------------------------------


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_gives_valid_episodes(family: str) -> None:
    sample = family_episodes(load_profile("openstack"), family, 0.5, 900.0)
    rng = np.random.default_rng(0)
    for _ in range(10):
        episode = sample(rng)
        check(episode)
        assert episode.horizon_s == 900.0


@pytest.mark.parametrize("load", [0.2, 1.0])
def test_the_load_is_what_was_asked_for(load: float) -> None:
    # Work of the requests alone on one vCPU, as the simulator times it, per core-second.
    profile = load_profile("openstack")
    sample, rng = family_episodes(profile, "poisson", load, 3600.0), np.random.default_rng(2)
    offered = []
    for _ in range(8):
        episode = sample(rng)
        timing = TimingModel(profile).describe(episode.requests, episode.catalog)
        work = timing.transcode_s[:, 0].sum() / timing.speedup[0, 0]
        offered.append(work / (cores(profile) * episode.horizon_s))
    assert np.mean(offered) == pytest.approx(load, rel=0.1)


def test_an_unknown_family_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'bursts'"):
        family_episodes(load_profile("openstack"), "burst", 0.5, 900.0)


# -- scenarios --------------------------------------------------------------------------


def test_scenarios_are_replayed_from_start_to_end() -> None:
    profile, movies = load_profile("openstack"), load_catalog()
    source = family_episodes(profile, "poisson", 0.5, 300.0)
    rng = np.random.default_rng(0)
    scenarios = [Scenario(name, tuple(source(rng).requests)) for name in ("a", "b", "c")]
    sample = scenario_episodes(profile, scenarios)
    episodes = [sample(rng) for _ in range(60)]
    times = Counter(tuple(r.arrival_s for r in episode.requests) for episode in episodes)
    assert set(times) == {tuple(r.arrival_s for r in s.requests) for s in scenarios}
    assert min(times.values()) > 8
    assert len({episode.preference for episode in episodes}) == 60
    for episode in episodes[:5]:
        check(episode)
        assert episode.horizon_s == inf
        simulator = Simulator(profile, episode.requests, movies, seed=episode.seed)
        assert simulator.limit_s > episode.requests[-1].arrival_s


def test_scenarios_of_the_training_split_are_drawn_with_other_jobs() -> None:
    sampler = random_episodes(Randomisation(recipe_share=1.0))
    rng = np.random.default_rng(8)
    episodes = [sampler(rng) for _ in range(24)]
    home = load_profile("openstack")
    assert all(episode.profile == home and episode.horizon_s == inf for episode in episodes)
    shipped = {s.requests for split in ("train", "test") for s in load_split(split)}
    drawn = {tuple(episode.requests) for episode in episodes}
    assert len(drawn) == len(episodes)
    assert not drawn & shipped
    longest = max(recipe.horizon_s for recipe in TRAIN)
    assert all(episode.requests[-1].arrival_s <= longest for episode in episodes)
    # Their seeds are never those of another split, whatever the draw.
    assert not {r.seed % 10_000 for r in TRAIN} & {r.seed % 10_000 for r in TEST}


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_share_of_such_scenarios_is_kept(share: float) -> None:
    sampler = random_episodes(Randomisation(recipe_share=share))
    rng = np.random.default_rng(9)
    found = np.mean([sampler(rng).horizon_s == inf for _ in range(120)])
    assert found == 0.0 if share == 0.0 else 0.3 < found < 0.7


def test_preferences_are_uniform() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_preference(rng) for _ in range(4000)]
    counts = np.histogram(drawn, bins=8, range=(MIN_PREFERENCE, MAX_PREFERENCE))[0]
    assert counts.sum() == 4000
    assert counts.min() > 420


def test_beyond_their_range_its_ends_are_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([draw_preference(rng, margin=0.1) for _ in range(4000)])
    for end in (MIN_PREFERENCE, MAX_PREFERENCE):
        assert np.mean(drawn == end) == pytest.approx(0.1, abs=0.02)
    inside = drawn[(drawn > MIN_PREFERENCE) & (drawn < MAX_PREFERENCE)]
    law = stats.uniform(MIN_PREFERENCE, MAX_PREFERENCE - MIN_PREFERENCE)
    assert stats.kstest(inside, law.cdf).pvalue > 1e-3
