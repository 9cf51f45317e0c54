"""Exact optima of a few jobs, worked out by hand and against every policy."""

from __future__ import annotations

import numpy as np
import pytest

from agents.registry import make_policy, policy_names
from env.catalog import load_catalog
from env.config import load_profile
from env.cost import cost_so_far
from env.simulator import Simulator
from training.bound.clairvoyant import clairvoyant_bound
from training.bound.exact_schedule import MOST_JOBS, cheapest_schedule
from training.bound.gap import calm_world, draw_requests, optimum

CATALOG = load_catalog()


def schedule(
    arrivals: list[float],
    services: list[float],
    *,
    w: float = 0.5,
    price: float = 1.0,
    boot_s: float = 10.0,
    first_order_s: float = 0.0,
) -> float:
    """With one flavor."""
    return cheapest_schedule(
        np.array(arrivals),
        np.array(services)[:, None],
        boot_s=boot_s,
        first_order_s=first_order_s,
        delay_price=w,
        worker_price=[price],
    )


def test_one_job_finds_a_worker_that_was_ordered_in_time() -> None:
    assert schedule([50.0], [20.0]) == pytest.approx(0.5 * 20 + 10 + 20)


def test_one_job_waits_for_the_boot_if_nobody_could_order_sooner() -> None:
    assert schedule([3.0], [20.0], first_order_s=3.0) == pytest.approx(0.5 * 30 + 30)


def test_a_short_gap_is_idled_and_a_long_one_booted() -> None:
    apart = 2 * (0.5 * 20 + 10 + 20)
    near = schedule([50.0, 75.0], [20.0, 20.0], w=0.9, price=0.5)
    assert near == pytest.approx(2 * 0.9 * 20 + 0.5 * (10 + 45))
    assert schedule([50.0, 500.0], [20.0, 20.0]) == pytest.approx(apart)


def test_where_waiting_is_cheap_jobs_share_a_worker() -> None:
    together = schedule([50.0, 50.0], [20.0, 20.0], w=0.1)
    assert together == pytest.approx(0.1 * (20 + 40) + 10 + 40)
    alone = schedule([50.0, 50.0], [20.0, 20.0], w=0.9)
    assert alone == pytest.approx(2 * (0.9 * 20 + 10 + 20))


def test_the_shorter_job_goes_first() -> None:
    found = schedule([50.0, 50.0], [40.0, 10.0], w=0.1)
    assert found == pytest.approx(0.1 * (10 + 50) + 10 + 50)


def test_the_cheaper_flavor_is_taken() -> None:
    found = cheapest_schedule(
        np.array([50.0]),
        np.array([[20.0, 5.0]]),
        boot_s=10.0,
        first_order_s=0.0,
        delay_price=0.5,
        worker_price=[1.0, 1.5],
    )
    assert found == pytest.approx(0.5 * 5 + 1.5 * 15)


def test_too_many_jobs_are_refused() -> None:
    with pytest.raises(ValueError, match=f"at most {MOST_JOBS}"):
        schedule([1.0] * (MOST_JOBS + 1), [1.0] * (MOST_JOBS + 1))


@pytest.mark.parametrize("preference", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("gap_s", [5.0, 60.0])
def test_between_the_bound_and_every_policy(gap_s: float, preference: float) -> None:
    world = calm_world(load_profile("openstack"))
    rng = np.random.default_rng(7)
    for _ in range(2):
        requests = draw_requests(4, gap_s, rng, CATALOG)
        best = optimum(world, requests, CATALOG, preference)
        bound = clairvoyant_bound(world, requests, CATALOG, seed=0, preference=preference)
        assert 0.5 * best < bound <= best
        for name in policy_names():
            policy = make_policy(name)
            simulator = Simulator(
                world, requests, CATALOG, preference=preference, discipline=policy.discipline
            )
            simulator.run(policy)
            assert best <= cost_so_far(simulator.cluster).weighed(preference) + 1e-6
