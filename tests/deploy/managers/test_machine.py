from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.managers.base import ManagerError
from deploy.managers.machine import (
    FLAVORS,
    machine_cluster,
    usable_cores,
    with_boot_delay,
)
from env.cluster import Cluster
from env.config import load_profile


def test_this_machine_is_one_node_with_its_own_cores() -> None:
    cluster = machine_cluster(ram_gib=16.0)
    (node,) = cluster.nodes
    assert node.name == socket.gethostname()
    assert node.cores == usable_cores() >= 1


@given(cores=st.integers(1, 128), ram_gib=st.floats(2.7, 1000.0))
def test_every_flavor_fits_and_workers_leave_ram_for_others(cores: int, ram_gib: float) -> None:
    config = machine_cluster(cores, ram_gib)
    (node,) = config.nodes
    assert node.cores * config.vcpu_overcommit == pytest.approx(max(6, cores))
    assert max(flavor.ram_gib for flavor in FLAVORS) <= node.ram_gib <= 0.75 * ram_gib


def test_two_cores_hold_what_a_node_of_the_data_centre_holds() -> None:
    local, node = machine_cluster(2, 16.0), load_profile("openstack").cluster.nodes[0]
    profile = load_profile("local")
    assert profile.cluster.flavors == local.flavors == FLAVORS
    assert profile.cluster.nodes[0].ram_gib == local.nodes[0].ram_gib
    cluster = Cluster(profile)
    assert [cluster.capacity_of(flavor) for flavor in range(3)] == [node.cores, 3, 1]


def test_a_machine_with_too_little_ram_is_refused() -> None:
    with pytest.raises(ManagerError, match=r"has 2\.0 GiB of RAM.*2\.7 GiB are needed"):
        machine_cluster(4, 2.0)


def test_a_boot_delay_is_expected_and_is_no_work() -> None:
    profile = load_profile("local")
    later = with_boot_delay(profile, 17.0)
    boot, delayed = profile.timing.boot, later.timing.boot
    assert delayed.median_s == boot.median_s + 17.0
    assert delayed.median_s * delayed.sigma == pytest.approx(boot.median_s * boot.sigma)
    work = boot.median_s * profile.timing.usage.boot_cores
    assert delayed.median_s * later.timing.usage.boot_cores == pytest.approx(work)
    load = boot.median_s * profile.timing.contention.boot_load
    assert delayed.median_s * later.timing.contention.boot_load == pytest.approx(load)
    assert later.timing.transcode == profile.timing.transcode
    assert with_boot_delay(profile, 0.0) is profile
