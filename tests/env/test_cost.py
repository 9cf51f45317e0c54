"""The cost vector, its weighing, and the bounds of the preference."""

from __future__ import annotations

import math

import pytest

from env.cluster import Cluster
from env.cost import CostVector, check_preference, cost_so_far
from env.errors import DaCircoError
from env.jobs import Job, Request
from tests.env.worlds import make_profile


def test_weighed_by_the_preference() -> None:
    vector = CostVector(100.0, 20.0)
    assert vector.weighed(0.5) == pytest.approx(60.0)
    assert vector.weighed(0.9) == pytest.approx(92.0)
    assert vector.weighed(0.1) == pytest.approx(28.0)


def test_since_is_what_was_added() -> None:
    assert CostVector(5.0, 7.0).since(CostVector(2.0, 3.0)) == CostVector(3.0, 4.0)


def test_cost_by_hand() -> None:
    # 2 nodes of 4 cores, 8 vCPUs schedulable each; 10 GiB of RAM each.
    profile = make_profile(
        nodes=[(4, 10.0), (4, 10.0)], flavors=[(2, 5.0)], cluster={"vcpu_overcommit": 2.0}
    )
    cluster = Cluster(profile)
    request = Request(0.0, "m", 1000, "fast")
    cluster.job_arrived(10.0, Job("a", request, (30.0,)))
    cluster.worker_spawned(20.0, "w", 0)
    cluster.job_arrived(25.0, Job("b", request, (30.0,)))
    cluster.tick(50.0)
    # R = 8 cores * (half of 2/16 vCPUs + half of 5/20 GiB) = 0.5 + 1.0
    assert cluster.flavor_cost(0) == pytest.approx(1.5)
    assert cluster.reserved_cores == pytest.approx(1.5)
    vector = cost_so_far(cluster)
    assert vector.job_seconds == pytest.approx(40.0 + 25.0)
    assert vector.core_seconds == pytest.approx(1.5 * 30.0)


def test_a_full_cluster_costs_its_physical_cores() -> None:
    profile = make_profile(nodes=[(6, 12.0)] * 3, flavors=[(2, 4.0)])
    cluster = Cluster(profile)
    for i in range(cluster.capacity_of(0)):
        cluster.worker_spawned(0.0, i, 0)
    assert cluster.reserved_cores == pytest.approx(18.0)


@pytest.mark.parametrize("preference", [0.1, 0.5, 0.9])
def test_a_preference_on_the_dial(preference: float) -> None:
    assert check_preference(preference) == preference


@pytest.mark.parametrize("preference", [0.0, 0.0999, 0.9001, 1.0, -1.0, math.inf, math.nan])
def test_a_preference_off_the_dial(preference: float) -> None:
    with pytest.raises(DaCircoError, match=rf"preference {preference} is outside \[0\.1, 0\.9\]"):
        check_preference(preference)
