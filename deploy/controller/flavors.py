"""Which sizes of worker a controller offers to its policy.

The existing system has one size: ``--os-flavor``, or ``--pod-cpus`` and ``--pod-memory``. A
policy that chooses among several takes those of the profile, or of ``--flavors``.
"""

from __future__ import annotations

from typing import Final

from agents.parameters import OneFlavorParameters
from agents.registry import NAIVE, is_rule, policy_class, split_spec
from deploy.controller.settings import Settings
from env.config import FlavorConfig, Profile
from env.errors import DaCircoError

POD_FLAVOR: Final = "pod"
"""Name of the one size that ``--pod-cpus`` and ``--pod-memory`` make."""


def offers_one_size(settings: Settings) -> bool:
    """Whether the options mean the existing system's one size."""
    return not settings.flavors and split_spec(settings.scheduler)[0] in NAIVE


def vm_flavors(settings: Settings, profile: Profile) -> tuple[str, ...]:
    """Names of the VMs' flavors; the cloud tells their sizes."""
    if offers_one_size(settings):
        return (settings.openstack.flavor,)
    return settings.flavors or tuple(flavor.name for flavor in profile.cluster.flavors)


def pod_flavors(settings: Settings, profile: Profile) -> tuple[FlavorConfig, ...]:
    """Sizes of the pods, small to large.

    Raises:
        DaCircoError: a size that is not in the profile, or not of whole cores.
    """
    if offers_one_size(settings):
        # The Kubernetes client takes a second to import.
        from deploy.managers.pod.quantity import gib

        cpus = settings.pod.cpus
        if cpus != int(cpus) or cpus < 1:
            raise DaCircoError(
                f"--pod-cpus {cpus:g} is not a whole number of cores: give 1 or more"
            )
        return (FlavorConfig(POD_FLAVOR, int(cpus), gib(settings.pod.memory)),)
    known = {flavor.name: flavor for flavor in profile.cluster.flavors}
    unknown = [name for name in settings.flavors if name not in known]
    if unknown:
        raise DaCircoError(
            f"--flavors: {unknown[0]!r} is not a size of profile {profile.name!r}, "
            f"which has {', '.join(known)}"
        )
    chosen = [known[name] for name in settings.flavors or known]
    return tuple(sorted(chosen, key=lambda flavor: (flavor.vcpus, flavor.ram_gib)))


def fitted_spec(spec: str, flavors: tuple[FlavorConfig, ...]) -> str:
    """The policy's text with the one flavor that there is, where it must name one and does not."""
    name, given = split_spec(spec)
    if len(flavors) > 1 or "flavor" in given or not is_rule(name):
        return spec
    if not issubclass(policy_class(name).parameters_type, OneFlavorParameters):
        return spec
    return f"{spec}{',' if given else ':'}flavor={flavors[0].name}"
