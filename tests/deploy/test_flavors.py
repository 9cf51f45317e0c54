"""Which sizes of worker a controller offers, and to whom it says that there is but one."""

from __future__ import annotations

import pytest

from deploy.controller.flavors import fitted_spec, offers_one_size, vm_flavors
from deploy.controller.settings import OpenStackSettings, Settings
from env.config import FlavorConfig, load_profile

ONE = (FlavorConfig("m1.small", 2, 4.0),)


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
    settings = Settings(scheduler=scheduler, openstack=OpenStackSettings(flavor="m1.small"))
    assert offers_one_size(settings) is one
    names = vm_flavors(settings, load_profile("openstack"))
    assert names == (("m1.small",) if one else ("s10.tiny", "s10.small", "s10.medium"))


@pytest.mark.parametrize(
    ("spec", "fitted"),
    [
        ("adaptive-grace-period", "adaptive-grace-period:flavor=m1.small"),
        ("priority-based-dynamic", "priority-based-dynamic:small=m1.small,large=m1.small"),
        (
            "priority-based-dynamic:small=x,max_workers=3",
            "priority-based-dynamic:small=x,max_workers=3,large=m1.small",
        ),
        ("grace-period:flavor=x", "grace-period:flavor=x"),
        ("models/dacirco", "models/dacirco"),
    ],
)
def test_a_rule_is_told_of_the_one_size(spec: str, fitted: str) -> None:
    assert fitted_spec(spec, ONE) == fitted
    assert fitted_spec(spec, load_profile("openstack").cluster.flavors) == spec
