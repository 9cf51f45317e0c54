"""Which sizes of worker a controller offers to its policy.

The existing system has one size: ``--os-flavor``, or ``--pod-cpus`` and ``--pod-memory``. A
policy that chooses among several takes those of the profile, or of ``--flavors``.
"""

from __future__ import annotations

from typing import Final

from agents.parameters import OneFlavorParameters, describe_parameters
from agents.registry import FURTHER, NAIVE, is_rule, policy_class, split_spec
from deploy.controller.settings import Settings
from env.config import FlavorConfig, Profile
from env.errors import DaCircoError

POD_FLAVOR: Final = "pod"
"""Name of the one size that ``--pod-cpus`` and ``--pod-memory`` make."""


def offers_one_size(settings: Settings) -> bool:
    """Whether the options mean the existing system's one size."""
    name = split_spec(settings.scheduler)[0]
    if settings.flavors or not is_rule(name):
        return False
    kind = policy_class(name)
    return kind.name in (*NAIVE, *FURTHER) and issubclass(kind.parameters_type, OneFlavorParameters)


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
    if len(flavors) > 1 or not is_rule(name):
        return spec
    keys = {info.name for info in describe_parameters(policy_class(name).parameters_type)}
    missing = [key for key in ("flavor", "small", "large") if key in keys and key not in given]
    if not missing:
        return spec
    added = ",".join(f"{key}={flavors[0].name}" for key in missing)
    return f"{spec}{',' if given else ':'}{added}"
