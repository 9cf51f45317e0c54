"""Which sizes of worker the options mean, and what a policy is told of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.registry import make_policy
from deploy.controller.flavors import (
    counted,
    fitted_spec,
    pod_flavors,
    pod_types,
    vm_flavors,
    with_idle_time,
)
from deploy.controller.settings import PodSettings, Settings
from deploy.managers.pod.settings import PodType
from deploy.managers.vm.settings import VmType
from env.config import FlavorConfig, load_profile
from env.errors import DaCircoError

PROFILE = load_profile("kubernetes")
TYPES = {name: VmType() for name in ("default", "small", "large")}
PODS = {
    "default": PodType("", "2", "1Gi", "2", "1Gi"),
    "small": PodType("", "1", "1Gi"),
    "large": PodType("", "3500m", "4Gi"),
}


def vms(scheduler: str, **changes: Any) -> tuple[str, ...]:
    return vm_flavors(replace(Settings(scheduler=scheduler), **changes), PROFILE)


@pytest.mark.parametrize(
    "scheduler", ["minimize-workers", "Minimize_Workers", "GRACE-PERIOD:max_idle_time=3"]
)
def test_one_size_for_the_algorithms_that_know_one(scheduler: str) -> None:
    assert vms(scheduler) == ("m1.small",)
    assert vms(scheduler, vm_types=TYPES) == ("default",)
    assert vms(scheduler, vm_types={"only": VmType()}) == ("only",)
    assert vms(scheduler, vm_types=TYPES, flavors=("large",)) == ("large",)


@pytest.mark.parametrize(
    ("scheduler", "one"),
    [
        ("minimize-workers", True),
        ("grace-period:max_idle_time=3", True),
        ("Scheduler_With_Queue", True),
        ("scheduler-with-reserve", True),
        ("adaptive-grace-period", True),
        ("priority-based-dynamic", False),  # it has two
        ("reserve-k", False),
        ("models/dacirco", False),
    ],
)
def test_the_existing_systems_algorithms_of_one_size_have_its_one_size(
    scheduler: str, one: bool
) -> None:
    names = vm_flavors(Settings(scheduler=scheduler), load_profile("openstack"))
    assert names == (("m1.small",) if one else ("s10.tiny", "s10.small", "s10.medium"))


def test_several_sizes_for_the_others() -> None:
    assert vms("reserve-k") == tuple(flavor.name for flavor in PROFILE.cluster.flavors)
    assert vms("models/dacirco", vm_types=TYPES) == ("small", "large")
    assert vms("tuned:reserve-k", vm_types={"default": VmType()}) == ("default",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vm_types": {"small": VmType(), "large": VmType()}}, r"no table \[default\]"),
        ({"vm_types": TYPES, "flavors": ("smal",)}, "did you mean 'small'"),
    ],
)
def test_a_table_that_is_missing_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DaCircoError, match=message):
        vms("minimize-workers", **changes)


def test_pods_of_a_parameter_file_are_counted_by_what_they_reserve() -> None:
    settings = Settings(runner_type="pod", scheduler="reserve-k", pod_types=PODS)
    assert pod_flavors(settings, PROFILE) == (
        FlavorConfig("small", 1, 1.0),
        FlavorConfig("large", 4, 4.0),
    )
    assert pod_types(settings) is PODS


@pytest.mark.parametrize(
    ("kind", "cores", "ram"),
    [
        (PodType("", "2", "1.5Gi", "2", "1.5Gi"), 2, 1.5),
        (PodType("", "", "", "500m", "512Mi"), 1, 0.5),
        (PodType("", "1500m", "1Gi", "4", "8Gi"), 2, 1.0),
        (PodType(), 1, 1.0),
    ],
)
def test_what_a_pod_is_counted_as(kind: PodType, cores: int, ram: float) -> None:
    assert counted("x", kind) == FlavorConfig("x", cores, ram)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (PodType("", "3", "", "2"), "cpu request 3 is above the limit 2"),
        (PodType("", "", "2Gi", "", "1Gi"), "memory request 2Gi is above the limit 1Gi"),
        (PodType("", "1", "1"), "no size of a worker"),
    ],
)
def test_sizes_that_cannot_be_are_told(kind: PodType, message: str) -> None:
    with pytest.raises(DaCircoError, match=message):
        counted("x", kind)


def test_the_one_size_of_pod_keeps_its_quantities() -> None:
    size = PodType("", "", "", "", "")
    settings = Settings(runner_type="pod", pod=PodSettings(size=size))
    assert pod_flavors(settings, PROFILE) == (FlavorConfig("pod", 1, 1.0),)
    assert pod_types(settings) == {"pod": size}
    assert pod_types(replace(settings, scheduler="reserve-k")) == {}


ONE, TWO = (
    (FlavorConfig("default", 2, 4.0),),
    (FlavorConfig("small", 1, 2.0), FlavorConfig("large", 4, 8.0)),
)


@pytest.mark.parametrize(
    ("spec", "flavors", "fitted"),
    [
        ("minimize-workers", ONE, "minimize-workers:flavor=default"),
        ("Grace-Period:max-idle-time=5", ONE, "Grace-Period:max-idle-time=5,flavor=default"),
        ("reserve-k:flavor=default", ONE, "reserve-k:flavor=default"),
        ("reserve-k", TWO, "reserve-k"),
        ("tuned:reserve-k", ONE, "tuned:reserve-k"),
        ("models/dacirco", ONE, "models/dacirco"),
        ("adaptive-grace-period", ONE, "adaptive-grace-period:flavor=default"),
        ("priority-based-dynamic", ONE, "priority-based-dynamic:small=default,large=default"),
        (
            "priority-based-dynamic:small=x,max_workers=3",
            ONE,
            "priority-based-dynamic:small=x,max_workers=3,large=default",
        ),
    ],
)
def test_a_rule_is_told_of_the_one_flavor(
    spec: str, flavors: tuple[FlavorConfig, ...], fitted: str
) -> None:
    assert fitted_spec(spec, flavors) == fitted


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("grace-period", "grace-period:max_idle_time=7.5"),
        ("GRACE_PERIOD", "GRACE_PERIOD:max_idle_time=7.5"),
        ("grace-period:flavor=a", "grace-period:flavor=a,max_idle_time=7.5"),
        ("grace-period:max-idle-time=2", "grace-period:max-idle-time=2"),
        ("minimize-workers", "minimize-workers"),
        ("break-even", "break-even"),
        ("models/dacirco", "models/dacirco"),
    ],
)
def test_max_idle_time_is_for_the_existing_systems_algorithms(spec: str, expected: str) -> None:
    assert with_idle_time(spec, 7.5) == expected
    if not spec.startswith("models"):
        make_policy(expected)
