from __future__ import annotations

from typing import Any

import pytest

from deploy.managers.vm.capacity import read_capacity
from deploy.managers.vm.records import FoundFlavor, Hypervisor, Quota
from deploy.managers.vm.settings import VmSettings, VmType
from env.config import PlacementName


@pytest.mark.parametrize(
    ("placement", "preferred", "policy"),
    [
        ("least-loaded", False, None),
        ("spread", False, "soft-anti-affinity"),
        ("spread", True, "soft-anti-affinity"),
        ("concentrate", False, "affinity"),
        ("concentrate", True, "soft-affinity"),
    ],
)
def test_the_policy_of_the_server_group(
    placement: PlacementName, preferred: bool, policy: str | None
) -> None:
    settings = VmSettings("me", placement=placement, preferred=preferred)
    assert settings.server_group_policy == policy


def test_what_the_vms_of_a_flavor_are_made_of() -> None:
    large = VmType("big-image", "m1.xlarge", "k", "s", "n")
    settings = VmSettings("me", image="img", types={"large": large})
    assert settings.type_of("large") is large
    assert settings.type_of("s10.tiny") == VmType("img", "s10.tiny", "mykey", "ssh", "external")


@pytest.mark.parametrize(("preferred", "most"), [(True, None), (False, 6.0)])
def test_only_a_required_concentration_is_a_limit(preferred: bool, most: float | None) -> None:
    class TwoNodes:
        flavors = (FoundFlavor("tiny", "1", 1, 2.0),)
        has_admin = True

        def hypervisors(self) -> list[Hypervisor]:
            return [Hypervisor(f"compute{i}", 6, 16.0, 1.0, 1.0) for i in (1, 2)]

        def quota(self) -> Quota:
            return Quota(None, None, None)

    cloud: Any = TwoNodes()
    found = read_capacity(cloud, VmSettings("me", placement="concentrate", preferred=preferred))
    assert (found.max_vcpus, found.placement) == (most, "concentrate")
