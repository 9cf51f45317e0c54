"""The engine plays the reference's world: the same events at the same times, to the last digit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from env.catalog import Catalog, Movie, load_catalog
from env.config import Profile, load_profile, profile_names
from env.episodes import random_episodes
from env.jobs import Request
from tests.env.engine.side_by_side import pair
from tests.env.worlds import make_profile

pytest.importorskip("numba")

OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Small data centres of all kinds; many have whole times, so that events coincide."""
    flavors = sorted(
        draw(
            st.lists(
                st.tuples(st.integers(1, 4), st.sampled_from([0.5, 1.0, 2.0])),
                min_size=1,
                max_size=3,
            )
        ),
    )
    most_vcpus, most_ram = max(f[0] for f in flavors), max(f[1] for f in flavors)
    nodes = draw(
        st.lists(
            st.tuples(st.integers(most_vcpus, 8), st.sampled_from([most_ram, 4.0, 7.3])),
            min_size=1,
            max_size=4,
        )
    )
    scatters = draw(st.booleans())
    cluster: dict[str, Any] = {
        "placement": draw(st.sampled_from(["least-loaded", "spread", "concentrate"])),
        "vcpu_overcommit": draw(st.sampled_from([1.0, 1.5])),
    }
    if draw(st.booleans()):
        cluster["max_workers"] = draw(st.integers(1, 6))
    if draw(st.booleans()):
        cluster["max_vcpus"] = float(draw(st.integers(most_vcpus, 12)))
    if draw(st.booleans()):
        cluster["max_ram_gib"] = float(draw(st.integers(2, 12)))
    timing = {
        "boot": {
            "median_s": draw(st.sampled_from([1.0, 5.0, 16.5])),
            "sigma": 0.1 if scatters else 0.0,
            "first_on_node_s": draw(st.sampled_from([0.0, 3.0])),
            "first_on_node_sigma": draw(st.sampled_from([0.0, 0.3])),
            "crowd_knee_share": draw(st.sampled_from([0.3, 1.0])),
            "crowd_slope": draw(st.sampled_from([0.0, 0.6])),
            "crowd_limit": 2.5,
            "spacing_s": draw(st.sampled_from([0.0, 0.0, 1.0])),
        },
        "transcode": {
            "sigma": 0.1 if scatters else 0.0,
            "bitrate_exponent": draw(st.sampled_from([0.0, 0.3])),
            "fast_factor": draw(st.sampled_from([1.0, 2.0])),
            "parallel_slope": draw(st.sampled_from([0.0, 0.06])),
            "pixels_exponent": draw(st.sampled_from([0.0, 0.9])),
        },
        "stop": {
            "median_s": draw(st.sampled_from([0.0, 2.0])),
            "sigma": 0.2 if scatters else 0.0,
        },
        "download": {"base_s": draw(st.sampled_from([0.0, 1.0])), "per_megabyte_s": 0.01},
        "upload": {"base_s": draw(st.sampled_from([0.0, 1.0])), "sigma": 0.2 if scatters else 0.0},
        "contention": {
            "knee_share": draw(st.sampled_from([0.2, 1.0])),
            "slope_per_core": draw(st.sampled_from([0.0, 0.1])),
            "boot_load": draw(st.sampled_from([0.0, 1.0])),
        },
    }
    faults = {}
    if draw(st.booleans()):
        faults = {
            "spawn_failure": draw(st.sampled_from([0.0, 0.2])),
            "worker_loss_per_hour": draw(st.sampled_from([0.0, 30.0])),
            "transcode_error": draw(st.sampled_from([0.0, 0.2])),
        }
    return make_profile(
        nodes=nodes,
        flavors=flavors,
        tick_s=draw(st.sampled_from([1.0, 5.0, 1000.0])),
        image_cached=draw(st.booleans()),
        cluster=cluster,
        timing=timing,
        faults=faults,
    )


MOVIES = Catalog(
    "test",
    [
        Movie(f"m{i}", float(3 * i + 2), *size)
        for i, size in enumerate([(1920, 1080), (640, 360)] * 3)
    ],
)


@st.composite
def workloads(draw: st.DrawFn) -> list[Request]:
    """Requests, some at the same moment, many alike."""
    gaps = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.123]), max_size=40))
    now, requests = 0.0, []
    for gap in gaps:
        now += gap
        movie = f"m{draw(st.integers(0, len(MOVIES) - 1))}"
        kbps, speed = (
            draw(st.sampled_from([500, 4000])),
            draw(st.sampled_from(["fast", "ultrafast"])),
        )
        requests.append(Request(now, movie, kbps, speed))  # type: ignore[arg-type]
    return requests


@OFTEN
@given(
    profiles(),
    workloads(),
    st.integers(0, 2**32),
    st.sampled_from(["sjf", "fcfs", "priority"]),
    st.sampled_from([None, 30.0, 200.0]),
    st.floats(0.1, 0.9),
)
def test_random_orders_in_random_worlds_lead_to_the_same(
    profile: Profile,
    requests: list[Request],
    seed: int,
    discipline: str,
    limit_s: float | None,
    preference: float,
) -> None:
    rng = np.random.default_rng(seed)
    flavors = len(profile.cluster.flavors)
    busy = rng.random()

    def orders() -> list[int]:
        # Rather spawns than ends: else hardly a job would be served.
        n = int(rng.integers(0, 4)) if rng.random() < busy else 0
        return [
            int(rng.integers(1, 1 + flavors if rng.random() < 0.6 else 1 + 2 * flavors))
            for _ in range(n)
        ]

    def wakes() -> float | None:
        return float(rng.choice([0.5, 1.0, 3.7])) if rng.random() < 0.2 else None

    both = pair(
        profile,
        requests,
        MOVIES,
        seed=seed,
        preference=preference,
        discipline=discipline,
        limit_s=limit_s,
    )
    both.play(orders, wakes, most=300)


@pytest.mark.parametrize("seed", range(6))
def test_episodes_of_the_training_lead_to_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    episode = random_episodes()(rng)
    both = pair(
        episode.profile,
        episode.requests,
        episode.catalog,
        seed=episode.seed,
        preference=episode.preference,
        limit_s=episode.horizon_s,
    )
    flavors = len(episode.profile.cluster.flavors)

    def orders() -> list[int]:
        return [int(rng.integers(1, 1 + 2 * flavors))] if rng.random() < 0.4 else []

    both.play(orders, lambda: None, most=500)


@pytest.mark.parametrize("name", profile_names())
def test_shipped_profiles_lead_to_the_same_in_a_rush(name: str) -> None:
    """Workers retire: the orders ask for large ones, then to end them."""
    profile, catalog = load_profile(name), load_catalog()
    rng = np.random.default_rng(5)
    movies = list(catalog)
    requests = [Request(0.5 * i, movies[i % len(movies)], 4000, "fast") for i in range(200)]
    flavors = len(profile.cluster.flavors)
    both = pair(profile, requests, catalog, seed=3, limit_s=700.0)
    both.play(
        lambda: [int(rng.integers(1, 1 + 2 * flavors))] if rng.random() < 0.5 else [],
        lambda: None,
    )


def test_other_figures_are_believed_than_are_true() -> None:
    true = load_profile("openstack")
    believed = load_profile("openstack").__class__(
        **{**true.__dict__, "timing": load_profile("local").timing, "image_cached": True}
    )
    catalog = load_catalog()
    requests = [Request(4.0 * i, movie, 2000, "fast") for i, movie in enumerate(catalog)]
    rng = np.random.default_rng(1)
    both = pair(true, requests, catalog, seed=9, believed=believed)
    both.play(lambda: [int(rng.integers(1, 4))] if rng.random() < 0.3 else [], lambda: None)
